// commands_test.cc: each command over a real socket, on both kinds of loop.
#include <doctest/doctest.h>

#include <cstring>
#include <set>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

using atl::test::bytes_of;

TEST_SUITE_BEGIN("threads");

TEST_CASE("READ gives back what WRITE wrote, over unix and TCP, with simple and structured replies") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  const auto data = pattern(70'000, 1);
  for (bool structured : {false, true})
    for (bool tcp : {false, true}) {
      Client client = tcp ? Client::tcp(world) : Client::unix_socket(world);
      client.enter("disk", structured);
      CHECK(client.write(12'345, data).error == NbdError::none);
      const Reply reply = client.request(Command::read, 12'345, 70'000);
      CHECK(reply.structured == structured);
      CHECK(reply.data == data);
      if (structured) CHECK(reply.offset == 12'345);
    }
}

TEST_CASE("a client of the first newstyle reads and writes after EXPORT_NAME") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.greet(0);
  Wire name, wire;
  name.text("disk");
  wire.option(Option::export_name, name);
  client.send(wire);
  const auto answer = client.receive(134);
  CHECK(load_be<uint64_t>(answer.data()) == World::disk_bytes);
  CHECK(client.write(0, pattern(4096, 2)).error == NbdError::none);
  CHECK(client.request(Command::read, 0, 4096).data == pattern(4096, 2));
}

TEST_CASE("with structured replies every answer to READ is structured, errors with a message; without, none is") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.fail([](const MemoryDevice::Call& call) -> std::optional<Error> {
    if (call.offset == 8192) return Error{Code::io, "a broken sector"};
    return std::nullopt;
  });
  Client modern = Client::unix_socket(world);
  modern.enter("disk");
  Reply reply = modern.request(Command::read, World::disk_bytes, 512);
  CHECK(reply.structured);
  CHECK(reply.error == NbdError::inval);
  CHECK_FALSE(reply.message.empty());
  reply = modern.request(Command::read, 0, 512, 0x8000);
  CHECK(reply.structured);
  CHECK(reply.error == NbdError::inval);
  reply = modern.request(Command::read, 8192, 512);
  CHECK(reply.structured);
  CHECK(reply.error == NbdError::io);
  CHECK(reply.message == "a broken sector");
  CHECK(modern.request(Command::read, 0, 0).structured);

  Client old = Client::unix_socket(world);
  old.enter("disk", false);
  for (uint64_t offset : {World::disk_bytes, uint64_t{8192}}) {
    reply = old.request(Command::read, offset, 512);
    CHECK_FALSE(reply.structured);
    CHECK(reply.error != NbdError::none);
  }
  CHECK(old.request(Command::read, 0, 512).data.size() == 512);
}

TEST_CASE("tenants are told the kind of a device's failure, not its particulars") {
  World world(IoKind::automatic);
  world.fail([](const MemoryDevice::Call&) { return std::optional(Error{Code::io, "/data/secret/path"}); });
  Client client = Client::tcp(world);
  client.enter("disk");
  CHECK(client.request(Command::read, 0, 512).message == "io");
}

TEST_CASE("requests of length zero are answered and the connection lives") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  for (bool structured : {false, true}) {
    Client client = Client::unix_socket(world);
    client.enter("disk", structured);
    for (Command command : {Command::read, Command::write, Command::trim, Command::cache, Command::write_zeroes})
      for (uint64_t offset : {uint64_t{0}, World::disk_bytes}) {
        const Reply reply = client.request(command, offset, 0);
        CHECK(reply.error == NbdError::none);
        CHECK(reply.data.empty());
        if (command == Command::read && structured) CHECK(reply.chunk == Chunk::none);
      }
  }
}

TEST_CASE("WRITE_ZEROES zeroes, TRIM gives space back, CACHE and FLUSH succeed") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  CHECK(client.write(0, pattern(8192, 3)).error == NbdError::none);
  CHECK(client.request(Command::write_zeroes, 100, 5000).error == NbdError::none);
  auto expected = pattern(8192, 3);
  std::memset(expected.data() + 100, 0, 5000);
  CHECK(client.request(Command::read, 0, 8192).data == expected);
  CHECK(client.request(Command::write_zeroes, 0, 4096, cflag_no_hole).error == NbdError::none);
  CHECK(client.request(Command::write_zeroes, 0, 4096, cflag_fast_zero).error == NbdError::none);
  CHECK(client.request(Command::write_zeroes, 0, 4096, cflag_fast_zero | cflag_no_hole).error == NbdError::notsup);
  CHECK(client.request(Command::trim, 0, 65536).error == NbdError::none);
  CHECK(client.request(Command::read, 0, 8192).data == std::vector<std::byte>(8192));
  CHECK(client.request(Command::cache, 0, 65536).error == NbdError::none);
  CHECK(client.request(Command::flush, 0, 0).error == NbdError::none);
  CHECK(world.disk->flushes == 1);
}

TEST_CASE("FUA reaches the device with each command that writes, and is harmless with the others") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk", true, true);
  CHECK(client.write(0, pattern(512, 4), cflag_fua).error == NbdError::none);
  CHECK(client.request(Command::write_zeroes, 0, 512, cflag_fua).error == NbdError::none);
  CHECK(client.request(Command::trim, 0, 4096, cflag_fua).error == NbdError::none);
  CHECK(world.disk->fua_writes == 3);
  CHECK(client.request(Command::read, 0, 512, cflag_fua).error == NbdError::none);
  CHECK(client.request(Command::flush, 0, 0, cflag_fua).error == NbdError::none);
  CHECK(client.request(Command::cache, 0, 512, cflag_fua).error == NbdError::none);
  CHECK(client.request(Command::block_status, 0, 512, cflag_fua).error == NbdError::none);
}

TEST_CASE("a read-only export refuses every write with EPERM, its payload is skipped, and the connection lives") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("ro");
  CHECK(client.write(0, pattern(300'000, 5)).error == NbdError::perm);
  CHECK(client.request(Command::trim, 0, 4096).error == NbdError::perm);
  CHECK(client.request(Command::write_zeroes, 0, 4096).error == NbdError::perm);
  CHECK(client.request(Command::read, 0, 4096).data == std::vector<std::byte>(4096));
  CHECK(client.request(Command::flush, 0, 0).error == NbdError::none);
}

TEST_CASE(
    "a WRITE past the end is ENOSPC, or over the maximum EINVAL; its payload is skipped and the connection lives") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.payload_bytes = 1u << 20;
  World world(kind, limits);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  CHECK(client.write(World::disk_bytes - 100, pattern(200, 6)).error == NbdError::nospc);
  CHECK(client.write(0, pattern((1u << 20) + 1, 6)).error == NbdError::inval);
  CHECK(client.write(UINT64_MAX - 100, pattern(200, 6)).error == NbdError::nospc);
  CHECK(client.request(Command::read, 0, (1u << 20) + 1).error == NbdError::inval);
  CHECK(client.request(Command::read, 0, (1u << 20) + 1, cflag_df).error == NbdError::overflow);
  CHECK(client.request(Command::read, 0, 4096).data == std::vector<std::byte>(4096));
}

TEST_CASE("a full disk is ENOSPC to that request and nothing else breaks") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.fail([](const MemoryDevice::Call& call) -> std::optional<Error> {
    if (call.verb == MemoryDevice::Verb::write && call.offset >= 4096) return Error{Code::no_space, "full"};
    return std::nullopt;
  });
  Client client = Client::unix_socket(world);
  client.enter("disk");
  CHECK(client.write(4096, pattern(512, 7)).error == NbdError::nospc);
  CHECK(client.write(0, pattern(512, 7)).error == NbdError::none);
}

TEST_CASE("a READ larger than a piece comes in chunks that cover it; with DF, or simple, in one") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  const size_t length = (5u << 20) + 17;
  const auto data = pattern(length, 8);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  CHECK(client.write(1000, data).error == NbdError::none);
  Wire wire;
  wire.request(Command::read, 7, 1000, length);
  client.send(wire);
  std::vector<std::byte> got(length);
  size_t chunks = 0, covered = 0;
  for (bool done = false; !done; chunks++) {
    const Reply reply = client.reply();
    CHECK(reply.cookie == 7);
    REQUIRE(reply.chunk == Chunk::offset_data);
    REQUIRE(reply.offset - 1000 + reply.data.size() <= length);
    std::memcpy(got.data() + (reply.offset - 1000), reply.data.data(), reply.data.size());
    covered += reply.data.size();
    done = reply.done;
  }
  CHECK(chunks == 6);
  CHECK(covered == length);
  CHECK(got == data);

  const Reply whole = client.request(Command::read, 1000, length, cflag_df);
  CHECK(whole.done);
  CHECK(whole.data == data);
  Client old = Client::unix_socket(world);
  old.enter("disk", false);
  CHECK(old.request(Command::read, 1000, length).data == data);
}

TEST_CASE("a READ that fails in the middle ends with an error that says where") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.fail([](const MemoryDevice::Call& call) -> std::optional<Error> {
    if (call.offset == 2u << 20) return Error{Code::io, "a broken sector"};
    return std::nullopt;
  });
  Client client = Client::unix_socket(world);
  client.enter("disk");
  Wire wire;
  wire.request(Command::read, 7, 0, 5u << 20);
  client.send(wire);
  Reply reply = client.reply();
  CHECK_FALSE(reply.done);
  reply = client.reply();
  CHECK_FALSE(reply.done);
  reply = client.reply();
  CHECK(reply.done);
  CHECK(reply.chunk == Chunk::error_offset);
  CHECK(reply.error == NbdError::io);
  CHECK(reply.offset == 2u << 20);
  CHECK(client.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("a WRITE larger than a piece is written piece by piece; with FUA one flush makes all of it durable") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  const auto data = pattern((3u << 20) + 5, 9);
  CHECK(client.write(77, data, cflag_fua).error == NbdError::none);
  CHECK(world.disk->fua_writes == 0);
  CHECK(world.disk->flushes == 1);
  CHECK(client.request(Command::read, 77, static_cast<uint32_t>(data.size()), cflag_df).data == data);
  CHECK(client.write(0, data).error == NbdError::none);
  CHECK(world.disk->flushes == 1);
}

TEST_CASE("a WRITE of which one piece fails is an error, all of its payload is taken, and the connection lives") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.fail([](const MemoryDevice::Call& call) -> std::optional<Error> {
    if (call.verb == MemoryDevice::Verb::write && call.offset == 1u << 20) return Error{Code::no_space, "full"};
    return std::nullopt;
  });
  Client client = Client::unix_socket(world);
  client.enter("disk");
  CHECK(client.write(0, pattern(6u << 20, 10), cflag_fua).error == NbdError::nospc);
  CHECK(world.disk->flushes == 0);
  CHECK(client.request(Command::read, 0, 512).error == NbdError::none);
}

struct Descriptor {
  uint32_t length;
  uint32_t flags;
};
std::vector<Descriptor> descriptors(const Reply& reply) {
  REQUIRE(reply.chunk == Chunk::block_status);
  WireReader reader(reply.data);
  reader.number<uint32_t>();  // the context: there is one
  std::vector<Descriptor> found;
  while (reader.left() > 0) {
    const uint32_t length = reader.number<uint32_t>();
    found.push_back({length, reader.number<uint32_t>()});
  }
  CHECK(reader.ok());
  return found;
}

TEST_CASE("BLOCK_STATUS tells data from holes, one extent with REQ_ONE, no more than the limit otherwise") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.status_extents = 3;
  World world(kind, limits);
  Client client = Client::unix_socket(world);
  client.enter("disk", true, true);
  constexpr uint32_t page = MemoryDevice::page_bytes;
  for (uint32_t i = 1; i < 10; i += 2) CHECK(client.write(i * page, pattern(512, i)).error == NbdError::none);
  auto found = descriptors(client.request(Command::block_status, 0, 2 * page));
  REQUIRE(found.size() == 2);
  CHECK(found[0].length == page);
  CHECK(found[0].flags == (state_hole | state_zero));
  CHECK(found[1].length == page);
  CHECK(found[1].flags == 0);
  found = descriptors(client.request(Command::block_status, 100, 10 * page));
  CHECK(found.size() == 3);
  CHECK(found[0].length == page - 100);
  found = descriptors(client.request(Command::block_status, 0, 10 * page, cflag_req_one));
  CHECK(found.size() == 1);
  CHECK(client.request(Command::block_status, 0, World::disk_bytes + 1).error == NbdError::inval);
  Client without = Client::unix_socket(world);
  without.enter("disk");
  CHECK(without.request(Command::block_status, 0, 512).error == NbdError::inval);
}

TEST_CASE("64 requests in flight are answered in the order of their ends, each once, with its own data") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  for (uint64_t i = 0; i < 64; i++) CHECK(client.write(i * 4096, pattern(4096, 100 + i)).error == NbdError::none);
  world.delay([](const MemoryDevice::Call& call) { return (64 - call.offset / 4096) * 1'000'000; });
  Wire wire;
  for (uint64_t i = 0; i < 64; i++) wire.request(Command::read, i, i * 4096, 4096);
  client.send(wire);
  std::set<uint64_t> seen;
  bool in_order = true;
  for (uint64_t i = 0; i < 64; i++) {
    const Reply reply = client.reply();
    REQUIRE(reply.cookie < 64);
    CHECK(seen.insert(reply.cookie).second);
    CHECK(reply.data == pattern(4096, static_cast<uint32_t>(100 + reply.cookie)));
    in_order = in_order && reply.cookie == i;
  }
  CHECK_FALSE(in_order);
  CHECK(world.disk->running_max == 64);
}

TEST_CASE("a request that waited for its payload while the device shrank is refused, not passed on") {
  World world(IoKind::automatic);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  const auto data = pattern(4096, 11);
  Wire wire;
  wire.request(Command::write, 1, World::disk_bytes - 4096, 4096);
  wire.append(Bytes(data).first(100));
  client.send(wire);
  CHECK(Client::unix_socket(world).enter("disk").request(Command::read, 0, 512).error == NbdError::none);
  world.at_home([&] { world.disk->resize(World::disk_bytes / 2); });
  client.send(Bytes(data).subspan(100));
  CHECK(client.reply().error == NbdError::nospc);
  CHECK(client.request(Command::read, World::disk_bytes / 2, 1).error == NbdError::inval);
}

TEST_CASE("a grown device's new end can be used at once") {
  World world(IoKind::automatic);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  world.at_home([&] { world.disk->resize(World::disk_bytes * 2); });
  CHECK(client.request(Command::read, World::disk_bytes, 4096).error == NbdError::none);
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
