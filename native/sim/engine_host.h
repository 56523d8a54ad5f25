// engine_host.h: the real engine on a simulated machine: two reactors, a committer, readers, and a disk that can lose what was
// not synced. It can be stopped, started and struck by power cuts any number of times.
#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "sim/disk.h"
#include "sim/machine.h"

namespace atl::sim {

class EngineHost {
 public:
  /// Starts.
  EngineHost(uint64_t machine_seed, uint64_t disk_seed, const DiskOptions& options = {});
  /// Stops.
  ~EngineHost();

  Machine& machine() { return machine_; }
  Disk& disk() { return disk_; }
  SimExecutor& registrar() { return *homes_.front(); }
  Engine& engine() { return *engine_; }
  StoreAccess stores() { return {*data_, *records_}; }
  bool running() const { return engine_ != nullptr; }

  /// Recovers what is on the disk. False: the power went meanwhile; turn it on and start again.
  bool start();
  /// Ends everything: cleanly if the power is on, else by errors. Answers what the engine said at its shutdown.
  Result<void> stop();

 private:
  void forget();

  Machine machine_;
  Disk disk_;
  std::vector<SimExecutor*> homes_;
  SimPool* committer_ = nullptr;
  SimPool* workers_ = nullptr;
  std::unique_ptr<DataStore> data_;
  std::unique_ptr<Kv> kv_;
  std::unique_ptr<RecordStore> records_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace atl::sim
