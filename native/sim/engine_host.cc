#include "sim/engine_host.h"

namespace atl::sim {

EngineHost::EngineHost(uint64_t machine_seed, uint64_t disk_seed, const DiskOptions& options)
    : machine_(machine_seed), disk_(disk_seed, options) {
  homes_ = {&machine_.add_executor(), &machine_.add_executor()};
  committer_ = &machine_.add_pool();
  workers_ = &machine_.add_pool(2);
  VERIFY(start());
}

EngineHost::~EngineHost() {
  if (running()) (void)stop();
}

bool EngineHost::start() {
  VERIFY(!running());
  data_ = disk_.open_data();
  kv_ = disk_.open_kv();
  records_ = std::make_unique<RecordStore>(*kv_, *committer_, *workers_);
  const Result<void> read = records_->recover();
  if (read) {
    engine_ =
        std::make_unique<Engine>(stores(), *workers_, *workers_, std::vector<Executor*>{homes_.begin(), homes_.end()});
    const Result<void> recovered = machine_.run(registrar(), engine_->recover());
    if (recovered && !disk_.is_off()) return true;
  }
  VERIFY(disk_.is_off());
  if (engine_) (void)machine_.run(registrar(), engine_->shutdown());
  forget();
  return false;
}

Result<void> EngineHost::stop() {
  Result<void> stopped = machine_.run(registrar(), engine_->shutdown());
  forget();
  return stopped;
}

void EngineHost::forget() {
  machine_.run_until_idle();
  engine_.reset();
  records_.reset();
  kv_.reset();
  data_.reset();
}

}  // namespace atl::sim
