// contexts_test.cc: metadata contexts over real sockets: several in one answer, where each ends, how they fail.
#include <doctest/doctest.h>

#include <set>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

constexpr uint32_t page = MemoryDevice::page_bytes;

TEST_SUITE_BEGIN("threads");

MetaContext context(const char* name, StatusQuestion::Kind kind, uint64_t since = 0) {
  return {name, {kind, LayerId{since}}, {}};
}

/// The export "chain" offers a depth and two sets of changes over the disk of the world.
void offer(World& world) {
  world.at_home([&] {
    world.disk->status_of = [](const StatusQuestion& question, uint64_t at) -> uint64_t {
      if (question.kind == StatusQuestion::Kind::depth) return at % 3;
      return at % number(question.since) == 0 ? 1 : 0;
    };
  });
  world.resolver.add("chain", {world.disk,
                               false,
                               "",
                               {context("atoll:depth", StatusQuestion::Kind::depth),
                                context("qemu:dirty-bitmap:two", StatusQuestion::Kind::changed, 2),
                                context("qemu:dirty-bitmap:five", StatusQuestion::Kind::changed, 5)}});
}

struct ContextStatus {
  uint32_t id = 0;
  std::vector<std::pair<uint32_t, uint32_t>> runs;  // length, flags
};

/// The chunks of one BLOCK_STATUS.
std::vector<ContextStatus> status(Client& client, uint64_t offset, uint32_t length, uint16_t flags = 0) {
  Wire wire;
  wire.request(Command::block_status, 9, offset, length, flags);
  client.send(wire);
  std::vector<ContextStatus> found;
  for (bool done = false; !done;) {
    const Reply reply = client.reply();
    done = reply.done;
    CHECK(reply.cookie == 9);
    REQUIRE(reply.chunk == Chunk::block_status);
    WireReader reader(reply.data);
    ContextStatus one{reader.number<uint32_t>(), {}};
    while (reader.left() > 0) {
      const uint32_t run = reader.number<uint32_t>();
      one.runs.emplace_back(run, reader.number<uint32_t>());
    }
    CHECK(reader.ok());
    found.push_back(std::move(one));
  }
  return found;
}

TEST_CASE("BLOCK_STATUS answers one chunk for each selected context, and no other") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  offer(world);
  Client client = Client::unix_socket(world);
  client.enter_with("chain", {"qemu:dirty-bitmap:five", base_allocation, "atoll:depth"});
  CHECK(client.write(page, pattern(512, 1)).error == NbdError::none);
  const auto found = status(client, 0, 4 * page);
  REQUIRE(found.size() == 3);
  using Runs = std::vector<std::pair<uint32_t, uint32_t>>;
  const uint32_t nothing = state_hole | state_zero;
  CHECK(found[0].runs == Runs{{page, nothing}, {page, 0}, {2 * page, nothing}});
  CHECK(found[1].runs == Runs{{page, 0}, {page, 1}, {page, 2}, {page, 0}});
  CHECK(found[2].runs == Runs{{page, 1}, {3 * page, 0}});
  CHECK(std::set<uint32_t>{found[0].id, found[1].id, found[2].id}.size() == 3);
}

TEST_CASE(
    "BLOCK_STATUS of several contexts: each ends where its own share of the limit ends, REQ_ONE gives each one run") {
  NbdLimits limits;
  limits.status_extents = 8;
  World world(IoKind::automatic, limits);
  offer(world);
  Client client = Client::unix_socket(world);
  client.enter_with("chain", {"atoll:depth", "qemu:dirty-bitmap:five"});
  auto found = status(client, 0, 100 * page);
  REQUIRE(found.size() == 2);
  CHECK(found[0].runs.size() == 4);
  CHECK(found[1].runs.size() == 4);
  CHECK(found[1].runs[1] == std::pair<uint32_t, uint32_t>{4 * page, 0});
  found = status(client, 100, 100 * page, cflag_req_one);
  REQUIRE(found.size() == 2);
  for (const ContextStatus& one : found) {
    REQUIRE(one.runs.size() == 1);
    CHECK(one.runs[0].first == page - 100);
  }
}

TEST_CASE("BLOCK_STATUS fails as a whole, by one error chunk, when one of its contexts fails") {
  World world(IoKind::automatic);
  offer(world);
  world.fail([](const MemoryDevice::Call& call) -> std::optional<Error> {
    if (call.verb == MemoryDevice::Verb::status) return Error{Code::not_found, "the snapshot is gone"};
    return std::nullopt;
  });
  Client client = Client::unix_socket(world);
  client.enter_with("chain", {base_allocation, "atoll:depth"});
  const Reply reply = client.request(Command::block_status, 0, page);
  CHECK(reply.error == NbdError::io);
  CHECK(reply.message == "the snapshot is gone");
  CHECK(client.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("contexts are looked up when a query names them, not when the export is opened") {
  World world(IoKind::automatic);
  offer(world);
  Client::unix_socket(world).enter("chain", true, true).request(Command::read, 0, 512);
  CHECK(world.resolver.context_questions == 0);
  Client::unix_socket(world).enter_with("chain", {"atoll:depth"}).request(Command::read, 0, 512);
  CHECK(world.resolver.context_questions == 1);
}

TEST_CASE("contexts that cannot be looked up fail their option, and the session goes on without them") {
  World world(IoKind::automatic);
  offer(world);
  for (const bool at_unix : {true, false}) {
    Client client = at_unix ? Client::unix_socket(world) : Client::tcp(world);
    client.greet();
    client.option(Option::structured_reply);
    Wire data;
    data.string("chain").u32(1).string("test:broken");
    const auto answers = client.option(Option::set_meta_context, data);
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].type == OptionReply::err_policy);
    CHECK((answers[0].text(0).find("damaged") != std::string::npos) == at_unix);
    CHECK(client.go("chain").back().type == OptionReply::ack);
  }
}

TEST_CASE("what a context holds is given back when its connection ends") {
  World world(IoKind::automatic);
  offer(world);
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> seen = held;
  world.resolver.add("once", {world.disk, false, "", {{"atoll:depth", {StatusQuestion::Kind::depth, {}}, held}}});
  held.reset();
  Client client = Client::unix_socket(world);
  client.enter_with("once", {"atoll:depth"});
  world.resolver.add("once", {world.disk, false, "", {}});
  CHECK_FALSE(seen.expired());
  client.close();
  eventually([&] { return seen.expired(); });
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
