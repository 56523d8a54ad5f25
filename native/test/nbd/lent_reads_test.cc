// lent_reads_test.cc: READs whose data the kernel takes out of a file. The file holds other bytes than the device, so that every byte
// of an answer says where it came from.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

constexpr uint32_t MiB = 1u << 20;

struct LendingWorld {
  std::vector<std::byte> in_file = pattern(World::disk_bytes, 1);
  std::vector<std::byte> in_memory = pattern(World::disk_bytes, 2);
  std::string path = "/tmp/atoll-lent-" + std::to_string(::getpid());
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  std::atomic<uint64_t> loans{0};
  World world;

  explicit LendingWorld(IoKind kind, NbdLimits limits = {}) : world(kind, limits) {
    REQUIRE(fd >= 0);
    ::unlink(path.c_str());
    REQUIRE(::pwrite(fd, in_file.data(), in_file.size(), 0) == static_cast<ssize_t>(in_file.size()));
    Client writer = Client::unix_socket(world);
    writer.enter("disk");
    CHECK(writer.write(0, in_memory).error == NbdError::none);
    world.at_home([this] {
      world.disk->lends = [this](uint64_t offset, uint64_t) {
        loans++;
        return FileRange{fd, offset, nullptr};
      };
    });
  }
  ~LendingWorld() {
    world.shutdown();
    ::close(fd);
  }
};

bool same(const std::vector<std::byte>& got, const std::vector<std::byte>& expected, uint64_t offset) {
  return std::equal(got.begin(), got.end(), expected.begin() + static_cast<ptrdiff_t>(offset));
}

/// Asks for all of `reads` before it takes the first answer, which then come in any order: chunks by their offset.
std::vector<std::byte> read_in_one_go(Client& client, uint64_t offset, uint32_t length, uint32_t each) {
  Wire wire;
  for (uint32_t at = 0; at < length; at += each) wire.request(Command::read, at, offset + at, each);
  client.send(wire);
  std::vector<std::byte> got(length);
  for (uint32_t done = 0; done < length / each;) {
    const Reply chunk = client.reply();
    REQUIRE(chunk.error == NbdError::none);
    std::copy(chunk.data.begin(), chunk.data.end(), got.begin() + static_cast<ptrdiff_t>(chunk.offset - offset));
    if (chunk.done) done++;
  }
  return got;
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("READ: large data leaves straight from the file, small data is copied") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  LendingWorld lending(kind);
  for (const bool structured : {true, false}) {
    Client client = Client::unix_socket(lending.world);
    client.enter("disk", structured);
    const Reply large = client.request(Command::read, 777, MiB);
    CHECK(large.error == NbdError::none);
    CHECK(same(large.data, lending.in_file, 777));
    const Reply small = client.request(Command::read, 777, 4096);
    CHECK(same(small.data, lending.in_memory, 777));
  }
  Client over_tcp = Client::tcp(lending.world);
  over_tcp.enter("disk");
  CHECK(same(read_in_one_go(over_tcp, 0, World::disk_bytes, MiB), lending.in_file, 0));
}

TEST_CASE("READ: nothing is lent to a connection that is encrypted") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  LendingWorld lending(kind);
  const uint16_t port = lending.world.listen_with(TlsMode::required, atl::test::server_material());
  Client client = Client::tcp(port);
  client.greet().upgrade();
  CHECK(client.option(Option::structured_reply).back().type == OptionReply::ack);
  CHECK(client.go("disk").back().type == OptionReply::ack);
  CHECK(same(read_in_one_go(client, 0, 2 * MiB, MiB), lending.in_memory, 0));
  CHECK(lending.loans == 0);
}

TEST_CASE("READ: a client that is slow to take lent data gets all of it, whatever the sizes") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  LendingWorld lending(kind);
  Client client = Client::unix_socket(lending.world);
  client.enter("disk");
  for (const uint32_t each : {64u << 10, 128u << 10, 256u << 10, MiB, 8 * MiB})
    CHECK(same(read_in_one_go(client, 0, World::disk_bytes, each), lending.in_file, 0));
  // Lent and copied answers take turns in one batch.
  Wire wire;
  for (uint64_t i = 0; i < 32; i++) wire.request(Command::read, i, i * 4096, i % 2 == 0 ? MiB : 4096);
  client.send(wire);
  for (int done = 0; done < 32; done++) {
    const Reply chunk = client.reply();
    const bool large = chunk.cookie % 2 == 0;
    CHECK(chunk.data.size() == (large ? MiB : 4096));
    CHECK(same(chunk.data, large ? lending.in_file : lending.in_memory, chunk.cookie * 4096));
  }
}

TEST_CASE("READ: what the device no longer lends when its turn comes is read, from where it had got to") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  LendingWorld lending(kind);
  Client client = Client::unix_socket(lending.world);
  client.enter("disk");
  // One loan is looked at when the request comes, each other one is for some of the bytes.
  std::atomic<int> left{0};
  lending.world.at_home([&] {
    lending.world.disk->lends = [&](uint64_t offset, uint64_t) -> std::optional<FileRange> {
      if (left-- <= 0) return std::nullopt;
      return FileRange{lending.fd, offset, nullptr};
    };
  });
  for (const int loans : {1, 2, 3}) {
    left = loans;
    Wire wire;
    wire.request(Command::read, 1, 0, MiB);
    client.send(wire);
    if (loans > 1) eventually([&] { return left <= loans - 2; });  // the socket is full by then
    const Reply answer = client.reply();
    REQUIRE(answer.data.size() == MiB);
    const auto split = std::mismatch(answer.data.begin(), answer.data.end(), lending.in_file.begin()).first;
    CHECK((loans == 1) == (split == answer.data.begin()));
    CHECK(std::equal(split, answer.data.end(), lending.in_memory.begin() + (split - answer.data.begin())));
  }
}

TEST_CASE("READ: a lent file that ends early, or cannot be sent from, is read instead") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  LendingWorld lending(kind);
  Client client = Client::unix_socket(lending.world);
  client.enter("disk");
  REQUIRE(::ftruncate(lending.fd, MiB / 2) == 0);
  const Reply answer = client.request(Command::read, 0, MiB);
  REQUIRE(answer.data.size() == MiB);
  CHECK(std::equal(answer.data.begin(), answer.data.begin() + MiB / 2, lending.in_file.begin()));
  CHECK(std::equal(answer.data.begin() + MiB / 2, answer.data.end(), lending.in_memory.begin() + MiB / 2));
  lending.world.at_home([&] {
    lending.world.disk->lends = [](uint64_t offset, uint64_t) { return FileRange{-1, offset, nullptr}; };
  });
  CHECK(same(client.request(Command::read, 0, MiB).data, lending.in_memory, 0));
}

TEST_CASE("READ: when lent data can neither be sent nor read, the connection ends, for its head has promised it") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  LendingWorld lending(kind);
  Client client = Client::unix_socket(lending.world);
  client.enter("disk");
  REQUIRE(::ftruncate(lending.fd, MiB / 2) == 0);
  lending.world.fail([](const MemoryDevice::Call& call) -> std::optional<Error> {
    if (call.verb != MemoryDevice::Verb::read) return std::nullopt;
    return Error{Code::io, "broken"};
  });
  Wire wire;
  wire.request(Command::read, 1, 0, MiB);
  client.send(wire);
  const std::vector<std::byte> head_and_half = client.receive(20 + 8 + MiB / 2);
  CHECK(std::equal(head_and_half.begin() + 28, head_and_half.end(), lending.in_file.begin()));
  CHECK(client.at_end());
  eventually([&] { return lending.world.resolver.leases == 0; });
  // No reply says so any more: the log must.
  const auto told = lending.world.resolver.request_failures();
  REQUIRE(told.size() == 1);
  CHECK(told[0].error.message == "broken");
  CHECK(told[0].offset == MiB / 2);
  CHECK(told[0].length == MiB / 2);
}

TEST_CASE("READ: a client that leaves with lent data under way takes only its connection with it") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.send_stall_ms = 200;
  LendingWorld lending(kind, limits);
  Client silent = Client::unix_socket(lending.world);  // never takes anything: cut off after a while
  silent.enter("disk");
  {
    Client leaver = Client::unix_socket(lending.world);
    leaver.enter("disk");
    Wire wire;
    for (uint64_t i = 0; i < 20; i++) wire.request(Command::read, i, 0, 4 * MiB);
    leaver.send(wire);
    silent.send(wire);
    leaver.reply();
  }
  eventually([&] { return lending.world.resolver.leases == 0; });
  Client other = Client::unix_socket(lending.world);
  other.enter("disk");
  CHECK(same(other.request(Command::read, 0, MiB).data, lending.in_file, 0));
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
