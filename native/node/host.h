// host.h: everything native that one `serve` runs: reactors, pools, stores, engine, NBD server. No JavaScript in here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "io/blocking_pool.h"
#include "io/loop_thread.h"
#include "nbd/server/server.h"
#include "store/local/local_store.h"

namespace atl::node {

/// serve: all of it. examine: nothing is changed, not even what an interrupted run left. repair: like serve, but what was left is not
/// tidied up before recover() is called.
enum class Purpose : uint8_t { serve, examine, repair };

struct HostOptions {
  std::string store_dir;
  Purpose purpose = Purpose::serve;
  bool direct = false;
  uint64_t records_reach = 0;  // what records_reach() answered once
  IoKind io = IoKind::automatic;
  uint32_t reactors = 0;  // 0: one for each core, at most 8
  uint64_t busy_poll_ns = BusyPoll::usual_window_ns;
  LogLine log;                              // must be callable for as long as the host lives
  std::shared_ptr<SpaceReserves> reserves;  // null: none
};

class Host {
 public:
  /// Blocks while RocksDB opens and recovers.
  static Result<std::unique_ptr<Host>> start(const HostOptions& options);
  ~Host();

  Engine& engine() { return *engine_; }
  RecordStore& records() { return *records_; }
  DataStore& data() { return *store_.data; }
  /// Null when the store is only examined.
  const DirtyLogs* dirty_logs() const { return dirty_logs_.get(); }
  /// A thread that steps back for all others; it is started when it is first asked for, on the JavaScript thread.
  Result<JobSink*> patient();
  Loop& loop(size_t at) { return loops_[at]->loop(); }
  size_t reactors() const { return loops_.size(); }
  IoKind io_kind() { return loops_.front()->loop().kind(); }
  bool direct() const { return direct_; }

  /// What an interrupted run left is tidied up. Done at the start of `serve`.
  Task<Result<void>> recover();

  /// The resolver outlives the host.
  void start_nbd(ExportResolver& resolver, const NbdLimits& limits);
  /// Null before start_nbd.
  NbdServer* nbd() { return nbd_.get(); }

  /// How far the records reach, durably (Kv::settle).
  Task<Result<uint64_t>> records_reach();

  /// On loop 0: connections drained, resources flushed and closed. Answers how far the records reach now; 0: not known. The destructor
  /// then stops the threads.
  Task<Result<uint64_t>> shutdown();

 private:
  Host() = default;
  Result<void> recover_and_wait();

  bool direct_ = false;
  std::shared_ptr<SpaceReserves> reserves_;
  LocalStore store_;
  std::unique_ptr<BlockingPool> committer_;
  std::unique_ptr<BlockingPool> workers_;
  std::unique_ptr<BlockingPool> hashers_;
  std::unique_ptr<BlockingPool> patient_;
  std::vector<std::unique_ptr<LoopThread>> loops_;
  std::unique_ptr<RecordStore> records_;
  std::unique_ptr<DirtyLogs> dirty_logs_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<NbdServer> nbd_;
};

}  // namespace atl::node
