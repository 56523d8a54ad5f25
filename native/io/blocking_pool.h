// blocking_pool.h: threads that may block, for what no loop can do without waiting: RocksDB, hashing, opening files, and all
// file operations where the kernel forbids io_uring.
//
// A task goes there and back:  co_await pool.schedule();  ...blocking...  co_await home.schedule();
//
// Jobs start in the order of posting, on any of the threads; there is no executor on them (Executor::current() is null).
// The destructor runs everything that was posted, and what that posts in turn, before it returns.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "io/executor.h"
#include "io/job_queue.h"

namespace atl {

class BlockingPool final : public JobSink {
 public:
  /// `threads` >= 1; each is named "<name>-<n>" (15 bytes are shown). `busy` when the system gives out no more threads.
  /// `nice`: how far its threads step back for others, 0..19 (nice(2)).
  static Result<std::unique_ptr<BlockingPool>> create(const std::string& name, uint32_t threads, int nice = 0);
  ~BlockingPool() override;

  void post(Job& job) override;

 private:
  BlockingPool() = default;
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  JobList jobs_;
  uint32_t idle_ = 0;
  bool draining_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace atl
