// space_test.cc: the space reserve, the lock of a directory, and RocksDB's log.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <span>
#include <vector>

#include "store/directory_lock.h"
#include "store/local/rocks_kv.h"
#include "store/space_reserve.h"
#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

constexpr uint64_t mib = 1 << 20;

/// Runs the body on a tmpfs of its own; without root once more in a user namespace, as in store_kv.cc.
void on_small_file_system(const char* test_case, const char* options, const std::function<void(std::string)>& body) {
  const TemporaryDirectory directory;
  if (::mount("tmpfs", directory.path().c_str(), "tmpfs", 0, options) != 0) {
    REQUIRE(errno == EPERM);
    REQUIRE(std::getenv("ATOLL_NAMESPACE") == nullptr);
    const std::string again = "ATOLL_NAMESPACE=1 unshare --map-root-user --mount " +
                              std::filesystem::read_symlink("/proc/self/exe").string() + " --test-case='" + test_case +
                              "' > /dev/null";
    CHECK(std::system(again.c_str()) == 0);
    return;
  }
  body(directory.path());
  CHECK(::umount2(directory.path().c_str(), MNT_DETACH) == 0);
}

/// A foreign file that takes all that is free.
void fill(const std::string& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  REQUIRE(fd >= 0);
  const std::string bytes(64 << 10, 'f');
  while (::write(fd, bytes.data(), bytes.size()) > 0) continue;
  REQUIRE(errno == ENOSPC);
  ::close(fd);
}

uint64_t allocated(const std::string& path) {
  struct stat now {};
  return ::stat(path.c_str(), &now) == 0 ? static_cast<uint64_t>(now.st_blocks) * 512 : 0;
}

}  // namespace

TEST_CASE(
    "space reserve: it is held against a foreign file, given up in parts, and allocated again when there is room") {
  on_small_file_system("space reserve: it is held*", "size=64m", [](const std::string& directory) {
    auto reserves = SpaceReserves::open({directory, directory + "/none"}, 128 * mib, {});
    REQUIRE_OK(reserves);
    SpaceReserve* reserve = (*reserves)->on(directory + "/not/there/yet");
    REQUIRE(reserve != nullptr);
    CHECK(reserve->target_bytes() == 8 * mib);  // an eighth of the file system
    CHECK(!reserve->low());
    CHECK(allocated(directory + "/reserve") == 8 * mib);

    fill(directory + "/foreign");
    CHECK(!reserve->low());
    for (uint64_t left = 8; left > 0; left -= 2) {
      CHECK(reserve->held_bytes() == left * mib);
      CHECK(reserve->release());
      CHECK(reserve->low());
    }
    CHECK(!reserve->release());
    reserve->restore();  // exactly its bytes are free, and a part more is wanted
    CHECK(reserve->low());
    CHECK(!reserve->nearly_used_up());
    fill(directory + "/foreign");
    CHECK(reserve->nearly_used_up());
    std::filesystem::remove(directory + "/foreign");
    reserve->restore();
    CHECK(!reserve->low());
    CHECK(allocated(directory + "/reserve") == 8 * mib);
  });
}

TEST_CASE("space reserve: a start on a nearly full file system keeps one part back, and the thread restores the rest") {
  on_small_file_system("space reserve: a start*", "size=64m", [](const std::string& directory) {
    {
      auto first = SpaceReserves::open({directory}, 8 * mib, {});
      REQUIRE_OK(first);
      CHECK((*first)->on(directory)->held_bytes() == 8 * mib);
    }
    fill(directory + "/foreign");
    auto reserves = SpaceReserves::open({directory}, 8 * mib, {});
    REQUIRE_OK(reserves);
    SpaceReserve* reserve = (*reserves)->on(directory);
    CHECK(!reserve->low());
    (*reserves)->prepare_start();
    CHECK(reserve->low());
    CHECK(reserve->held_bytes() == 2 * mib);
    (*reserves)->keep();
    std::filesystem::remove(directory + "/foreign");
    while (reserve->low()) ::usleep(1000);
    CHECK(reserve->held_bytes() == 8 * mib);
  });
}

TEST_CASE("space reserve: 0 bytes remove what an earlier run held") {
  const TemporaryDirectory directory;
  REQUIRE_OK(SpaceReserves::open({directory.path()}, 8 * mib, {}));
  CHECK(allocated(directory.path() + "/reserve") == 8 * mib);
  auto none = SpaceReserves::open({directory.path()}, 0, {});
  REQUIRE_OK(none);
  CHECK((*none)->on(directory.path()) == nullptr);
  CHECK(!std::filesystem::exists(directory.path() + "/reserve"));
}

TEST_CASE(
    "space reserve: while it is low, data files take only what needs no new space, and no new content is stored") {
  const TemporaryDirectory directory;
  SpaceReserve reserve{directory.path() + "/reserve", 8 * mib, {}};
  reserve.open();
  BedOptions options;
  options.reserves = {&reserve};
  for_each_local_store(options, [&](StoreBed& bed) {
    reserve.restore();
    REQUIRE(!reserve.low());
    const DataFileId file{7};
    const std::string before = pattern(1, 8 * block_bytes);
    const std::string after = pattern(2, 8 * block_bytes);
    const auto write = [&](DataFileId into, uint64_t offset, const std::string& text) {
      AlignedBuffer bytes{text.size()};
      std::memcpy(bytes.bytes().data(), text.data(), text.size());
      return call(bed, bed.store().write(into, offset, bytes.bytes()));
    };
    REQUIRE_OK(write(file, 0, before));
    REQUIRE_OK(call(bed, bed.store().sync(file)));
    REQUIRE(reserve.release());
    REQUIRE_OK(write(file, 0, after));
    CHECK(read_back(bed, file, 0, after.size()) == after);
    CHECK_CODE(Code::no_space, write(file, 4 * block_bytes, before));
    CHECK_CODE(Code::no_space, write(DataFileId{8}, 0, before));
    CHECK_CODE(Code::no_space, call(bed, bed.store().write_zeroes(file, 64 * block_bytes, block_bytes)));
    CHECK_CODE(Code::no_space, call(bed, bed.store().put_content(digest_of(before), std::as_bytes(std::span{before}))));
    REQUIRE_OK(call(bed, bed.store().punch(file, 0, block_bytes)));
    REQUIRE_OK(call(bed, bed.store().remove(file)));
  });
}

TEST_CASE("records: a full file system is no_space to what may not use the reserve, and the rest is written") {
  on_small_file_system("records: a full file system is no_space to*", "size=96m", [](const std::string& directory) {
    auto reserves = SpaceReserves::open({directory}, 128 * mib, {});
    REQUIRE_OK(reserves);
    RocksKvOptions options;
    std::mutex mutex;
    std::vector<std::string> lines;
    options.log = [&](LogLevel, std::string line) {
      const std::scoped_lock lock{mutex};
      lines.push_back(std::move(line));
    };
    options.reserve = (*reserves)->on(directory);
    options.write_buffer_bytes = 4 * mib;
    {
      auto kv = RocksKv::open(directory + "/records", options);
      REQUIRE_OK(kv);
      fill(directory + "/foreign");
      const std::string value(100'000, 'v');
      int written = 0;
      Result<void> last;
      while ((last = (*kv)->write_without_reserve({{"k" + std::to_string(written), value}}, true)).ok())
        REQUIRE(++written < 1000);
      CHECK_CODE(Code::no_space, last);
      CHECK(!(*kv)->low_on_space());
      for (int i = 0; i < 20; i++) REQUIRE_OK((*kv)->write({{"r" + std::to_string(i), std::string(1000, 'r')}}, true));
      CHECK((*kv)->low_on_space());
      fill(directory + "/foreign");
      for (int i = 20; i < 40; i++) REQUIRE_OK((*kv)->write({{"r" + std::to_string(i), std::string(1000, 'r')}}, true));
    }
    {
      const std::scoped_lock lock{mutex};
      CHECK(!lines.empty());  // RocksDB has complained, and not to a file
    }
    fill(directory + "/foreign");
    auto kv = RocksKv::open(directory + "/records", options);
    REQUIRE_OK(kv);
    for (int i = 0; i < 40; i++) REQUIRE((*kv)->get("r" + std::to_string(i), nullptr)->has_value());
  });
}

TEST_CASE("records: RocksDB has no log file, and those that it left before are removed") {
  const TemporaryDirectory directory;
  for (const char* name : {"LOG", "LOG.old.1764529000123456", "notes"})
    std::ofstream{directory.path() + "/" + name} << "text";
  auto kv = RocksKv::open(directory.path());
  REQUIRE_OK(kv);
  REQUIRE_OK((*kv)->write({{"a", "1"}}, true));
  const auto there = [&](const char* name) { return std::filesystem::exists(directory.path() + "/" + name); };
  CHECK(!there("LOG"));
  CHECK(!there("LOG.old.1764529000123456"));
  CHECK(there("notes"));
  kv->reset();
  RocksKvOptions read_only;
  read_only.read_only = true;
  REQUIRE_OK(RocksKv::open(directory.path(), read_only));
  CHECK(!there("LOG"));
}

TEST_CASE("directory lock: one at a time, also on a full and on a read-only file system") {
  on_small_file_system("directory lock: one at a time*", "size=1m", [](const std::string& directory) {
    std::filesystem::create_directory(directory + "/a");
    {
      auto lock = DirectoryLock::take(directory + "/a");
      REQUIRE_OK(lock);
      CHECK_CODE(Code::busy, DirectoryLock::take(directory + "/a"));
    }
    std::filesystem::create_directory(directory + "/without");
    fill(directory + "/foreign");
    {
      auto lock = DirectoryLock::take(directory + "/a");
      REQUIRE_OK(lock);
      CHECK_CODE(Code::busy, DirectoryLock::take(directory + "/a"));
    }
    REQUIRE(::mount(nullptr, directory.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, "size=1m") == 0);
    for (const char* name : {"/a", "/without"}) {
      auto lock = DirectoryLock::take(directory + name);
      REQUIRE_OK(lock);
      CHECK_CODE(Code::busy, DirectoryLock::take(directory + name));
    }
  });
}
