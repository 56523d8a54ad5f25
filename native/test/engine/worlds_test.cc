#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>

#include <doctest/doctest.h>
#include "io/blocking_pool.h"
#include "io/loop_thread.h"
#include "store/local/local_store.h"

#include "test/support/engine_world.h"

namespace atl::testing {
namespace {

/// A local store in a directory of its own, two reactors, real threads.
class LocalWorld final : public World {
 public:
  LocalWorld(std::string name, IoKind io, bool direct) : name_(std::move(name)), io_(io), direct_(direct) {
    char pattern[] = "/var/tmp/atoll-engine-XXXXXX";  // a real file system: tmpfs has no direct I/O on older kernels
    VERIFY(::mkdtemp(pattern) != nullptr);
    directory_ = pattern;
    start();
  }
  ~LocalWorld() override {
    stop();
    std::filesystem::remove_all(directory_);
  }

  const char* name() const override { return name_.c_str(); }
  Engine& engine() override { return *engine_; }
  StoreAccess stores() override { return {*store_.data, *records_}; }

  void run(Task<void> task) override {
    struct Wait {
      std::mutex mutex;
      std::condition_variable wake;
      bool done = false;
    } wait;
    struct Run {
      static Task<void> run(Task<void> task, Wait* wait) {
        co_await task;
        const std::scoped_lock lock{wait->mutex};
        wait->done = true;
        wait->wake.notify_all();
      }
    };
    spawn_on(engine_->registrar(), Run::run(std::move(task), &wait));
    std::unique_lock lock{wait.mutex};
    wait.wake.wait(lock, [&] { return wait.done; });
  }

  void restart() override {
    stop();
    start();
  }

  uint64_t allocated_bytes() override {
    uint64_t bytes = 0;
    for (const char* part : {"/data", "/content"})
      for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ + part)) {
        struct stat status {};
        if (entry.is_regular_file() && ::stat(entry.path().c_str(), &status) == 0)
          bytes += static_cast<uint64_t>(status.st_blocks) * 512;
      }
    return bytes;
  }

 private:
  void start() {
    LocalStoreOptions options;
    options.direct = direct_;
    auto store = open_local_store(directory_, options);
    VERIFY(store.ok());
    store_ = std::move(*store);
    auto committer = BlockingPool::create("commit", 1);
    auto workers = BlockingPool::create("work", 2);
    VERIFY(committer.ok() && workers.ok());
    committer_ = std::move(*committer);
    workers_ = std::move(*workers);
    records_ = std::make_unique<RecordStore>(*store_.kv, *committer_, *workers_);
    VERIFY(records_->recover().ok());
    std::vector<Executor*> homes;
    for (int i = 0; i < 2; i++) {
      LoopOptions loop_options;
      loop_options.kind = io_;
      auto loop = LoopThread::start(loop_options);
      VERIFY(loop.ok());
      homes.push_back(&(*loop)->loop());
      loops_.push_back(std::move(*loop));
    }
    engine_ = std::make_unique<Engine>(StoreAccess{*store_.data, *records_}, *workers_, *workers_, homes);
    VERIFY(run_for<Result<void>>(*this, engine_->recover()).ok());
  }

  void stop() {
    auto closed = run_for(*this, engine_->shutdown());
    CHECK_MESSAGE(closed.ok(),
                  (closed ? "" : closed.error().message));  // also within the destructor, where nothing may throw
    workers_.reset();
    for (const auto& loop : loops_) loop->stop();
    for (const auto& loop : loops_) loop->join();
    committer_.reset();
    engine_.reset();
    records_.reset();
    loops_.clear();
    store_ = LocalStore{};
  }

  const std::string name_;
  const IoKind io_;
  const bool direct_;
  std::string directory_;
  LocalStore store_;
  std::unique_ptr<BlockingPool> committer_;
  std::unique_ptr<BlockingPool> workers_;
  std::unique_ptr<RecordStore> records_;
  std::vector<std::unique_ptr<LoopThread>> loops_;
  std::unique_ptr<Engine> engine_;
};

WorldMaker local(std::string name, IoKind io, bool direct) {
  return {name, [name, io, direct](uint64_t) { return std::make_unique<LocalWorld>(name, io, direct); }};
}

}  // namespace

std::vector<WorldMaker> worlds() {
  return {{"sim", sim_world},
          local("local-uring", IoKind::uring, false),
          local("local-threads", IoKind::threads, false),
          local("local-uring-direct", IoKind::uring, true),
          local("local-threads-direct", IoKind::threads, true)};
}

Result<void> upload(World& world, LayerId layer, Bytes bytes) {
  struct Upload {
    static Task<Result<void>> run(Ingest* ingest, Bytes bytes) {
      Result<void> taken = co_await ingest->write(bytes);
      if (!taken) co_return taken;
      Result<IngestResult> done = co_await ingest->finish();
      if (!done) co_return done.error();
      co_return Result<void>{};
    }
  };
  const std::unique_ptr<Ingest> ingest = world.engine().ingest(layer);
  return run_for(world, Upload::run(ingest.get(), bytes));
}

}  // namespace atl::testing
