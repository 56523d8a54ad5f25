// store_dirty_log.cc: the log of what was answered and not flushed: what a process that died leaves to the next.
#include <filesystem>
#include <fstream>

#include "io/blocking_pool.h"
#include "io/loop_thread.h"
#include "store/dirty_log.h"
#include "test/store_fixture.h"

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
  std::vector<DirtyLogs::Left> left() {
    Result<std::vector<DirtyLogs::Left>> found = run_and_wait(thread->loop(), logs->left());
    REQUIRE_OK(found);
    return std::move(*found);
  }
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
  log->take(RegionIndex{UINT32_MAX}).zeroed.add(BlockRange{1023, 1024});  // takes the place of what was freed
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
  CHECK(left[0].regions[1].region == RegionIndex{UINT32_MAX});
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
