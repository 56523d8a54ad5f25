// sparse_reads_test.cc: READs of which a part reads as zeros: told as holes where the client understands that, sent otherwise.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

constexpr uint64_t page = MemoryDevice::page_bytes;

struct Sparse {
  std::vector<Reply> chunks;
  std::vector<std::byte> bytes;
};

/// Puts a structured answer together; every byte must be told exactly once.
Sparse sparse_read(Client& client, uint64_t offset, uint32_t length, uint16_t flags = 0) {
  Wire wire;
  wire.request(Command::read, 7, offset, length, flags);
  client.send(wire);
  Sparse got;
  got.bytes.resize(length);
  std::vector<bool> told(length);
  do {
    Reply chunk = client.reply();
    CHECK(chunk.cookie == 7);
    REQUIRE((chunk.chunk == Chunk::offset_data || chunk.chunk == Chunk::offset_hole));
    REQUIRE(!chunk.data.empty());
    REQUIRE(chunk.offset - offset + chunk.data.size() <= length);
    std::memcpy(got.bytes.data() + (chunk.offset - offset), chunk.data.data(), chunk.data.size());
    const auto from = told.begin() + static_cast<ptrdiff_t>(chunk.offset - offset);
    const auto to = from + static_cast<ptrdiff_t>(chunk.data.size());
    CHECK(std::find(from, to, true) == to);
    std::fill(from, to, true);
    got.chunks.push_back(std::move(chunk));
  } while (!got.chunks.back().done);
  CHECK(std::find(told.begin(), told.end(), false) == told.end());
  return got;
}

std::string kinds(const Sparse& read) {
  std::string text;
  for (const Reply& chunk : read.chunks) text += chunk.chunk == Chunk::offset_hole ? 'h' : 'd';
  return text;
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("READ: what reads as zeros is a hole in the answer, and only the rest is sent") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  std::vector<std::byte> model(6 * page);
  for (uint64_t at : {1, 4}) {
    const auto data = pattern(page, static_cast<uint32_t>(at));
    CHECK(client.write(at * page, data).error == NbdError::none);
    std::copy(data.begin(), data.end(), model.begin() + static_cast<ptrdiff_t>(at * page));
  }
  const Sparse all = sparse_read(client, 0, 6 * page);
  CHECK(kinds(all) == "hdhdh");
  CHECK(all.bytes == model);
  CHECK(all.chunks[2].offset == 2 * page);
  CHECK(all.chunks[2].data.size() == 2 * page);
  CHECK(kinds(sparse_read(client, 1000, 5000)) == "h");
  CHECK(kinds(sparse_read(client, page + 1000, 5000)) == "d");
  const Sparse edges = sparse_read(client, page - 1, page + 2);
  CHECK(kinds(edges) == "hdh");
  CHECK(std::equal(edges.bytes.begin(), edges.bytes.end(), model.begin() + page - 1));
}

TEST_CASE("READ: with DF there is one chunk: a hole when all of it is, data with its zeros otherwise") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  const auto data = pattern(page, 1);
  CHECK(client.write(0, data).error == NbdError::none);
  // The zeros must be zeros: a buffer that was used before is full of other bytes.
  CHECK(sparse_read(client, 0, page).bytes == data);
  const Sparse mixed = sparse_read(client, page / 2, page, cflag_df);
  CHECK(kinds(mixed) == "d");
  std::vector<std::byte> expected(page);
  std::copy(data.begin() + page / 2, data.end(), expected.begin());
  CHECK(mixed.bytes == expected);
  CHECK(kinds(sparse_read(client, 2 * page, 3 * page, cflag_df)) == "h");
}

TEST_CASE("READ: a client of simple replies is sent the zeros") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk", false);
  const auto data = pattern(page, 1);
  CHECK(client.write(0, data).error == NbdError::none);
  CHECK(client.request(Command::read, 0, page).data == data);
  std::vector<std::byte> expected(2 * page);
  std::copy(data.begin(), data.end(), expected.begin());
  CHECK(client.request(Command::read, 0, 2 * page).data == expected);
}

TEST_CASE("READ: holes and data of a read larger than a piece come in chunks that cover it once") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  std::vector<std::byte> model(World::disk_bytes);
  for (uint64_t at = 0; at < model.size() / page; at += 3) {
    const auto data = pattern(page, static_cast<uint32_t>(at));
    CHECK(client.write(at * page, data).error == NbdError::none);
    std::copy(data.begin(), data.end(), model.begin() + static_cast<ptrdiff_t>(at * page));
  }
  const Sparse all = sparse_read(client, 0, World::disk_bytes);
  CHECK(all.bytes == model);
  const Sparse inside = sparse_read(client, 777, (5u << 20) + 1);
  CHECK(std::equal(inside.bytes.begin(), inside.bytes.end(), model.begin() + 777));
  // And again at once, while others read too.
  Wire wire;
  for (uint64_t i = 0; i < 20; i++) wire.request(Command::read, i, i * page, 3 * page);
  client.send(wire);
  size_t bytes = 0;
  for (size_t done = 0; done < 20;) {
    const Reply chunk = client.reply();
    bytes += chunk.data.size();
    if (chunk.done) done++;
  }
  CHECK(bytes == 20 * 3 * page);
}

TEST_CASE("READ: a client that leaves in the middle of a sparse answer takes only its connection with it") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  {
    Client writer = Client::unix_socket(world);
    writer.enter("disk");
    for (uint64_t at = 0; at < World::disk_bytes / page; at += 2)
      CHECK(writer.write(at * page, pattern(page, 1)).error == NbdError::none);
    Client client = Client::unix_socket(world);
    client.enter("disk");
    Wire wire;
    for (uint64_t i = 0; i < 100; i++) wire.request(Command::read, i, 0, 4u << 20);
    client.send(wire);
    client.reply();
  }
  eventually([&] { return world.resolver.leases == 0; });
  Client other = Client::unix_socket(world);
  other.enter("disk");
  CHECK(kinds(sparse_read(other, 0, 2 * page)) == "dh");
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
