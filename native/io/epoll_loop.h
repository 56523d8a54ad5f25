// epoll_loop.h: the loop where io_uring is forbidden: sockets are tried, then waited for with epoll; file operations block on a
// small pool of threads.
//
// Invariants
//   1. A descriptor is armed in epoll if and only if an operation waits on it, and each report disarms it (EPOLLONESHOT). As
//      nobody closes a descriptor with an operation in flight, no report can be about an earlier file of the same number.
//   2. What epoll knows of a descriptor is never trusted to memory: closing one makes epoll forget it without a word, so MOD is
//      tried before ADD (or the other way round) and the error decides.
#pragma once

#include <vector>

#include "io/blocking_pool.h"
#include "io/reactor.h"

namespace atl {

class EpollLoop final : public Reactor {
 public:
  static Result<std::unique_ptr<Loop>> create(const LoopOptions& options);
  ~EpollLoop() override;

  IoKind kind() const override { return IoKind::threads; }

 protected:
  void begin(Op& op) override;
  void poll(uint64_t wait_ns) override;

 private:
  EpollLoop(int wake_fd, int epoll_fd, std::unique_ptr<BlockingPool> files)
      : Reactor(wake_fd), epoll_fd_(epoll_fd), files_(std::move(files)) {}

  /// Who waits on one descriptor: in order, tried again when epoll reports.
  struct Waiting {
    JobList in;          // recv, accept, poll_in
    JobList out;         // sendmsg
    bool known = false;  // a guess: is it in epoll's set?
  };

  void wait_for(Op& op);
  int arm(int fd);
  void report(int fd, uint32_t events);
  void retry(JobList& list, uint32_t events);
  void fail_all(JobList& list, int error);

  int epoll_fd_;
  std::unique_ptr<BlockingPool> files_;
  std::vector<Waiting> waiting_;  // by descriptor
  uint64_t armed_ = 0;
};

}  // namespace atl
