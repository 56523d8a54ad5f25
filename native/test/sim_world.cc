#include "sim/disk.h"
#include "sim/machine.h"
#include "test/engine_world.h"

namespace atl::testing {
namespace {

/// The engine on a simulated machine: two executors, a committer, readers, and a disk that can lose what was not synced.
class SimWorld final : public World {
 public:
  explicit SimWorld(uint64_t seed) : machine_(seed), disk_(seed * 7919) {
    homes_ = {&machine_.add_executor(), &machine_.add_executor()};
    committer_ = &machine_.add_pool();
    workers_ = &machine_.add_pool(2);
    start();
  }
  ~SimWorld() override { stop(); }

  const char* name() const override { return "sim"; }
  Engine& engine() override { return *engine_; }
  StoreAccess stores() override { return {*data_, *records_}; }
  void run(Task<void> task) override { machine_.run(*homes_.front(), std::move(task)); }
  uint64_t allocated_bytes() override { return disk_.allocated_bytes(); }

  void restart() override {
    stop();
    start();
  }
  bool crash() override {
    if (!disk_.is_off()) {
      if (machine_.random().below(3) == 0)
        disk_.kill();
      else
        disk_.cut_power();
    }
    stop();
    disk_.turn_on();
    start();
    return true;
  }
  void arm_crash(uint64_t operations) override { disk_.cut_power_after(operations); }
  bool is_off() override { return disk_.is_off(); }
  bool limit_space(uint64_t more_bytes) override {
    disk_.set_capacity(more_bytes == UINT64_MAX ? UINT64_MAX : disk_.allocated_bytes() + more_bytes);
    disk_.fail_one_in(sim::Operation::kv_write, more_bytes == UINT64_MAX ? 0 : 20, Code::no_space);
    return true;
  }

 private:
  void start() {
    data_ = disk_.open_data();
    kv_ = disk_.open_kv();
    records_ = std::make_unique<RecordStore>(*kv_, *committer_, *workers_);
    VERIFY(records_->recover().ok());
    engine_ = std::make_unique<Engine>(StoreAccess{*data_, *records_}, *workers_,
                                       std::vector<Executor*>{homes_.begin(), homes_.end()});
    VERIFY(run_for<Result<void>>(*this, engine_->recover()).ok());
  }
  void stop() {
    (void)run_for<Result<void>>(*this,
                                engine_->shutdown());  // after a power cut it cannot succeed, but everything ends
    machine_.run_until_idle();
    engine_.reset();
    records_.reset();
    kv_.reset();
    data_.reset();
  }

  sim::Machine machine_;
  sim::Disk disk_;
  std::vector<sim::SimExecutor*> homes_;
  sim::SimPool* committer_ = nullptr;
  sim::SimPool* workers_ = nullptr;
  std::unique_ptr<DataStore> data_;
  std::unique_ptr<Kv> kv_;
  std::unique_ptr<RecordStore> records_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace

std::unique_ptr<World> sim_world(uint64_t seed) { return std::make_unique<SimWorld>(seed); }

}  // namespace atl::testing
