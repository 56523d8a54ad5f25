// threads_test.cc: the local store under several reactors, and under failures that only a kernel makes.
#include <cstring>
#include <thread>

#include "base/async.h"
#include "store/local/rocks_kv.h"
#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

std::unique_ptr<LoopThread> start_loop(IoKind kind) {
  LoopOptions options;
  options.kind = kind;
  options.name = "test";
  auto loop = LoopThread::start(options);
  REQUIRE_OK(loop);
  return std::move(*loop);
}

/// A loop on whose threads every fdatasync fails.
std::unique_ptr<LoopThread> start_failing_loop() {
  std::unique_ptr<LoopThread> loop;
  std::thread([&] {
    VERIFY(refuse_fdatasync());
    auto started = LoopThread::start({.kind = IoKind::threads, .name = "failing"});
    VERIFY(started.ok());
    loop = std::move(*started);
  }).join();
  return loop;
}

std::unique_ptr<LocalDataStore> open_store(const TemporaryDirectory& directory, const LocalDataStoreOptions& options) {
  auto store = LocalDataStore::open(directory.path(), options);
  REQUIRE_OK(store);
  return std::move(*store);
}

/// One reactor's share of the work: random writes, reads and syncs of a range of its own in a file that all share, and of files
/// of its own; more of them than may be open.
struct Worker {
  static Task<Result<void>> run(DataStore* store, uint64_t which, uint64_t seed) {
    constexpr uint64_t bytes = 256 << 10;
    sim::Random random{seed + which};
    const DataFileId shared{1};
    const uint64_t base = which * bytes;
    std::string model = pattern(seed + which, bytes);
    Result<void> begun = co_await store->write(shared, base, bytes_of(model));
    if (!begun) co_return begun;
    AlignedBuffer memory{16 << 10};
    for (int step = 0; step < 300; step++) {
      const uint64_t unit = store->write_alignment();
      const uint64_t length = std::max<uint64_t>(unit, random.below(memory.size()) / unit * unit);
      const uint64_t offset = random.below(bytes - length) / unit * unit;
      const MutableBytes piece = memory.bytes().first(length);
      const DataFileId own{100 + which * 16 + random.below(16)};
      const uint64_t choice = random.below(10);
      Result<void> done;
      if (choice < 5) {
        const std::string written = pattern(random.next(), length);
        std::memcpy(piece.data(), written.data(), length);
        done = co_await store->write(shared, base + offset, piece);
        model.replace(offset, length, written);
        if (done) done = co_await store->write(own, offset, piece);
      } else if (choice < 8) {
        done = co_await store->read(shared, base + offset, piece);
        if (done && std::memcmp(piece.data(), model.data() + offset, length) != 0)
          co_return Error{Code::corrupt, "not what was written"};
      } else if (choice < 9) {
        done = co_await store->sync(random.one_in(2) ? shared : own);
      } else {
        done = co_await store->remove(own);
      }
      if (!done) co_return done;
    }
    co_return Result<void>{};
  }
};

}  // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE("local store: several reactors share files and descriptors") {
  const uint64_t seed = test_seed();
  CAPTURE(seed);
  for (const bool direct : {false, true}) {
    const TemporaryDirectory directory;
    LocalDataStoreOptions options;
    options.direct = direct;
    options.segment_bytes = 128 << 10;
    options.max_open_files = 6;
    const auto store = open_store(directory, options);
    std::vector<std::unique_ptr<LoopThread>> loops;
    loops.push_back(start_loop(IoKind::automatic));
    loops.push_back(start_loop(IoKind::threads));
    std::vector<std::thread> waiters;
    std::vector<Result<void>> results(4);
    for (uint64_t which = 0; which < results.size(); which++)
      waiters.emplace_back([&, which] {
        results[which] = run_and_wait(loops[which % 2]->loop(), Worker::run(store.get(), which, seed));
      });
    for (std::thread& waiter : waiters) waiter.join();
    for (const Result<void>& result : results) CHECK_MESSAGE(result.ok(), why(result));
    CHECK(store->open_files() <= 6);
  }
}

TEST_CASE("local store: one chunk put and read by several reactors at once") {
  const TemporaryDirectory directory;
  const auto store = open_store(directory, {});
  const auto one = start_loop(IoKind::automatic);
  const auto two = start_loop(IoKind::threads);
  struct PutAndRead {
    static Task<Result<void>> run(DataStore* store, Digest digest, const std::string* chunk) {
      for (int i = 0; i < 20; i++) {
        Result<void> done = co_await store->put_content(digest, bytes_of(*chunk));
        std::string back(chunk->size(), '?');
        if (done) done = co_await store->read_content(digest, 0, bytes_of(back));
        if (!done) co_return done;
        if (back != *chunk) co_return Error{Code::corrupt, "not what was put"};
      }
      co_return Result<void>{};
    }
  };
  const std::string chunk = pattern(1, 200'000);
  const Digest digest = digest_of(chunk);
  Result<void> first, second;
  std::thread other([&] { first = run_and_wait(one->loop(), PutAndRead::run(store.get(), digest, &chunk)); });
  second = run_and_wait(two->loop(), PutAndRead::run(store.get(), digest, &chunk));
  other.join();
  CHECK_MESSAGE(first.ok(), why(first));
  CHECK_MESSAGE(second.ok(), why(second));
}

TEST_CASE("local store: chunks put and dropped at once find their directory, however often it goes") {
  const TemporaryDirectory directory;
  const auto store = open_store(directory, {});
  const auto one = start_loop(IoKind::automatic);
  const auto two = start_loop(IoKind::threads);
  struct PutAndDrop {
    // The digests are not the chunks' own: what counts is that all are in one directory.
    static Task<Result<void>> run(DataStore* store, uint8_t which) {
      Digest digest;
      digest.bytes[31] = which;
      const std::string chunk = pattern(which, 100);
      for (int i = 0; i < 100; i++) {
        Result<void> done = co_await store->put_content(digest, bytes_of(chunk));
        if (done) done = co_await store->drop_content(digest);
        if (!done) co_return done;
      }
      co_return Result<void>{};
    }
  };
  Result<void> first, second;
  std::thread other([&] { first = run_and_wait(one->loop(), PutAndDrop::run(store.get(), 1)); });
  second = run_and_wait(two->loop(), PutAndDrop::run(store.get(), 2));
  other.join();
  CHECK_MESSAGE(first.ok(), why(first));
  CHECK_MESSAGE(second.ok(), why(second));
}

TEST_CASE("local store: after a failed sync a file refuses changes and syncs until it is reopened") {
  const TemporaryDirectory directory;
  LocalDataStoreOptions options;
  options.segment_bytes = 1 << 20;
  const auto store = open_store(directory, options);
  const auto good = start_loop(IoKind::automatic);
  const auto failing = start_failing_loop();
  const auto on = [](const std::unique_ptr<LoopThread>& loop, Task<Result<void>> task) {
    return run_and_wait(loop->loop(), std::move(task));
  };
  const DataFileId file{1}, other{2};
  const std::string bytes = pattern(1, 4096);
  REQUIRE_OK(on(good, store->write(file, 0, bytes_of(bytes))));
  REQUIRE_OK(on(good, store->write(file, 1 << 20, bytes_of(bytes))));
  REQUIRE_OK(on(good, store->write(other, 0, bytes_of(bytes))));

  CHECK_CODE(Code::io, on(failing, store->sync(file)));
  CHECK_CODE(Code::io, on(good, store->sync(file)));
  CHECK_CODE(Code::io, on(good, store->write(file, 4096, bytes_of(bytes))));
  CHECK_CODE(Code::io, on(good, store->punch(file, 0, 4096)));
  CHECK_CODE(Code::io, on(good, store->write_zeroes(file, 0, 4096)));
  std::string back(4096, '?');
  REQUIRE_OK(on(good, store->read(file, 0, bytes_of(back))));
  CHECK(back == bytes);
  REQUIRE_OK(on(good, store->sync(other)));

  SUBCASE("reopen") {
    REQUIRE_OK(on(good, store->reopen(file)));
    REQUIRE_OK(on(good, store->write(file, 4096, bytes_of(bytes))));
    REQUIRE_OK(on(good, store->sync(file)));
    REQUIRE_OK(on(good, store->read(file, 1 << 20, bytes_of(back))));
    CHECK(back == bytes);
  }
  SUBCASE("remove") {
    REQUIRE_OK(on(good, store->remove(file)));
    REQUIRE_OK(on(good, store->write(file, 4096, bytes_of(bytes))));
    REQUIRE_OK(on(good, store->sync(file)));
  }
}

TEST_CASE("local store: a sync that waited for one that failed does not call its changes durable") {
  const TemporaryDirectory directory;
  const auto store = open_store(directory, {});
  const auto good = start_loop(IoKind::automatic);
  const auto failing = start_failing_loop();
  for (uint64_t id = 1; id <= 20; id++) {
    const std::string bytes = pattern(id, 4096);
    REQUIRE_OK(run_and_wait(good->loop(), store->write(DataFileId{id}, 0, bytes_of(bytes))));
    Result<void> first;
    std::thread other([&] { first = run_and_wait(failing->loop(), store->sync(DataFileId{id})); });
    const Result<void> second = run_and_wait(good->loop(), store->sync(DataFileId{id}));
    other.join();
    // Whoever went first: after it the file is synced and clean, or failed for all.
    const Result<void> third = run_and_wait(good->loop(), store->sync(DataFileId{id}));
    CHECK(first.ok() == second.ok());
    CHECK(second.ok() == third.ok());
  }
}

TEST_CASE("local store: a file whose sync fails when its descriptor is needed elsewhere is failed, not forgotten") {
  const TemporaryDirectory directory;
  LocalDataStoreOptions options;
  options.max_open_files = 1;
  std::unique_ptr<LocalDataStore> store;
  std::thread([&] {  // the threads of the store's pool are those that fail
    VERIFY(refuse_fdatasync());
    auto opened = LocalDataStore::open(directory.path(), options);
    VERIFY(opened.ok());
    store = std::move(*opened);
  })
      .join();
  const auto good = start_loop(IoKind::automatic);
  const std::string bytes = pattern(1, 4096);
  REQUIRE_OK(run_and_wait(good->loop(), store->write(DataFileId{1}, 0, bytes_of(bytes))));
  REQUIRE_OK(run_and_wait(good->loop(), store->write(DataFileId{2}, 0, bytes_of(bytes))));  // closes the first
  const Result<void> refused = run_and_wait(good->loop(), store->sync(DataFileId{1}));
  CHECK_CODE(Code::io, refused);
  CHECK(
      refused.error().message ==
      "data file 1: refuses changes since a sync failed (data file 1 (data/01/0000000000000001.0): fdatasync before it "
      "was closed: Input/output error)");
  REQUIRE_OK(run_and_wait(good->loop(), store->sync(DataFileId{2})));
}

TEST_CASE("records: after a failed sync nothing is written until they are opened again") {
  const TemporaryDirectory directory;
  auto kv = RocksKv::open(directory.path());
  REQUIRE_OK(kv);
  REQUIRE_OK((*kv)->write({{"a", "1"}}, true));
  Result<void> failed;
  std::thread([&] {  // RocksDB syncs its log on the thread that writes
    VERIFY(refuse_fdatasync());
    failed = (*kv)->write({{"a", "2"}}, true);
  })
      .join();
  CHECK_CODE(Code::io, failed);
  const Result<void> refused = (*kv)->write({{"b", "2"}}, true);
  CHECK_CODE(Code::io, refused);
  CHECK(refused.error().message.find("(" + failed.error().message + ")") != std::string::npos);
  CHECK(failed.error().message.find(directory.path()) != std::string::npos);
  CHECK_CODE(Code::io, (*kv)->write({{"b", "2"}}, false));
  CHECK(*(*kv)->get("a", nullptr) == "1");
  kv->reset();
  kv = RocksKv::open(directory.path());
  REQUIRE_OK(kv);
  CHECK(*(*kv)->get("b", nullptr) == std::nullopt);
  REQUIRE_OK((*kv)->write({{"b", "3"}}, true));
}

TEST_CASE("records: readers on several threads see whole batches") {
  const TemporaryDirectory directory;
  auto kv = RocksKv::open(directory.path());
  REQUIRE_OK(kv);
  REQUIRE_OK((*kv)->write({{"a", "0"}, {"b", "0"}}, true));
  std::vector<std::thread> readers;
  std::atomic<bool> torn{false};
  for (int i = 0; i < 3; i++)
    readers.emplace_back([&] {
      for (int n = 0; n < 200; n++) {
        const auto snapshot = (*kv)->snapshot();
        const auto a = (*kv)->get("a", snapshot.get());
        const auto b = (*kv)->get("b", snapshot.get());
        if (!a || !b || *a != *b) torn = true;
      }
    });
  for (int n = 1; n <= 200; n++)
    REQUIRE_OK((*kv)->write({{"a", std::to_string(n)}, {"b", std::to_string(n)}}, n % 20 == 0));
  for (std::thread& reader : readers) reader.join();
  CHECK(!torn);
}

TEST_CASE("turns: tasks of several executors have a turn each, one at a time") {
  const auto one = start_loop(IoKind::automatic);
  const auto two = start_loop(IoKind::threads);
  TaskTurn turn;
  int count = 0;  // guarded by the turn: ThreadSanitizer would tell
  struct Take {
    static Task<void> run(TaskTurn* turn, int* count) {
      for (int i = 0; i < 500; i++) {
        co_await turn->take();
        const int before = *count;
        if (i % 3 == 0) co_await Executor::here().schedule();
        *count = before + 1;
        turn->give_back();
      }
    }
  };
  std::vector<std::thread> threads;
  for (LoopThread* loop : {one.get(), two.get(), one.get(), two.get()})
    threads.emplace_back([&, loop] { run_and_wait(loop->loop(), Take::run(&turn, &count)); });
  for (std::thread& thread : threads) thread.join();
  CHECK(count == 2000);
}

TEST_SUITE_END();
