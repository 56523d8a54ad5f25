// admissions_test.cc: who gets a connection when many want one.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <deque>

#include "nbd/server/admissions.h"
#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

using Answer = Admissions::Answer;
using Choice = Admissions::Choice;

/// Connections as Admissions knows them.
class Crowd {
 public:
  explicit Crowd(const NbdLimits& limits) : admissions_(limits) {}

  Admissions::Entry enter(Door door, const std::string& client = "") {
    Place& place = places_.emplace_back();
    place.door = door;
    place.client = client;
    return admissions_.enter(place);
  }
  Place& last() { return places_.back(); }
  /// A tenant's connection that chose an export.
  Choice connect(const std::string& client, const std::string& name, const std::string& project) {
    REQUIRE(enter(Door::tenant, client).answer == Answer::welcome);
    return admissions_.choose(last(), name, project);
  }
  Admissions& admissions() { return admissions_; }

 private:
  Admissions admissions_;
  std::deque<Place> places_;  // they stay where they are
};

TEST_CASE("tenants that take all connections leave the operators their reserve") {
  for (const uint32_t connections : {4u, 7u, 100u, 4096u}) {
    CAPTURE(connections);
    NbdLimits limits;
    limits.connections = connections;
    const uint32_t reserve = std::min(limits.operator_reserve, connections / 4);
    Crowd crowd(limits);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < connections; i++) {
      if (crowd.enter(Door::tenant, "a").answer != Answer::welcome) break;
      taken++;
      REQUIRE(crowd.admissions().choose(crowd.last(), std::to_string(i), std::to_string(i)) == Choice::granted);
    }
    CHECK(taken == connections - reserve);
    for (uint32_t i = 0; i < reserve; i++) CHECK(crowd.enter(Door::operator_door).answer == Answer::welcome);
    CHECK(crowd.enter(Door::operator_door).answer == Answer::over_limit);
  }
}

TEST_CASE("an export and a project have a share of the connections, and get it back when connections leave") {
  NbdLimits limits;
  limits.export_connections = 2;
  limits.project_connections = 3;
  Crowd crowd(limits);
  CHECK(crowd.connect("a", "one", "p") == Choice::granted);
  CHECK(crowd.connect("b", "one", "p") == Choice::granted);
  Place& leaving = crowd.last();
  CHECK(crowd.connect("c", "one", "p") == Choice::export_full);
  CHECK(crowd.connect("a", "two", "p") == Choice::granted);
  CHECK(crowd.connect("a", "three", "p") == Choice::project_full);
  CHECK(crowd.connect("a", "four", "q") == Choice::granted);
  crowd.admissions().leave(leaving);
  CHECK(crowd.connect("a", "one", "p") == Choice::granted);
  crowd.admissions().take_back(crowd.last());
  CHECK(crowd.connect("a", "three", "p") == Choice::granted);
  for (int i = 0; i < 100; i++) {
    CHECK(crowd.enter(Door::operator_door).answer == Answer::welcome);
    CHECK(crowd.admissions().choose(crowd.last(), "one", "p") == Choice::granted);
  }
}

TEST_CASE(
    "a new handshake displaces the oldest one of the client that has the most, never a connection with an export") {
  NbdLimits limits;
  limits.connections = 8;
  limits.operator_reserve = 0;
  limits.refusals = 100;
  Crowd crowd(limits);
  CHECK(crowd.connect("a", "disk", "p") == Choice::granted);
  std::vector<Place*> flood;
  for (int i = 0; i < 6; i++) {
    CHECK(crowd.enter(Door::tenant, "flood").answer == Answer::welcome);
    flood.push_back(&crowd.last());
  }
  CHECK(crowd.enter(Door::tenant, "b").answer == Answer::welcome);
  for (int i = 0; i < 5; i++) {
    const Admissions::Entry entry = crowd.enter(Door::tenant, "flood");
    CHECK(entry.answer == Answer::welcome);
    REQUIRE(entry.evicted == flood[0]);
    flood.erase(flood.begin());
    flood.push_back(&crowd.last());
  }
  const Admissions::Entry entry = crowd.enter(Door::tenant, "c");
  CHECK(entry.answer == Answer::welcome);
  CHECK(entry.evicted == flood[0]);
  flood.erase(flood.begin());
  for (size_t i = 0; i < flood.size(); i++)
    CHECK(crowd.admissions().choose(*flood[i], std::to_string(i), "p") == Choice::granted);
  // b and c are still in their handshakes; after them nobody is, and others are refused.
  CHECK(crowd.enter(Door::tenant, "d").evicted != nullptr);
  CHECK(crowd.admissions().choose(crowd.last(), "d", "p") == Choice::granted);
  CHECK(crowd.enter(Door::tenant, "e").evicted != nullptr);
  CHECK(crowd.admissions().choose(crowd.last(), "e", "p") == Choice::granted);
  CHECK(crowd.enter(Door::tenant, "f").answer == Answer::over_limit);
}

TEST_CASE("one client has a bounded number of handshakes, and those that were displaced and stay are bounded too") {
  NbdLimits limits;
  limits.address_handshakes = 3;
  limits.refusals = 2;
  limits.connections = 32;
  Crowd crowd(limits);
  for (int i = 0; i < 3; i++) CHECK(crowd.enter(Door::tenant, "a").evicted == nullptr);
  Place* const displaced = crowd.enter(Door::tenant, "a").evicted;
  REQUIRE(displaced != nullptr);
  CHECK(crowd.enter(Door::tenant, "a").evicted != nullptr);
  CHECK(crowd.enter(Door::tenant, "a").answer == Answer::closed);
  CHECK(crowd.enter(Door::tenant, "b").answer == Answer::welcome);
  crowd.admissions().leave(*displaced);
  CHECK(crowd.enter(Door::tenant, "a").answer == Answer::welcome);
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("with all of the tenants' connections taken, the operator's socket serves, and one more tenant is told") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.connections = 16;
  World world(kind, limits, 2);
  std::vector<Client> tenants;
  for (int i = 0; i < 12; i++) tenants.push_back(std::move(Client::tcp(world).enter("disk")));
  Client refused = Client::tcp(world);
  refused.greet();
  const auto answers = refused.go("disk");
  CHECK(answers[0].type == OptionReply::err_policy);
  CHECK(answers[0].text(0).find("connections") != std::string::npos);
  for (int i = 0; i < 4; i++) {
    tenants.push_back(std::move(Client::unix_socket(world).enter("disk")));
    CHECK(tenants.back().request(Command::read, 0, 512).error == NbdError::none);
  }
}

TEST_CASE("an export that has its share of the connections refuses more with a reason, and others are served") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.export_connections = 3;
  limits.project_connections = 5;
  World world(kind, limits, 2);
  world.resolver.add("a", {world.disk, false, "", {}, "", 1, "p"});
  world.resolver.add("b", {world.disk, false, "", {}, "", 1, "p"});
  world.resolver.add("c", {world.disk, false, "", {}, "", 1, "q"});
  std::vector<Client> clients;
  for (int i = 0; i < 3; i++) clients.push_back(std::move(Client::tcp(world).enter("a")));
  {
    Client over = Client::tcp(world);
    over.greet();
    const auto answers = over.go("a");
    CHECK(answers[0].type == OptionReply::err_policy);
    CHECK(answers[0].text(0).find("this export has 3 connections") != std::string::npos);
    CHECK(world.resolver.leases == 3);
    CHECK(over.go("b").back().type == OptionReply::ack);  // the handshake goes on
    Client last = Client::tcp(world);
    last.enter("b");
    Client project = Client::tcp(world);
    project.greet();
    CHECK(project.go("b")[0].text(0).find("the exports of this project have 5 connections") != std::string::npos);
    Client other = Client::tcp(world);
    other.enter("c");
    CHECK(other.request(Command::read, 0, 512).error == NbdError::none);
    Client operators = Client::unix_socket(world);
    operators.enter("a");
  }
  clients.pop_back();
  eventually([&] { return world.server->counters().connections == 2; });
  Client again = Client::tcp(world);
  again.enter("a");
  CHECK(again.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("clients that never choose an export do not keep others out: their oldest handshakes are closed") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.connections = 16;
  limits.operator_reserve = 0;
  World world(kind, limits, 2);
  std::vector<Client> silent;
  for (int i = 0; i < 16; i++) silent.push_back(Client::tcp(world));
  eventually([&] { return world.server->counters().connections == 16; });
  Client client = Client::tcp(world);
  client.enter("disk");
  CHECK(client.request(Command::read, 0, 512).error == NbdError::none);
  silent[0].receive(18);
  CHECK(silent[0].at_end());
  silent[15].enter("disk");
}

TEST_CASE("without a descriptor left connections wait in the backlog, and are served when there is one again") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client before = Client::tcp(world);
  before.enter("disk");
  const uint64_t accepted = world.server->counters().accepted;
  // An accept of io_uring that waits already goes by the limit of its beginning: it may take the first of them.
  std::vector<atl::test::Fd> late;
  for (int i = 0; i < 3; i++) late.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit usual{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
  rlimit none = usual;
  none.rlim_cur = 3;  // below the numbers in use: what is open works, and nothing more can be opened
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(world.tcp_port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool connected = true;
  for (const auto& one : late)
    connected &= ::connect(one.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  bool served = true;  // by the loop that has to accept, too
  for (int i = 0; i < 20; i++) served &= before.request(Command::read, 0, 512).error == NbdError::none;
  const uint64_t accepted_meanwhile = world.server->counters().accepted;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
  CHECK(connected);
  CHECK(served);
  CHECK(accepted_meanwhile <= accepted + 1);
  for (const auto& one : late) {
    pollfd greeting{one.get(), POLLIN, 0};
    CHECK(::poll(&greeting, 1, 10'000) == 1);
    std::array<std::byte, 18> bytes{};
    const ssize_t got = ::recv(one.get(), bytes.data(), bytes.size(), 0);
    CAPTURE(got < 0 ? errno : 0);
    CHECK(got == 18);
  }
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
