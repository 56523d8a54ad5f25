// reconnect_test.cc: NbdServer::reconnect(): connections of an export end so that their clients come back; over real sockets, on
// both kinds of loop.
#include <doctest/doctest.h>

#include <set>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

TEST_SUITE_BEGIN("threads");

/// A reconnect() that runs beside the test.
struct Reconnecting {
  Reconnecting(World& world, std::vector<std::string> names) {
    spawn_on(world.home(), run(world.server.get(), std::move(names), this));
  }
  static Task<void> run(NbdServer* server, std::vector<std::string> names, Reconnecting* self) {
    self->answer = co_await server->reconnect(std::move(names));
    self->done = true;
  }
  NbdReconnected result() {
    eventually([this] { return done.load(); });
    return answer;
  }
  std::atomic<bool> done{false};
  NbdReconnected answer;
};

uint64_t writes(const World& world) { return world.server->counters().requests[static_cast<size_t>(Command::write)]; }

/// Puts a WRITE into the device, which holds it.
void write_and_hold(World& world, Client& client, uint64_t cookie) {
  world.at_home([&] { world.disk->hold(); });
  const uint32_t before = world.disk->running;
  Wire wire;
  wire.request(Command::write, cookie, 0, 512).append(pattern(512, 1));
  client.send(wire);
  eventually([&] { return world.disk->running == before + 1; });
}

TEST_CASE(
    "reconnect answers what is in flight and nothing later, while new connections to the same export are served") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  Client busy = Client::unix_socket(world), idle = Client::tcp(world), other = Client::unix_socket(world);
  busy.enter("disk");
  idle.enter("alias");  // its canonical name is "disk"
  other.enter("ro");
  write_and_hold(world, busy, 1);

  Reconnecting reconnecting(world, {"disk"});
  CHECK(idle.at_end());
  idle.close();
  Wire late;
  late.request(Command::write, 2, 4096, 512).append(pattern(512, 2));
  late.request(Command::flush, 3, 0, 0);
  busy.send(late);
  // The old connection still drains: who comes now is not turned away, and is not ended by it.
  Client next = Client::unix_socket(world);
  next.enter("disk");
  CHECK(next.request(Command::block_status, 0, 0).error == NbdError::inval);  // needs no device
  CHECK_FALSE(reconnecting.done);

  world.at_home([&] { world.disk->release(); });
  const Reply reply = busy.reply();
  CHECK(reply.cookie == 1);
  CHECK(reply.error == NbdError::none);
  CHECK(busy.at_end());
  busy.close();
  const NbdReconnected result = reconnecting.result();
  CHECK(result.ended == 2);
  CHECK(result.remaining == 0);
  CHECK(writes(world) == 1);  // the late one was not served
  CHECK(next.request(Command::read, 0, 512).data == pattern(512, 1));
  CHECK(next.request(Command::read, 4096, 512).data == std::vector<std::byte>(512));
  CHECK(other.request(Command::read, 0, 512).error == NbdError::none);
  CHECK(world.resolver.leases == 2);
}

TEST_CASE("reconnect leaves a handshake alone, and GO then reports the new size") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  Client young = Client::tcp(world);
  young.greet();
  CHECK(young.go("disk", Option::info)[0].text(2).size() == 10);
  world.at_home([&] { world.disk->resize(World::disk_bytes * 2); });
  const NbdReconnected result = Reconnecting(world, {"disk"}).result();
  CHECK(result.ended == 0);
  CHECK(result.remaining == 0);
  const auto answers = young.go("disk");
  REQUIRE(answers.back().type == OptionReply::ack);
  const std::string info = answers[0].text(2);
  CHECK(load_be<uint64_t>(reinterpret_cast<const std::byte*>(info.data())) == World::disk_bytes * 2);
  CHECK(young.request(Command::read, 0, 512).error == NbdError::none);
  // The same connection again, now that it has entered.
  Reconnecting again(world, {"disk"});
  CHECK(young.at_end());
  young.close();
  CHECK(again.result().ended == 1);
}

TEST_CASE("reconnect with several names ends the connections of all of them, and with an unknown one of none") {
  World world(IoKind::automatic, {}, 2);
  CHECK(Reconnecting(world, {}).result().ended == 0);
  Client one = Client::unix_socket(world), two = Client::tcp(world);
  one.enter("disk");
  two.enter("ro");
  CHECK(Reconnecting(world, {"nothing", "alias", ""}).result().ended == 0);
  CHECK(one.request(Command::read, 0, 512).error == NbdError::none);
  Reconnecting both(world, {"nothing", "disk", "ro"});
  CHECK(one.at_end());
  CHECK(two.at_end());
  one.close();
  two.close();
  CHECK(both.result().ended == 2);
}

TEST_CASE("reconnect does not wait for a client that keeps its socket open") {
  NbdLimits limits;
  limits.linger_ms = 200;
  World world(IoKind::automatic, limits);
  Client stubborn = Client::unix_socket(world);
  stubborn.enter("disk");
  CHECK(Reconnecting(world, {"disk"}).result().ended == 1);
  CHECK(stubborn.at_end());
}

TEST_CASE("reconnect reports a connection whose request the device holds for too long, and does not cut it") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.drain_ms = 100;
  World world(kind, limits);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  write_and_hold(world, client, 1);
  const NbdReconnected result = Reconnecting(world, {"disk"}).result();
  CHECK(result.ended == 0);
  CHECK(result.remaining == 1);
  world.at_home([&] { world.disk->release(); });
  CHECK(client.reply().error == NbdError::none);
  CHECK(client.at_end());
  client.close();
  eventually([&] { return world.resolver.leases == 0; });
}

TEST_CASE("reconnect while clients connect and disconnect: every connection ends, or is served") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> entered{0}, refused{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; i++)
    clients.emplace_back([&, i] {
      while (!stop) {
        Client client = i % 2 ? Client::unix_socket(world) : Client::tcp(world);
        client.greet();
        if (client.go("disk").back().type != OptionReply::ack) refused++;
        entered++;
        // Whether it has been ended by now or not, closing it is all that is left to do.
        Wire bye;
        bye.request(Command::disconnect, 1, 0, 0);
        client.send(bye);
        while (!client.at_end()) {
        }
      }
    });
  uint64_t ended = 0;
  while (ended < 20) ended += Reconnecting(world, {"disk"}).result().ended;
  stop = true;
  for (std::thread& client : clients) client.join();
  CHECK(refused == 0);
  CHECK(entered > 0);
  eventually([&] { return world.server->counters().connections == 0; });
  CHECK(world.resolver.leases == 0);
}

TEST_CASE("reconnect ends a TLS connection with close_notify") {
  World world(IoKind::automatic);
  Client client = Client::tcp(world.listen_with(TlsMode::required, atl::test::server_material()));
  atl::test::TlsClientOptions options;
  options.ca = atl::test::good_ca().certificate();
  client.greet().upgrade(options);
  CHECK(client.go("disk").back().type == OptionReply::ack);
  Reconnecting reconnecting(world, {"disk"});
  CHECK(client.at_proper_end());
  client.close();
  CHECK(reconnecting.result().ended == 1);
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
