// loop_thread.h: a loop and the thread that runs it.
#pragma once

#include <memory>
#include <thread>

#include "base/result.h"
#include "io/loop.h"

namespace atl {

class LoopThread {
 public:
  /// Creates the loop and starts its thread, which bears options.name.
  static Result<std::unique_ptr<LoopThread>> start(const LoopOptions& options);
  /// Stops and joins. Threads that post to this loop must be done with it.
  ~LoopThread();

  Loop& loop() { return *loop_; }
  /// Thread-safe; what is in flight is completed first (loop.h, rule 5).
  void stop() { loop_->stop(); }
  /// Waits until the loop has ended; needs a stop() from someone. Once only counts; later calls return at once.
  void join();

 private:
  explicit LoopThread(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace atl
