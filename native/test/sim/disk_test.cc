// disk_test.cc: the simulated disk loses what was not synced, and only that.
#include "sim/disk.h"

#include <algorithm>
#include <set>

#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::sim;
using namespace atl::test;

namespace {

constexpr DataFileId file{7};

/// A machine with a disk, one executor, and the stores of one life.
struct World {
  explicit World(uint64_t seed, const DiskOptions& options = {}) : machine(seed), disk(seed, options) { open(); }

  void open() {
    data = disk.open_data();
    kv = disk.open_kv();
  }
  void start_again() {
    machine.run_until_idle();
    disk.turn_on();
    open();
  }
  void cut_power() {
    disk.cut_power();
    start_again();
  }
  Result<void> write(uint64_t offset, const std::string& bytes) {
    return machine.run(executor, data->write(file, offset, bytes_of(bytes)));
  }
  Result<void> sync() { return machine.run(executor, data->sync(file)); }
  std::string read(uint64_t offset, size_t length) {
    std::string bytes(length, '?');
    REQUIRE_OK(machine.run(executor, data->read(file, offset, bytes_of(bytes))));
    return bytes;
  }

  Machine machine;
  Disk disk;
  SimExecutor& executor = machine.add_executor();
  std::unique_ptr<DataStore> data;
  std::unique_ptr<Kv> kv;
};

const std::string block_a(4096, 'a'), block_b(4096, 'b'), block_c(4096, 'c');

}  // namespace

TEST_CASE("sim disk: what was synced survives every power cut") {
  for (uint64_t seed = 1; seed <= 50; seed++) {
    World world{seed};
    REQUIRE_OK(world.write(0, block_a));
    REQUIRE_OK(world.write(8192, block_b));
    REQUIRE_OK(world.sync());
    REQUIRE_OK(world.kv->write({{"lazy", "1"}}, false));
    REQUIRE_OK(world.kv->write({{"durable", "1"}}, true));
    world.cut_power();
    REQUIRE(world.read(0, 12'288) == block_a + std::string(4096, '\0') + block_b);
    REQUIRE(*world.kv->get("durable", nullptr) == "1");
    REQUIRE(*world.kv->get("lazy", nullptr) == "1");
  }
}

TEST_CASE("sim disk: what was not synced is lost, kept, torn or overtaken, sector by sector") {
  std::set<std::string> seen;
  for (uint64_t seed = 1; seed <= 200; seed++) {
    World world{seed};
    REQUIRE_OK(world.write(0, block_a));
    REQUIRE_OK(world.sync());
    REQUIRE_OK(world.write(0, block_b));
    REQUIRE_OK(world.write(0, block_c));
    REQUIRE(world.read(0, 4096) == block_c);
    world.cut_power();
    std::string sectors;
    const std::string bytes = world.read(0, 4096);
    for (size_t at = 0; at < bytes.size(); at += 512) {
      REQUIRE(bytes.substr(at, 512) == std::string(512, bytes[at]));  // a sector is one or the other
      sectors += bytes[at];
    }
    REQUIRE(sectors.find_first_not_of("abc") == std::string::npos);
    seen.insert(sectors);
  }
  CHECK(seen.contains("aaaaaaaa"));
  CHECK(seen.contains("bbbbbbbb"));
  CHECK(seen.contains("cccccccc"));
  CHECK(seen.size() > 20);  // and torn ones
}

TEST_CASE("sim disk: batches of the map survive as a prefix of their order") {
  std::set<std::string> seen;
  for (uint64_t seed = 1; seed <= 50; seed++) {
    World world{seed};
    for (const char* key : {"1", "2", "3"})
      REQUIRE_OK(world.kv->write({{key, "x"}, {std::string{key} + "+", "x"}}, false));
    world.cut_power();
    std::string keys;
    REQUIRE_OK(world.kv->scan("", "", nullptr, [&](std::string_view key, std::string_view) {
      keys += key;
      return true;
    }));
    seen.insert(keys);
  }
  CHECK(seen == std::set<std::string>{"", "11+", "11+22+", "11+22+33+"});
}

TEST_CASE("sim disk: a kill loses nothing that was written") {
  World world{1};
  REQUIRE_OK(world.write(0, block_a));
  REQUIRE_OK(world.kv->write({{"lazy", "1"}}, false));
  world.disk.kill();
  world.start_again();
  CHECK(world.read(0, 4096) == block_a);
  CHECK(*world.kv->get("lazy", nullptr) == "1");
  REQUIRE_OK(world.sync());
  world.cut_power();
  CHECK(world.read(0, 4096) == block_a);
}

TEST_CASE("sim disk: from the power cut on every call of the old stores answers io, and changes nothing") {
  World world{1};
  REQUIRE_OK(world.write(0, block_a));
  REQUIRE_OK(world.sync());
  world.disk.cut_power();
  std::string bytes(4096, '?');
  CHECK_CODE(Code::io, world.machine.run(world.executor, world.data->read(file, 0, bytes_of(bytes))));
  CHECK_CODE(Code::io, world.write(0, block_b));
  CHECK_CODE(Code::io, world.sync());
  CHECK_CODE(Code::io, world.kv->write({{"a", "1"}}, true));
  CHECK_CODE(Code::io, world.kv->get("a", nullptr));
  auto old_data = std::move(world.data);
  auto old_kv = std::move(world.kv);
  world.start_again();
  CHECK_CODE(Code::io, world.machine.run(world.executor, old_data->write(file, 0, bytes_of(block_b))));
  CHECK_CODE(Code::io, old_kv->write({{"a", "1"}}, true));
  CHECK(world.read(0, 4096) == block_a);
  CHECK(*world.kv->get("a", nullptr) == std::nullopt);
}

TEST_CASE("sim disk: the power can be cut at any operation, and the map's write is whole or not there") {
  std::set<bool> answered_but_there;
  for (uint64_t seed = 1; seed <= 20; seed++)
    for (uint64_t at = 0; at < 12; at++) {
      World world{seed};
      world.disk.cut_power_after(at);
      const Result<void> written = world.write(0, block_a);
      const Result<void> synced = world.sync();
      const Result<void> recorded = world.kv->write({{"a", "1"}, {"b", "1"}}, true);
      if (!world.disk.is_off()) world.disk.cut_power();
      world.start_again();
      const bool there = world.kv->get("a", nullptr)->has_value();
      REQUIRE(there == world.kv->get("b", nullptr)->has_value());
      if (recorded) REQUIRE(there);
      if (written && synced) REQUIRE(world.read(0, 4096) == block_a);
      if (!recorded) answered_but_there.insert(there);
    }
  CHECK(answered_but_there.size() == 2);  // the power may go between the write and its answer
}

TEST_CASE("sim disk: a chunk is whole or not there, and a dropped one may come back") {
  std::set<std::string> seen;
  const Digest digest = digest_of(block_a);
  for (uint64_t seed = 1; seed <= 40; seed++)
    for (const bool drop : {false, true}) {
      World world{seed};
      if (!drop) world.disk.cut_power_after(seed % 3);
      const Result<void> put = world.machine.run(world.executor, world.data->put_content(digest, bytes_of(block_a)));
      if (drop) REQUIRE_OK(world.machine.run(world.executor, world.data->drop_content(digest)));
      if (!world.disk.is_off()) world.disk.cut_power();
      world.start_again();
      const auto length = world.machine.run(world.executor, world.data->content_bytes(digest));
      if (length) {
        std::string bytes(4096, '?');
        REQUIRE_OK(world.machine.run(world.executor, world.data->read_content(digest, 0, bytes_of(bytes))));
        REQUIRE(bytes == block_a);
      }
      if (!drop && put) REQUIRE(length.ok());
      seen.insert(std::string{drop ? "dropped" : put ? "put" : "failed"} + (length ? ", there" : ", gone"));
    }
  CHECK(seen ==
        std::set<std::string>{"put, there", "failed, there", "failed, gone", "dropped, there", "dropped, gone"});
}

TEST_CASE("sim disk: after a failed sync the file is read-only, and going back shows what is durable") {
  std::set<char> seen;
  for (uint64_t seed = 1; seed <= 40; seed++) {
    World world{seed};
    REQUIRE_OK(world.write(0, block_a));
    REQUIRE_OK(world.sync());
    REQUIRE_OK(world.write(0, block_b));
    world.disk.fail_next(Operation::sync, Code::io);
    CHECK_CODE(Code::io, world.sync());
    CHECK_CODE(Code::io, world.sync());
    CHECK_CODE(Code::io, world.write(0, block_c));
    REQUIRE(world.read(0, 4096) == block_b);  // as the page cache has it
    REQUIRE_OK(world.machine.run(world.executor, world.data->reopen(file)));
    const std::string durable = world.read(0, 4096);
    for (size_t at = 0; at < durable.size(); at += 512) seen.insert(durable[at]);
    REQUIRE_OK(world.write(0, block_c));
    REQUIRE_OK(world.sync());
    world.cut_power();
    REQUIRE(world.read(0, 4096) == block_c);
  }
  CHECK(seen == std::set<char>{'a', 'b'});
}

TEST_CASE("sim disk: failures come when they were asked for") {
  World world{1};
  world.disk.fail_next(Operation::write, Code::no_space, 1);
  REQUIRE_OK(world.write(0, block_a));
  CHECK_CODE(Code::no_space, world.write(4096, block_a));
  REQUIRE_OK(world.write(4096, block_b));
  CHECK(world.read(0, 8192) == block_a + block_b);
  world.disk.fail_next(Operation::kv_write, Code::no_space);
  CHECK_CODE(Code::no_space, world.kv->write({{"a", "1"}}, true));
  CHECK(*world.kv->get("a", nullptr) == std::nullopt);
  REQUIRE_OK(world.kv->write({{"a", "1"}}, true));
  world.disk.fail_one_in(Operation::read, 1, Code::io);
  std::string bytes(10, '?');
  CHECK_CODE(Code::io, world.machine.run(world.executor, world.data->read(file, 0, bytes_of(bytes))));
  world.disk.fail_one_in(Operation::read, 0, Code::io);
  CHECK(world.read(0, 4096) == block_a);
}

TEST_CASE("sim disk: a full disk takes what needs no space, and more when there is some") {
  World world{1, {.capacity_bytes = 8192}};
  REQUIRE_OK(world.write(0, block_a + block_a));
  CHECK_CODE(Code::no_space, world.write(8192, block_a));
  REQUIRE_OK(world.write(0, block_b));
  CHECK_CODE(Code::no_space,
             world.machine.run(world.executor, world.data->put_content(digest_of(block_a), bytes_of(block_a))));
  REQUIRE_OK(world.machine.run(world.executor, world.data->punch(file, 4096, 4096)));
  CHECK(world.disk.allocated_bytes() == 4096);
  REQUIRE_OK(world.write(8192, block_a));
  CHECK(world.disk.allocated_bytes() == 8192);
}
