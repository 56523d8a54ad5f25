// failure_reports_test.cc: what the log is told of requests that the storage beneath could not do.
#include <doctest/doctest.h>

#include "nbd/server/report_limit.h"
#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

using Call = MemoryDevice::Call;
using Verb = MemoryDevice::Verb;

std::vector<RequestFailure> failures(World& world) { return world.resolver.request_failures(); }

TEST_SUITE_BEGIN("threads");

TEST_CASE("failure reports: a device's I/O error is told once, with its words and the request") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.resolver.add("secret", {world.disk, false, "", {}, "volume-7"});
  world.fail([](const Call& call) -> std::optional<Error> {
    if (call.verb == Verb::write && call.offset == 81920) return Error{Code::io, "data file 7: fdatasync: broken"};
    return std::nullopt;
  });
  Client client = Client::tcp(world);
  client.enter("secret");
  CHECK(client.write(0, pattern(4096, 1)).error == NbdError::none);
  CHECK(client.write(81920, pattern(4096, 1)).error == NbdError::io);
  const auto told = failures(world);
  REQUIRE(told.size() == 1);
  CHECK(told[0].door == Door::tenant);
  CHECK(told[0].label == "volume-7");
  CHECK(std::string_view(told[0].command) == "WRITE");
  CHECK(told[0].offset == 81920);
  CHECK(told[0].length == 4096);
  CHECK(told[0].error.code == Code::io);
  CHECK(told[0].error.message == "data file 7: fdatasync: broken");
  CHECK(told[0].unsaid == 0);
}

TEST_CASE("failure reports: every command's is told, with the whole request's range") {
  World world(IoKind::automatic);
  Client client = Client::unix_socket(world);
  client.enter("disk", true, true);
  int turn = 0;
  world.fail([&turn](const Call&) { return std::optional(Error{Code::corrupt, "bad " + std::to_string(turn++)}); });
  CHECK(client.request(Command::read, 4096, 512).error == NbdError::io);
  CHECK(client.request(Command::flush, 0, 0).error == NbdError::io);
  CHECK(client.request(Command::trim, 0, 8192).error == NbdError::io);
  CHECK(client.request(Command::cache, 0, 8192).error == NbdError::io);
  CHECK(client.request(Command::write_zeroes, 0, 8192).error == NbdError::io);
  CHECK(client.request(Command::block_status, 0, 8192).error == NbdError::io);
  CHECK(client.write(1000, pattern(3u << 20, 2)).error == NbdError::io);       // in pieces
  CHECK(client.request(Command::read, 2000, 3u << 20).error == NbdError::io);  // likewise
  const auto told = failures(world);
  REQUIRE(told.size() == 8);
  std::vector<std::string> commands;
  for (const RequestFailure& one : told) commands.emplace_back(one.command);
  CHECK(commands ==
        std::vector<std::string>{"READ", "FLUSH", "TRIM", "CACHE", "WRITE_ZEROES", "BLOCK_STATUS", "WRITE", "READ"});
  CHECK(told[1].length == 0);
  CHECK(told[6].offset == 1000);
  CHECK(told[6].length == 3u << 20);
  CHECK(told[7].offset == 2000);
  CHECK(told[7].length == 3u << 20);
}

TEST_CASE("failure reports: what is the client's doing, or the server's end, is none") {
  World world(IoKind::automatic);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  CHECK(client.request(Command::read, World::disk_bytes, 512).error == NbdError::inval);
  for (const Code code : {Code::invalid, Code::not_found, Code::exists, Code::read_only, Code::out_of_range, Code::busy,
                          Code::cancelled, Code::shutdown, Code::unsupported, Code::too_large}) {
    world.fail([code](const Call&) { return std::optional(Error{code, "none of the log's business"}); });
    CHECK(client.write(0, pattern(512, 1)).error != NbdError::none);
  }
  CHECK(failures(world).empty());
}

TEST_CASE("failure reports: a flood that says one thing is one report, and the next one counts it") {
  World world(IoKind::automatic);
  world.fail([](const Call& call) {
    return std::optional(
        Error{Code::no_space, call.verb == Verb::flush ? "records: full" : "data file 7: write: full"});
  });
  Client client = Client::unix_socket(world);
  client.enter("disk");
  for (uint64_t i = 0; i < 500; i++) CHECK(client.write(4096 * i, pattern(512, 1)).error == NbdError::nospc);
  REQUIRE(failures(world).size() == 1);
  CHECK(client.request(Command::flush, 0, 0).error == NbdError::nospc);
  const auto told = failures(world);
  REQUIRE(told.size() == 2);
  CHECK(told[1].error.message == "records: full");
  CHECK(told[1].unsaid == 499);
}

TEST_CASE(
    "failure reports: a flood that says something else each time is bounded, and a full disk hides no broken one") {
  World world(IoKind::automatic);
  int turn = 0;
  world.fail([&turn](const Call& call) -> std::optional<Error> {
    if (call.verb == Verb::flush) return Error{Code::io, "broken"};
    return Error{Code::no_space, "full " + std::to_string(turn++)};
  });
  Client client = Client::unix_socket(world);
  client.enter("disk");
  for (int i = 0; i < 500; i++) CHECK(client.write(0, pattern(512, 1)).error == NbdError::nospc);
  // 20 in each window; on a machine that stands still there may be more of those.
  const size_t of_space = failures(world).size();
  CHECK(of_space >= ReportLimit::reports_per_window);
  CHECK(of_space < 500);
  CHECK(client.request(Command::flush, 0, 0).error == NbdError::io);
  const auto told = failures(world);
  REQUIRE(told.size() == of_space + 1);
  CHECK(told.back().error.message == "broken");
  CHECK(told.back().unsaid == 0);
}

TEST_SUITE_END();

TEST_CASE("report limit: so many in a window, and the first of the next says how many were left out") {
  ReportLimit limit;
  const uint64_t begin = 5'000'000'000;
  for (uint32_t i = 0; i < ReportLimit::reports_per_window; i++) CHECK(limit.may_report(begin + i) == 0u);
  for (int i = 0; i < 7; i++) CHECK_FALSE(limit.may_report(begin + 100));
  CHECK_FALSE(limit.may_report(begin - 1));  // by the clock of another loop
  limit.leave_unsaid();
  CHECK_FALSE(limit.may_report(begin + ReportLimit::window_ns - 1));
  CHECK(limit.may_report(begin + ReportLimit::window_ns) == 10u);
  CHECK(limit.may_report(begin + ReportLimit::window_ns + 1) == 0u);
}

}  // namespace
}  // namespace atl::nbd::test
