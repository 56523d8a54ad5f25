// What is counted for each export, over real sockets, and how long it is kept.
#include <numeric>

#include "nbd/server/export_counters.h"
#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

/// All zeros when there is none of this name.
NbdExportCounters counters_of(const World& world, const std::string& name, Door door = Door::operator_door) {
  for (const NbdExportCounters& one : world.server->export_counters())
    if (one.name == name && one.door == door) return one;
  return {};
}

uint64_t requests_of(const NbdExportCounters& counters, Command command) {
  return counters.requests[static_cast<size_t>(command)];
}

uint64_t sum_of(const NbdExportCounters& counters, LatencyKind kind) {
  const LatencyHistogram& histogram = counters.latency[static_cast<size_t>(kind)];
  return std::accumulate(histogram.begin(), histogram.end(), uint64_t{0});
}

}  // namespace

TEST_CASE("export counters: requests, bytes and errors are exact, and each answered request is in one histogram") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.fail([](const MemoryDevice::Call& call) -> std::optional<Error> {
    if (call.offset == (8u << 20)) return Error{Code::io, "bad place"};
    return std::nullopt;
  });
  Client client = Client::unix_socket(world);
  client.enter("disk", true, true);
  const auto payload = pattern(4096, 1);
  for (uint64_t i = 0; i < 5; i++) CHECK(client.write(i * 4096, payload).error == NbdError::none);
  for (uint64_t i = 0; i < 3; i++) client.request(Command::read, i * 4096, 4096);
  client.request(Command::read, 0, 0);
  client.request(Command::flush, 0, 0);
  client.request(Command::trim, 0, 4096);
  client.request(Command::write_zeroes, 0, 4096);
  client.request(Command::cache, 0, 4096);
  client.request(Command::block_status, 0, 4096, cflag_req_one);
  // Errors: by the device, by the rules (with a payload that is read past), and a command that nobody knows.
  CHECK(client.request(Command::read, 8u << 20, 4096).error == NbdError::io);
  CHECK(client.write(8u << 20, payload).error == NbdError::io);
  CHECK(client.write(World::disk_bytes, payload).error == NbdError::nospc);
  CHECK(client.request(Command::flush, 1, 0).error == NbdError::inval);
  CHECK(client.request(Command{99}, 0, 0).error == NbdError::inval);

  const NbdExportCounters counters = counters_of(world, "disk");
  CHECK(requests_of(counters, Command::read) == 5);
  CHECK(requests_of(counters, Command::write) == 7);
  CHECK(requests_of(counters, Command::flush) == 2);
  for (Command command : {Command::trim, Command::write_zeroes, Command::cache, Command::block_status})
    CHECK(requests_of(counters, command) == 1);
  CHECK(requests_of(counters, Command::disconnect) == 0);
  CHECK(counters.errors == 5);
  CHECK(counters.bytes_read == 3 * 4096);
  CHECK(counters.bytes_written == 5 * 4096);
  CHECK(sum_of(counters, LatencyKind::read) == 5);
  CHECK(sum_of(counters, LatencyKind::write) == 7);
  CHECK(sum_of(counters, LatencyKind::flush) == 2);
  CHECK(sum_of(counters, LatencyKind::other) == 4);
}

TEST_CASE("export counters: a request in many pieces is one request, with the bytes of all") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk", false);  // simple replies: a READ is answered in one piece
  const auto payload = pattern(5u << 20, 2);
  CHECK(client.write(0, payload, cflag_fua).error == NbdError::none);
  Client other = Client::unix_socket(world);
  other.enter("disk");
  Wire wire;
  wire.request(Command::read, 1, 0, 5u << 20);
  other.send(wire);
  while (!other.reply().done) {
  }
  const NbdExportCounters counters = counters_of(world, "disk");
  CHECK(counters.bytes_written == 5u << 20);
  CHECK(counters.bytes_read == 5u << 20);
  CHECK(sum_of(counters, LatencyKind::write) == 1);
  CHECK(sum_of(counters, LatencyKind::read) == 1);
  CHECK(counters.errors == 0);
}

TEST_CASE("export counters: a slow device is in the histogram's bucket of its time, or above") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.delay([](const MemoryDevice::Call&) { return 3'000'000; });
  Client client = Client::unix_socket(world);
  client.enter("disk");
  for (int i = 0; i < 4; i++) client.request(Command::read, 0, 512);
  const NbdExportCounters counters = counters_of(world, "disk");
  const LatencyHistogram& reads = counters.latency[static_cast<size_t>(LatencyKind::read)];
  // 2048 to 4095 µs is bucket 12.
  CHECK(std::accumulate(reads.begin(), reads.begin() + 12, uint64_t{0}) == 0);
  CHECK(sum_of(counters, LatencyKind::read) == 4);
}

TEST_CASE("export counters: the histogram's buckets are powers of two of a microsecond") {
  ExportCounters counters;
  for (uint64_t took_ns : {0ull, 999ull, 1'000ull, 1'999ull, 2'000ull, 3'999ull, 4'000ull, 4'194'303'999ull})
    counters.answered(Command::trim, took_ns);
  for (uint64_t took_ns : {4'194'304'000ull, 1'000'000'000'000'000ull}) counters.answered(Command::trim, took_ns);
  const auto& others = counters.latency[static_cast<size_t>(LatencyKind::other)];
  CHECK(others[0].get() == 2);
  CHECK(others[1].get() == 2);
  CHECK(others[2].get() == 2);
  CHECK(others[3].get() == 1);
  CHECK(others[22].get() == 1);
  CHECK(others[23].get() == 2);
}

TEST_CASE("export counters: connections now and in all, by the canonical name, and numbers stay when all have left") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  {
    Client one = Client::unix_socket(world), two = Client::unix_socket(world), asks = Client::unix_socket(world);
    one.enter("disk");
    two.enter("alias");
    asks.greet();
    asks.go("disk", Option::info);  // opened, but never served
    one.request(Command::read, 0, 512);
    two.request(Command::read, 0, 512);
    const NbdExportCounters counters = counters_of(world, "disk");
    CHECK(counters.connections == 2);
    CHECK(counters.accepted == 2);
    CHECK(requests_of(counters, Command::read) == 2);
    CHECK(world.server->export_counters().size() == 1);
    Wire bye;
    bye.request(Command::disconnect, 1, 0, 0);
    one.send(bye);
    CHECK(one.at_end());
  }
  eventually([&] { return world.server->counters().connections == 0; });
  const NbdExportCounters counters = counters_of(world, "disk");
  CHECK(counters.connections == 0);
  CHECK(counters.accepted == 2);
  CHECK(requests_of(counters, Command::read) == 2);
  CHECK(requests_of(counters, Command::disconnect) == 1);
}

TEST_CASE("export counters: where names are secrets the label is told, and the two doors are counted apart") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.resolver.add("s3cret", {world.disk, false, "", {}, "attachment 7"});
  Client tenant = Client::tcp(world), owner = Client::unix_socket(world);
  tenant.enter("s3cret");
  owner.enter("s3cret");
  tenant.request(Command::read, 0, 512);
  CHECK(counters_of(world, "attachment 7", Door::tenant).bytes_read == 512);
  CHECK(counters_of(world, "attachment 7", Door::operator_door).bytes_read == 0);
  for (const NbdExportCounters& one : world.server->export_counters()) CHECK(one.name == "attachment 7");
}

TEST_CASE("export counters: of exports without connections the limit's number is kept, those that left last") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.idle_exports = 2;
  World world(kind, limits);
  const auto visit = [&](const std::string& name) {
    world.resolver.add(name, {world.disk, false, ""});
    Client client = Client::unix_socket(world);
    client.enter(name);
    client.request(Command::read, 0, 512);
    client.close();
    eventually([&] { return counters_of(world, name).connections == 0 && world.server->counters().connections <= 1; });
  };
  Client stays = Client::unix_socket(world);
  stays.enter("disk");
  for (const char* name : {"a", "b", "a", "c"}) visit(name);  // b left longest ago
  CHECK(counters_of(world, "a").accepted == 2);
  CHECK(counters_of(world, "b").accepted == 0);
  CHECK(counters_of(world, "c").accepted == 1);
  CHECK(counters_of(world, "disk").connections == 1);
  CHECK(world.server->export_counters().size() == 3);
}

TEST_CASE(
    "export counters: an export whose device moved to another loop has a writer on each, and readers see the sum") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World elsewhere(kind);  // only its loop is borrowed, as the home of the second device; it ends last
  World world(kind, {}, 2);
  Client before = Client::unix_socket(world);
  before.enter("disk");
  before.request(Command::read, 0, 512);
  auto moved = std::make_shared<MemoryDevice>(elsewhere.home(), World::disk_bytes);
  world.resolver.add("disk", {moved, false, ""});
  Client after = Client::unix_socket(world);
  after.enter("disk");
  after.request(Command::read, 0, 512);
  before.request(Command::read, 0, 512);
  const NbdExportCounters counters = counters_of(world, "disk");
  CHECK(counters.connections == 2);
  CHECK(requests_of(counters, Command::read) == 3);
  CHECK(world.server->export_counters().size() == 1);
}

}  // namespace atl::nbd::test
