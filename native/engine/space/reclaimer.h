// reclaimer.h: gives back, in the background, the space that committed records no longer reach.
//
// Order (I9): the record store wrote the garbage entry in the same durable batch that made the space unreachable; reads that
// began before are waited for; the space is given back; the entry goes. A crash anywhere repeats a step, harmlessly.
#pragma once

#include <vector>

#include "base/async.h"
#include "engine/resource/read_epochs.h"
#include "engine/resource/resource.h"
#include "engine/space/content_pins.h"

namespace atl {

/// An executor that serves resources, and the reads under way on it.
struct Home {
  Executor* executor;
  ReadEpochs* epochs;
};

class Reclaimer {
 public:
  /// Runs on `executor`.
  Reclaimer(StoreAccess stores, Executor& executor, std::vector<Home> homes, ContentPins& pins);

  /// There may be garbage. From any thread.
  void notify();
  /// Ends when there is none left (or it cannot be given back now: then an error says why).
  Task<Result<void>> idle();
  /// Ends once the pass under way has ended, which leaves a file that takes long to the next start; no new one begins.
  Task<void> stop();
  /// Entries known to be waiting; 0 when idle. From any thread.
  uint64_t pending() const { return pending_.load(); }

 private:
  Task<void> run();
  Task<Result<bool>> pass();
  Task<Result<bool>> give_back(const Garbage& garbage);

  StoreAccess stores_;
  Executor& executor_;
  std::vector<Home> homes_;
  ContentPins& pins_;
  bool running_ = false;
  bool again_ = false;
  bool stopped_ = false;
  Result<void> last_;
  Waiters idle_;
  std::atomic<uint64_t> pending_{0};
};

}  // namespace atl
