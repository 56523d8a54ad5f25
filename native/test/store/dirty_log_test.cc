// dirty_log_test.cc: the log of what was answered and not flushed: what a process that died leaves to the next.
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "io/blocking_pool.h"
#include "io/loop_thread.h"
#include "store/dirty_log/dirty_log_content.h"
#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

namespace fs = std::filesystem;

struct LogBed {
  TemporaryDirectory directory;
  std::unique_ptr<BlockingPool> pool = std::move(*BlockingPool::create("test", 1));
  std::unique_ptr<LoopThread> thread = std::move(*LoopThread::start({}));
  std::unique_ptr<DirtyLogs> logs = std::move(*DirtyLogs::open(directory.path(), *pool));

  std::unique_ptr<DirtyLog> create(uint64_t layer) {
    Result<std::unique_ptr<DirtyLog>> log = run_and_wait(thread->loop(), logs->create(LayerId{layer}));
    REQUIRE_OK(log);
    return std::move(*log);
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(directory.path() + "/dirty")) found.push_back(entry.path());
    return found;
  }
  /// As if the process had died: the log's file stays.
  void die(std::unique_ptr<DirtyLog> log) {
    const fs::path path = files().at(0);
    const fs::path aside = directory.path() + "/aside";
    fs::copy_file(path, aside);
    log.reset();
    CHECK(files().empty());
    fs::rename(aside, path);
  }
  Result<std::vector<DirtyLogs::Left>> try_left() { return run_and_wait(thread->loop(), logs->left()); }
  std::vector<DirtyLogs::Left> left() {
    Result<std::vector<DirtyLogs::Left>> found = try_left();
    REQUIRE_OK(found);
    return std::move(*found);
  }
};

constexpr RegionIndex last_region{dirty_log_regions_max - 1};

/// A log of layer 7 with one mark, as a process that died left it: its file.
fs::path left_behind(LogBed& bed) {
  std::unique_ptr<DirtyLog> log = bed.create(7);
  log->take(RegionIndex{1}).owned.add(3);
  bed.die(std::move(log));
  return bed.files().at(0);
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_to(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// While it lives, no file of this process grows beyond so many bytes: EFBIG, as ENOSPC on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    (void)::setrlimit(RLIMIT_FSIZE, &before_);
    (void)std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*const handler_)(int);
  rlimit before_{};
};

}  // namespace

TEST_CASE("dirty log: the next process finds what was marked and not freed, the later mark winning") {
  LogBed bed;
  std::unique_ptr<DirtyLog> log = bed.create(7);
  DirtyLog::Slot& flushing = log->take(RegionIndex{4});
  flushing.owned.add(BlockRange{0, 10});
  DirtyLog::Slot& done = log->take(RegionIndex{5});
  done.owned.add(BlockRange{0, 1024});
  DirtyLog::Slot& later = log->take(RegionIndex{4});
  later.zeroed.add(BlockRange{2, 4});
  later.owned.add(BlockRange{20, 21});
  log->free(done);
  log->take(last_region).zeroed.add(BlockRange{1023, 1024});  // takes the place of what was freed
  bed.die(std::move(log));

  const std::vector<DirtyLogs::Left> left = bed.left();
  REQUIRE(left.size() == 1);
  CHECK(left[0].layer == LayerId{7});
  REQUIRE(left[0].regions.size() == 2);
  BlockSet owned{BlockRange{0, 10}};
  owned.remove(BlockRange{2, 4});
  owned.add(20);
  CHECK(left[0].regions[0].region == RegionIndex{4});
  CHECK(left[0].regions[0].owned == owned);
  CHECK(left[0].regions[0].zeroed == BlockSet{BlockRange{2, 4}});
  CHECK(left[0].regions[1].region == last_region);
  CHECK(left[0].regions[1].zeroed.contains(1023));

  REQUIRE_OK(run_and_wait(bed.thread->loop(), bed.logs->remove(left[0].path)));
  CHECK(bed.left().empty());
}

TEST_CASE("dirty log: one of another boot or mount, and one that is half made, are worth nothing and go") {
  for (const std::streamoff at : {8, 72}) {
    CAPTURE(at);
    LogBed bed;
    std::unique_ptr<DirtyLog> log = bed.create(7);
    log->take(RegionIndex{1}).owned.add(3);
    bed.die(std::move(log));
    std::fstream file(bed.files().at(0), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    const int was = file.get();
    file.seekp(at);
    file.put(static_cast<char>(was ^ 0x40));
    file.close();
    std::ofstream(bed.directory.path() + "/dirty/0000000000000008.0") << "ATOLDRT1";
    CHECK(bed.left().empty());
    CHECK(bed.files().empty());
    CHECK(bed.logs->discarded() == 2);
  }
}

TEST_CASE("dirty log: one in a copy of its directory is worth nothing there, and goes") {
  LogBed bed;
  left_behind(bed);
  const std::string copy = bed.directory.path() + "/copy";
  fs::create_directory(copy);
  fs::copy(bed.directory.path() + "/dirty", copy + "/dirty", fs::copy_options::recursive);
  const std::unique_ptr<DirtyLogs> logs = std::move(*DirtyLogs::open(copy, *bed.pool));
  const Result<std::vector<DirtyLogs::Left>> left = run_and_wait(bed.thread->loop(), logs->left());
  REQUIRE_OK(left);
  CHECK(left->empty());
  CHECK(logs->discarded() == 1);
  CHECK(fs::is_empty(copy + "/dirty"));
  CHECK(bed.left().size() == 1);
}

TEST_CASE("dirty log: as many slots as it says, each free again when it was freed") {
  LogBed bed;
  std::unique_ptr<DirtyLog> log = bed.create(1);
  for (int round = 0; round < 2; round++) {
    std::vector<DirtyLog::Slot*> taken;
    for (uint32_t i = 0; i < DirtyLog::slots; i++) {
      taken.push_back(&log->take(RegionIndex{i}));
      CHECK(taken.back()->owned.empty());
      taken.back()->owned.add(i % blocks_per_region);
    }
    CHECK(log->free_slots() == 0);
    for (DirtyLog::Slot* slot : taken) log->free(*slot);
    CHECK(log->free_slots() == DirtyLog::slots);
  }
}

TEST_CASE("dirty log: one that cannot be written is an error that names it, and leaves no file") {
  LogBed bed;
  std::optional<Result<std::unique_ptr<DirtyLog>>> refused;
  {
    const FileSizeLimit limit{256 << 10};
    refused.emplace(run_and_wait(bed.thread->loop(), bed.logs->create(LayerId{7})));
  }
  REQUIRE(!refused->ok());
  CHECK(refused->error().message.find("writing " + bed.directory.path() + "/dirty/0000000000000007.") == 0);
  CHECK(bed.files().empty());
  CHECK(bed.create(7) != nullptr);

  fs::remove_all(bed.directory.path() + "/dirty");
  refused.emplace(run_and_wait(bed.thread->loop(), bed.logs->create(LayerId{8})));
  REQUIRE(!refused->ok());
  CHECK(refused->error().message.find("opening " + bed.directory.path() + "/dirty/0000000000000008.") == 0);
}

TEST_CASE("dirty log: one that is cut off anywhere is worth nothing and goes") {
  LogBed bed;
  const std::string whole = contents(left_behind(bed));
  REQUIRE(bed.left().size() == 1);
  const fs::path path = bed.files().at(0);
  for (const size_t length : {size_t{0}, size_t{1}, size_t{72}, size_t{4096}, size_t{4096 + 272}, whole.size() - 1}) {
    CAPTURE(length);
    const uint64_t before = bed.logs->discarded();
    write_to(path, whole.substr(0, length));
    CHECK(bed.left().empty());
    CHECK(bed.files().empty());
    CHECK(bed.logs->discarded() == before + 1);
  }
}

TEST_CASE("dirty log: one of another format, and one of no layer, are worth nothing and go") {
  for (const size_t at : {size_t{7}, size_t{80}}) {
    CAPTURE(at);
    LogBed bed;
    const fs::path path = left_behind(bed);
    std::string bytes = contents(path);
    bytes[at] = at == 7 ? '1' : '\0';  // the magic's last letter; the layer's lowest byte
    write_to(path, bytes);
    CHECK(bed.left().empty());
    CHECK(bed.files().empty());
  }
}

TEST_CASE("dirty log: one with a region that no resource can have is not ours, and goes") {
  LogBed bed;
  const fs::path path = left_behind(bed);
  std::string bytes = contents(path);
  bytes[bytes.find('\1', 4096 + 8) + 3] = '\x80';
  write_to(path, bytes);
  CHECK(bed.left().empty());
  CHECK(bed.files().empty());
}

TEST_CASE("dirty log: a slot whose process died while it took it says nothing") {
  LogBed bed;
  const fs::path path = left_behind(bed);
  std::string bytes = contents(path);
  bytes.replace(4096, 8, 8, '\0');  // its order
  write_to(path, bytes);
  const std::vector<DirtyLogs::Left> left = bed.left();
  REQUIRE(left.size() == 1);
  CHECK(left[0].regions.empty());
}

TEST_CASE("dirty log: whatever its slots say, each region comes once, and no block is both written and zeroed") {
  const uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  LogBed bed;
  const fs::path path = left_behind(bed);
  std::string bytes = contents(path);
  for (size_t at = 4096; at < bytes.size(); at++) bytes[at] = static_cast<char>(random());
  // Many slots of few regions: they must be laid over each other.
  for (size_t slot = 0; slot < DirtyLog::slots; slot += 2) bytes.replace(4096 + slot * 272 + 8, 4, 4, '\1');
  for (size_t slot = 1; slot < DirtyLog::slots; slot += 2)
    bytes[4096 + slot * 272 + 11] &= 0x7f;  // no more than there can be
  write_to(path, bytes);
  const std::vector<DirtyLogs::Left> left = bed.left();
  REQUIRE(left.size() == 1);
  std::set<uint32_t> regions;
  for (const auto& region : left[0].regions) {
    CHECK(regions.insert(number(region.region)).second);
    CHECK((region.owned & region.zeroed).empty());
  }
  CHECK(regions.contains(0x01010101));
}

TEST_CASE("dirty log: what cannot be read is an error that names it, and nothing is removed") {
  LogBed bed;
  fs::create_directory(bed.directory.path() + "/dirty/0000000000000007.0");
  const Result<std::vector<DirtyLogs::Left>> left = bed.try_left();
  REQUIRE(!left.ok());
  CHECK(left.error().message.find("reading " + bed.directory.path() + "/dirty/0000000000000007.0") == 0);
  CHECK(bed.files().size() == 1);
}
