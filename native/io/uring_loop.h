// uring_loop.h: the loop over io_uring: one ring, one system call per turn for everything that is new and everything answered.
//
// Invariants
//   1. No system call is made to begin an operation: it becomes an entry of the submission ring or, when that is full, waits in
//      backlog_ for the next turn. Nothing is lost or refused, however many are in flight.
//   2. The ring watches the eventfd whenever the loop waits.
//   3. Large writes into the page cache, which take steps (page_cache_io.h rule 5), are made by a thread of the loop's own, all of a
//      file by the same one: a file has one lock for its writers, and a thread that finds it taken sleeps. As entries of the ring,
//      each step would be handed to a kernel worker and answered for itself. Where the system gives out no more threads they
//      go by the ring, whole.
#pragma once

#include <liburing.h>

#include "io/blocking_pool.h"
#include "io/busy_poll.h"
#include "io/reactor.h"

namespace atl {

class UringLoop final : public Reactor {
 public:
  /// Asks the kernel for a ring and for every operation the loop needs; `unsupported` says what is missing.
  static Result<std::unique_ptr<Loop>> create(const LoopOptions& options);
  ~UringLoop() override;

  IoKind kind() const override { return IoKind::uring; }

 protected:
  void begin(Op& op) override;
  void poll(uint64_t wait_ns) override;
  void on_start() override;

 private:
  UringLoop(int wake_fd, io_uring ring, bool disabled, const LoopOptions& options)
      : Reactor(wake_fd), ring_(ring), disabled_(disabled), window_ns_(options.busy_poll_ns) {}

  bool begin_in_steps(Op& op);
  bool prepare(Op& op);
  void arm_wake();
  uint64_t window_ns() const;
  bool look_until(uint64_t until_ns);
  void wait(uint64_t wait_ns);
  unsigned reap();
  void answered(uint64_t user_data, int32_t result);

  io_uring ring_;
  bool disabled_;  // until run(), whose thread becomes the ring's only issuer
  bool wake_armed_ = false;
  JobList backlog_;
  // Given to the kernel, or in backlog_.
  uint64_t files_in_flight_ = 0;
  uint64_t disks_in_flight_ = 0;  // those of them that a disk answers without a kernel worker
  const uint64_t window_ns_;      // of busy polling; 0: never
  BusyPoll for_clients_;
  BusyPoll for_disks_;
  std::unique_ptr<BlockingPool> writers_[4];  // made when first needed; by the file's number
};

}  // namespace atl
