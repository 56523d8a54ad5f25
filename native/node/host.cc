#include "node/host.h"

#include <algorithm>
#include <future>
#include <thread>

namespace atl::node {
namespace {

constexpr uint32_t reactors_max = 8;
constexpr uint32_t worker_threads = 4;  // record reads, and what else may block

}  // namespace

Result<std::unique_ptr<Host>> Host::start(const HostOptions& options) {
  std::unique_ptr<Host> host{new Host()};
  host->direct_ = options.direct;
  host->reserves_ = options.reserves;
  LocalStoreOptions store_options;
  store_options.direct = options.direct;
  store_options.records_reach = options.records_reach;
  store_options.read_only = options.purpose == Purpose::examine;
  store_options.log = options.log;
  store_options.reserves = options.reserves.get();
  Result<LocalStore> store = open_local_store(options.store_dir, store_options);
  if (!store) return store.error();
  host->store_ = std::move(*store);

  Result<std::unique_ptr<BlockingPool>> committer = BlockingPool::create("atoll-commit", 1);
  if (!committer) return committer.error();
  host->committer_ = std::move(*committer);
  Result<std::unique_ptr<BlockingPool>> workers = BlockingPool::create("atoll-work", worker_threads);
  if (!workers) return workers.error();
  host->workers_ = std::move(*workers);
  // Apart from the workers, whom a guest's reads wait for. An upload's MD5 and the names of its chunks are two things at once.
  const uint32_t cores = std::max(1u, std::thread::hardware_concurrency());
  Result<std::unique_ptr<BlockingPool>> hashers = BlockingPool::create("atoll-hash", std::max(2u, cores));
  if (!hashers) return hashers.error();
  host->hashers_ = std::move(*hashers);

  host->records_ = std::make_unique<RecordStore>(*host->store_.kv, *host->committer_, *host->workers_);

  const uint32_t reactors = std::min(reactors_max, options.reactors == 0 ? cores : options.reactors);
  std::vector<Executor*> homes;
  for (uint32_t i = 0; i < reactors; i++) {
    LoopOptions loop_options;
    loop_options.kind = options.io;
    // On a single core it would keep away those who are waited for.
    loop_options.busy_poll_ns = cores > 1 ? options.busy_poll_ns : 0;
    loop_options.name = "atoll-io-" + std::to_string(i);
    Result<std::unique_ptr<LoopThread>> loop = LoopThread::start(loop_options);
    if (!loop) return loop.error();
    homes.push_back(&(*loop)->loop());
    host->loops_.push_back(std::move(*loop));
  }
  if (options.purpose != Purpose::examine) {
    Result<std::unique_ptr<DirtyLogs>> dirty_logs =
        DirtyLogs::open(options.store_dir, *host->workers_,
                        options.reserves ? options.reserves->on(options.store_dir + "/dirty") : nullptr);
    if (!dirty_logs) return dirty_logs.error();
    host->dirty_logs_ = std::move(*dirty_logs);
  }
  const StoreAccess stores{*host->store_.data, *host->records_, host->dirty_logs_.get()};
  host->engine_ = std::make_unique<Engine>(stores, *host->workers_, *host->hashers_, homes);
  if (options.purpose == Purpose::serve)
    if (Result<void> recovered = host->recover_and_wait(); !recovered) return recovered.error();
  return host;
}

Task<Result<void>> Host::recover() {
  Executor& home = Executor::here();
  co_await workers_->schedule();
  Result<void> recovered = records_->recover();
  co_await home.schedule();
  if (recovered) recovered = co_await engine_->recover();
  co_return recovered;
}

Result<void> Host::recover_and_wait() {
  struct Recover {
    static Task<void> run(Host* host, std::promise<Result<void>>* answer) {
      Result<void> recovered = co_await host->recover();
      answer->set_value(std::move(recovered));
    }
  };
  std::promise<Result<void>> answer;
  std::future<Result<void>> recovered = answer.get_future();
  spawn_on(engine_->registrar(), Recover::run(this, &answer));
  return recovered.get();
}

Result<JobSink*> Host::patient() {
  if (!patient_) {
    Result<std::unique_ptr<BlockingPool>> started = BlockingPool::create("atoll-scrub", 1, 19);
    if (!started) return started.error();
    patient_ = std::move(*started);
  }
  return patient_.get();
}

void Host::start_nbd(ExportResolver& resolver, const NbdLimits& limits) {
  std::vector<Loop*> loops;
  for (const auto& thread : loops_) loops.push_back(&thread->loop());
  nbd_ = std::make_unique<NbdServer>(std::move(loops), resolver, limits);
}

Task<Result<uint64_t>> Host::records_reach() {
  Executor& home = Executor::here();
  co_await workers_->schedule();
  Result<uint64_t> reach = store_.kv->settle();
  co_await home.schedule();
  co_return reach;
}

Task<Result<uint64_t>> Host::shutdown() {
  if (nbd_) co_await nbd_->shutdown();
  Result<void> closed = co_await engine_->shutdown();
  if (!closed) co_return std::move(closed.error());
  Result<uint64_t> reach = co_await records_reach();
  co_return reach ? *reach : uint64_t{0};
}

Host::~Host() {
  // Threads first, in the order of who posts to whom; then what they used.
  workers_.reset();
  hashers_.reset();
  patient_.reset();
  for (const auto& loop : loops_) loop->stop();
  for (const auto& loop : loops_) loop->join();
  committer_.reset();
  nbd_.reset();
  engine_.reset();
  records_.reset();
  loops_.clear();
}

}  // namespace atl::node
