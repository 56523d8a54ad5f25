// head_changes_test.cc: marks, room and flushes of a head (engine/resource/head_changes.h), and the schedules in which they meet.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/resource/resource.h"
#include "sim/disk.h"
#include "sim/machine.h"
#include "test/support/busy_pool.h"
#include "test/support/store_fixture.h"

namespace atl::testing {
namespace {

constexpr uint64_t B = block_bytes;
constexpr uint64_t R = region_bytes;
constexpr LayerId parent{1};
constexpr LayerId head{2};
constexpr uint32_t most_regions = HeadChanges::regions_max;
constexpr uint32_t flush_from = HeadChanges::flush_from_regions;
constexpr uint64_t size_bytes = (most_regions + 100) * R;

/// One object in pages of its own. After destroy() every access to it ends the program.
template <class T>
class Guarded {
 public:
  template <class... Arguments>
  explicit Guarded(Arguments&&... arguments)
      : bytes_((sizeof(T) + page_bytes() - 1) / page_bytes() * page_bytes()),
        memory_(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    VERIFY(memory_ != MAP_FAILED);
    object_ = new (memory_) T(std::forward<Arguments>(arguments)...);
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() {
    if (object_ != nullptr) destroy();
    ::munmap(memory_, bytes_);
  }
  T* operator->() { return object_; }
  T& operator*() { return *object_; }
  bool destroyed() const { return object_ == nullptr; }
  void destroy() {
    std::exchange(object_, nullptr)->~T();
    VERIFY(::mprotect(memory_, bytes_, PROT_NONE) == 0);
  }

 private:
  static size_t page_bytes() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }
  const size_t bytes_;
  void* const memory_;
  T* object_ = nullptr;
};

/// The stores of one simulated machine; commits wait while `committer.busy`.
struct Stores {
  sim::Machine machine{1};
  sim::Disk disk{1, {}};
  sim::SimExecutor& home = machine.add_executor();
  BusyPool committer{machine.add_pool()};
  sim::SimPool& readers = machine.add_pool(2);
  std::unique_ptr<DataStore> data = disk.open_data();
  std::unique_ptr<Kv> kv = disk.open_kv();
  RecordStore records{*kv, committer, readers};
  ReadEpochs epochs;
  test::TemporaryDirectory directory;
  std::unique_ptr<DirtyLogs> logs;

  explicit Stores(bool with_log) {
    REQUIRE(records.recover().ok());
    if (!with_log) return;
    auto opened = DirtyLogs::open(directory.path(), readers);
    REQUIRE(opened.ok());
    logs = std::move(*opened);
  }
  StoreAccess access() { return {*data, records, logs.get()}; }

  Result<void> run(Task<Result<void>> task) { return machine.run(home, std::move(task)); }
  void must(Task<Result<void>> task) {
    const Result<void> done = run(std::move(task));
    REQUIRE_MESSAGE(done.ok(), (done ? "" : done.error().message));
  }
  /// Waits until the task has ended, or nothing can go on before release().
  void start(Task<void> task) {
    spawn_on(home, std::move(task));
    machine.run_until_idle();
  }
  void release() {
    committer.release();
    machine.run_until_idle();
  }
};

/// A resource that is one head over a parent.
struct Volume : Stores {
  Guarded<Resource> resource{ResourceSpec{"r", size_bytes, false, {{head, size_bytes / B}, {parent, 0}}}, access(),
                             home, epochs};

  explicit Volume(bool with_log) : Stores(with_log) {}
  ~Volume() { machine.run_until_idle(); }

  Result<void> write(uint64_t offset, uint64_t length) {
    const std::vector<std::byte> bytes(length, std::byte{7});
    return run(resource->write(offset, bytes, {}));
  }
  /// One block in each region of [first, end).
  void write_regions(uint32_t first, uint32_t end) {
    for (uint32_t region = first; region < end; region++) REQUIRE(write(region * R, B).ok());
  }
  std::vector<std::byte> read(uint64_t offset, uint64_t length) {
    std::vector<std::byte> bytes(length);
    must(resource->read(offset, bytes));
    return bytes;
  }
};

struct Settle {
  static Task<void> and_destroy(Guarded<Resource>* resource) {
    const Result<void> settled = co_await (*resource)->settle();
    CHECK(settled.ok());
    resource->destroy();  // as the registrar does on its own thread, at once
  }
};

TEST_CASE("head: a resource that settled while a flush ran in the background is not touched again by that flush") {
  Volume volume{false};
  volume.write_regions(0, flush_from - 1);
  volume.committer.busy = true;
  volume.write_regions(flush_from - 1, flush_from);
  volume.start(Settle::and_destroy(&volume.resource));
  REQUIRE(volume.committer.holds_any());
  REQUIRE(!volume.resource.destroyed());
  volume.release();
  CHECK(volume.resource.destroyed());
}

TEST_CASE("head: a write to two regions that are marked already, with no room left and a flush due, marks both") {
  Volume volume{true};
  volume.write_regions(0, flush_from - 1);
  volume.committer.busy = true;
  volume.disk.fail_next(sim::Operation::kv_write, Code::no_space);
  volume.write_regions(flush_from - 1, most_regions);
  REQUIRE(volume.committer.holds_any());
  volume.release();  // the flush in the background has no space: everything it took is marked again
  REQUIRE(volume.write(R - B, 3 * B).ok());
  volume.must(volume.resource->flush());
  CHECK(volume.read(R - B, 3 * B) == std::vector<std::byte>(3 * B, std::byte{7}));
}

TEST_CASE(
    "head: without a dirty log, a client that never flushes is refused on a full disk before its marks exceed the "
    "bound") {
  Volume volume{false};
  volume.write_regions(0, 1);
  volume.disk.fail_one_in(sim::Operation::kv_write, 1, Code::no_space);
  uint32_t written = 1;
  Result<void> last;
  while (written < size_bytes / R && (last = volume.write(written * R, B)).ok()) written++;
  CHECK(written == most_regions);
  REQUIRE(!last.ok());
  CHECK(last.error().code == Code::no_space);
  volume.disk.clear_failures();
  CHECK(volume.write(written * R, B).ok());
  volume.must(volume.resource->flush());
}

TEST_CASE("head: a client that only trims makes a flush run in the background") {
  Volume volume{false};
  RecordBatch batch;
  for (uint32_t region = 0; region < flush_from; region++)
    batch.push_back(
        AssignBlocks{parent, RegionIndex{region}, Source::private_data(data_file_of(parent)), BlockSet::all()});
  volume.must(volume.records.commit(std::move(batch)));
  volume.must(volume.resource->trim(0, B, {}));
  volume.committer.busy = true;
  for (uint64_t region = 1; region < flush_from; region++) {
    REQUIRE(!volume.committer.holds_any());
    volume.must(volume.resource->trim(region * R, B, {}));
  }
  volume.machine.run_until_idle();
  CHECK(volume.committer.holds_any());
  volume.release();
}

/// The changes of a head, alone.
struct Changes : Stores {
  const std::string id = "r";
  std::shared_ptr<const RetainedChain> chain =
      std::make_shared<RetainedChain>(records.index(), std::vector<ChainLayer>{{head, size_bytes / B}, {parent, 0}});
  Guarded<HeadChanges> changes{id, chain, access(), home};

  explicit Changes(bool with_log = false) : Stores(with_log) { must(changes->prepare()); }
  ~Changes() { machine.run_until_idle(); }

  /// As a write does: its bytes, then its marks.
  void own(uint32_t region, BlockRange blocks) {
    struct Own {
      static Task<Result<void>> run(Changes* self, uint32_t region, BlockRange blocks) {
        const std::vector<std::byte> bytes(blocks.count() * B, std::byte{7});
        Result<void> written = co_await self->data->write(data_file_of(head), region * R + blocks.first * B, bytes);
        self->changes->touched(written);
        if (!written) co_return written;
        const uint64_t first = uint64_t{region} * blocks_per_region;
        Result<void> room = co_await self->changes->make_room(first + blocks.first, first + blocks.end);
        if (!room) co_return room;
        HeadChanges::Marks marks{*self->changes};
        marks.own(RegionIndex{region}, blocks);
        co_return room;
      }
    };
    must(Own::run(this, region, blocks));
  }
  void zero(uint32_t region, BlockRange blocks) {
    struct Zero {
      static Task<Result<void>> run(Changes* self, uint32_t region, BlockRange blocks) {
        HeadChanges::Marks{*self->changes}.zero(RegionIndex{region}, BlockSet{blocks});
        co_return Result<void>{};
      }
    };
    must(Zero::run(this, region, blocks));
  }
  void start_flush(Result<void>* into) {
    struct Flush {
      static Task<void> run(HeadChanges* changes, Result<void>* into) { *into = co_await changes->flush(); }
    };
    start(Flush::run(&*changes, into));
  }
  /// What the records say of a region of the head.
  Unflushed recorded(uint32_t region) {
    Unflushed found;
    const Result<void> read = records.visit_records(head, [&](RegionIndex at, const RegionRecord& record) {
      if (number(at) != region) return;
      for (const auto& [source, blocks] : record.sources())
        (source.kind == SourceKind::zero ? found.zeroed : found.owned) |= blocks;
    });
    REQUIRE(read.ok());
    return found;
  }
  Unflushed unflushed(uint32_t region) {
    const UnflushedRegions all = changes->unflushed({0, size_bytes / R});
    const auto found = all.find(RegionIndex{region});
    return found == all.end() ? Unflushed{} : found->second;
  }
};

const BlockSet low{BlockRange{0, 8}};
const BlockSet high{BlockRange{8, 16}};
const BlockSet both{BlockRange{0, 16}};

TEST_CASE("head: a mark is unflushed until the flush that took it has ended, and recorded from then on") {
  Changes at;
  at.own(3, {0, 8});
  at.zero(3, {8, 16});
  CHECK(at.unflushed(3).owned == low);
  CHECK(at.unflushed(3).zeroed == high);
  CHECK(at.changes->first_unflushed(0, 100) == 3);
  CHECK(at.recorded(3).owned.empty());
  at.committer.busy = true;
  Result<void> flushed = Error{Code::busy, "not answered"};
  at.start_flush(&flushed);
  CHECK(at.changes->flushing());
  CHECK(!flushed.ok());
  CHECK(at.unflushed(3).owned == low);
  at.release();
  CHECK(flushed.ok());
  CHECK(at.changes->empty());
  CHECK(at.changes->first_unflushed(0, 100) == 100);
  CHECK(at.recorded(3).owned == low);
  CHECK(at.recorded(3).zeroed == high);
}

TEST_CASE(
    "head: of a flush that had no space and what was marked meanwhile, the later mark of each block is committed") {
  for (const bool with_log : {false, true}) {
    Changes at{with_log};
    at.own(3, {0, 16});
    at.zero(4, {0, 16});
    at.own(5, {0, 16});
    at.committer.busy = true;
    at.disk.fail_next(sim::Operation::kv_write, Code::no_space);
    Result<void> failed;
    at.start_flush(&failed);
    at.zero(3, {0, 8});
    at.own(4, {0, 8});
    at.release();
    REQUIRE(!failed.ok());
    CHECK(failed.error().code == Code::no_space);
    CHECK(at.unflushed(3).owned == high);
    CHECK(at.unflushed(3).zeroed == low);
    at.must(at.changes->flush());
    CHECK(at.recorded(3).owned == high);
    CHECK(at.recorded(3).zeroed == low);
    CHECK(at.recorded(4).owned == low);
    CHECK(at.recorded(4).zeroed == high);
    CHECK(at.recorded(5).owned == both);
    CHECK(at.changes->empty());
  }
}

TEST_CASE("head: a flush that is asked for during another one covers what was marked since that one began") {
  Changes at;
  at.own(1, {0, 8});
  at.committer.busy = true;
  Result<void> first = Error{Code::busy, "not answered"};
  Result<void> second = first, third = first;
  at.start_flush(&first);
  at.own(2, {0, 8});
  at.start_flush(&second);
  at.start_flush(&third);
  at.release();
  CHECK(first.ok());
  CHECK(second.ok());
  CHECK(third.ok());
  CHECK(at.recorded(1).owned == low);
  CHECK(at.recorded(2).owned == low);
}

TEST_CASE("head: after a failed sync or commit every flush is refused, and the marks are not committed") {
  for (const sim::Operation operation : {sim::Operation::sync, sim::Operation::kv_write}) {
    Changes at{true};
    at.own(1, {0, 8});
    at.disk.fail_next(operation, Code::io);
    CHECK(!at.run(at.changes->flush()).ok());
    CHECK(!at.changes->writable().ok());
    CHECK(!at.run(at.changes->flush()).ok());
    CHECK(at.recorded(1).owned.empty());
  }
}

TEST_CASE("head: regions that are marked need no second entry until a flush begins, and then each does") {
  for (const bool with_log : {false, true}) {
    Changes at{with_log};
    at.committer.busy = true;
    for (uint32_t region = 0; region < most_regions; region++) at.own(region, {0, 1});
    REQUIRE(at.committer.holds_any());  // the flush in the background has taken the first regions
    const auto room = [&](uint32_t region, uint32_t count) {
      const uint64_t first = uint64_t{region} * blocks_per_region;
      return at.changes->has_room(first, first + uint64_t{count} * blocks_per_region);
    };
    CHECK(room(flush_from, most_regions - flush_from));
    CHECK(!room(flush_from - 1, 2));
    CHECK(!room(most_regions, 1));
    at.release();
    CHECK(room(most_regions, HeadChanges::change_regions_max));
    at.must(at.changes->flush());
    CHECK(room(0, HeadChanges::change_regions_max));
    CHECK(at.recorded(most_regions - 1).owned == BlockSet{BlockRange{0, 1}});
  }
}

TEST_CASE(
    "head: changes that are destroyed when the flush behind one in the background returned are not touched by that "
    "one") {
  Changes at;
  for (uint32_t region = 0; region < flush_from - 1; region++) at.own(region, {0, 1});
  at.committer.busy = true;
  at.own(flush_from - 1, {0, 1});
  REQUIRE(at.changes->flushing());
  struct Destroy {
    static Task<void> run(Guarded<HeadChanges>* changes) {
      const Result<void> flushed = co_await (*changes)->flush();
      CHECK(flushed.ok());
      changes->destroy();
    }
  };
  at.start(Destroy::run(&at.changes));
  REQUIRE(!at.changes.destroyed());
  at.release();
  CHECK(at.changes.destroyed());
}

TEST_CASE("head: the next head begins unprepared and without marks, and its own changes go to its own file") {
  Changes at{true};
  at.own(1, {0, 8});
  at.must(at.changes->flush());
  const LayerId next{3};
  at.chain = std::make_shared<RetainedChain>(
      at.records.index(), std::vector<ChainLayer>{{next, size_bytes / B}, {head, size_bytes / B}, {parent, 0}});
  at.changes->next_head();
  CHECK(!at.changes->prepared());
  at.must(at.changes->prepare());
  at.zero(1, {0, 8});
  at.must(at.changes->flush());
  CHECK(at.recorded(1).owned == low);
  CHECK(at.recorded(1).zeroed.empty());
}

}  // namespace
}  // namespace atl::testing
