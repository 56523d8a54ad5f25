// reactor.h: what both loops share: the queue of posted jobs, timers, turns, sleep and wake-up, the end.
//
// Invariants
//   1. ready_ is the one FIFO of what runs next; only run_batch() runs anything.
//   2. Whoever finds the queue asleep, and the first stop(), writes to the eventfd exactly once. run() returns only after it has
//      read all of those writes: from then on nobody but a late post() touches the loop, and it can be destroyed.
#pragma once

#include <atomic>
#include <vector>

#include "io/job_queue.h"
#include "io/loop.h"
#include "io/page_cache_io.h"

namespace atl {

class Reactor : public Loop {
 public:
  ~Reactor() override;

  void post(Job& job) final;
  void post_after(Job& job, uint64_t delay_ns) final;
  uint64_t now_ns() const final;
  void run() final;
  void stop() final;
  bool stopping() const final { return stopping_.load(std::memory_order_acquire); }

 protected:
  static constexpr uint64_t no_wait = 0;
  static constexpr uint64_t forever = UINT64_MAX;

  /// Takes a non-blocking eventfd over.
  explicit Reactor(int wake_fd) : wake_fd_(wake_fd) {}

  void submit(Op& op) final;
  /// The kernel's side of an operation that the page cache could not answer begins; it ends with one call of finish(), now or later.
  virtual void begin(Op& op) = 0;
  /// Hands new operations to the kernel, waits at most wait_ns for an answer or a wake-up, and finishes what was answered.
  virtual void poll(uint64_t wait_ns) = 0;
  /// First thing of run(), on its thread.
  virtual void on_start() {}

  /// The operation's awaiter runs in one of the next batches.
  void finish(Op& op, int32_t result);
  /// `Do` makes the operation on a thread of the pool, where it may block; what it returns is the answer.
  template <int32_t (*Do)(const Op&)>
  static void finish_on(JobSink& pool, Op& op) {
    op.run = [](Job& job) noexcept {
      Op& mine = static_cast<Op&>(job);
      finish_from_thread(mine, Do(mine));
    };
    pool.post(op);
  }
  /// The eventfd, to be watched whenever poll() waits; take_wakes() when it is readable.
  int wake_fd() const { return wake_fd_; }
  void take_wakes();

 private:
  void wake();
  /// As finish(), from another thread. The operation, and the loop, may be gone when it returns.
  static void finish_from_thread(Op& op, int32_t result);
  static void resume_op(Job& job) noexcept;
  struct Timer {
    uint64_t due_ns;
    uint64_t order;
    Job* job;
    bool operator<(const Timer& other) const {  // the heap's top is the greatest: the earliest
      return due_ns != other.due_ns ? due_ns > other.due_ns : order > other.order;
    }
  };

  void take_posted();
  void take_timers();
  void run_batch();
  bool done();
  uint64_t next_wait();

  int wake_fd_;
  bool ran_ = false;
  bool asleep_ = false;
  bool stop_seen_ = false;
  int64_t wakes_owed_ = 0;
  uint64_t in_flight_ = 0;
  uint64_t timers_set_ = 0;
  JobList ready_;
  std::vector<Timer> timers_;
  PageCacheIo page_cache_;
  // What other threads touch, away from the above.
  alignas(64) JobQueue queue_;
  std::atomic<bool> stopping_{false};
};

}  // namespace atl
