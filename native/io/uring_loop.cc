#include "io/uring_loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace atl {
namespace {

constexpr uint64_t wake_tag = 0;  // user_data of the wait for the eventfd; operations have their address

// What prepare() does with an operation, noted in Op::result while it is in flight.
enum Phase : int32_t {
  plain = 0,
  wait_ready = 1,  // the socket answered EAGAIN: wait until it is ready, then try again
  last_try = 2,    // the listener was shut down: EAGAIN now means that nobody will come
  in_worker = 3,   // the file answered EAGAIN: let a kernel worker do it, which may block
};

// Kernels differ in the flags they know; each set is tried where the one before is refused.
constexpr unsigned base_flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
constexpr unsigned flag_sets[] = {
    // 6.1: completions are worked off by the loop's own thread, when it asks for them, without interrupts.
    base_flags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED,
    // 5.19
    base_flags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    base_flags,
};

struct RingSize {
  unsigned submissions;
  unsigned completions;
};
// The rings count as locked memory before 5.12, where the usual limit is 64 KiB: a smaller one may still fit.
constexpr RingSize sizes[] = {{256, 4096}, {64, 256}};

constexpr int needed_ops[] = {IORING_OP_READ,    IORING_OP_WRITE,     IORING_OP_READV,  IORING_OP_WRITEV,
                              IORING_OP_FSYNC,   IORING_OP_FALLOCATE, IORING_OP_ACCEPT, IORING_OP_RECV,
                              IORING_OP_SENDMSG, IORING_OP_POLL_ADD};

// No lost completions (5.5), sockets without worker threads (5.7), waiting with a time limit (5.11).
constexpr unsigned needed_features = IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG;

Error unsupported(const std::string& why) { return Error{Code::unsupported, "io_uring: " + why}; }

Result<unsigned> open_ring(io_uring& ring) {
  int error = 0;
  for (const RingSize& size : sizes)
    for (unsigned flags : flag_sets) {
      io_uring_params params{};
      params.flags = flags;
      params.cq_entries = size.completions;
      error = -io_uring_queue_init_params(size.submissions, &ring, &params);
      if (error == 0) {
        if ((params.features & needed_features) == needed_features) return flags;
        io_uring_queue_exit(&ring);
        return unsupported("kernel older than 5.11");
      }
      if (error != EINVAL) break;  // not the flags
    }
  return unsupported(Error::from_errno(error, "setting up a ring").message);
}

Result<void> probe_ops(io_uring& ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  if (probe == nullptr) return unsupported("the kernel does not say which operations it has");
  int missing = -1;
  for (int op : needed_ops)
    if (!io_uring_opcode_supported(probe, op)) missing = op;
  io_uring_free_probe(probe);
  if (missing >= 0) return unsupported("operation " + std::to_string(missing) + " is missing");
  return {};
}

/// Answered by a file system, not by a client or another thread.
bool on_file(Loop::Verb verb) { return verb <= Loop::Verb::fallocate; }

/// No kernel worker has a part in it: the disk reads into the page cache, or reads and writes past it.
bool by_disk_alone(const Loop::Op& op) {
  return op.verb == Loop::Verb::read || op.verb == Loop::Verb::readv ||
         (op.verb == Loop::Verb::write && op.caching == Loop::Caching::uncached);
}

bool on_socket(Loop::Verb verb) {
  return verb == Loop::Verb::accept || verb == Loop::Verb::recv || verb == Loop::Verb::sendmsg;
}

/// EBUSY: answers must be taken first; EAGAIN: no memory just now. What was not taken stays in the ring for the next turn.
bool may_try_again(int error) {
  return error >= 0 || error == -ETIME || error == -EINTR || error == -EBUSY || error == -EAGAIN;
}

void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Result<std::unique_ptr<Loop>> UringLoop::create(const LoopOptions& options) {
  io_uring ring;
  Result<unsigned> flags = open_ring(ring);
  if (!flags) return std::move(flags.error());
  Result<void> probed = probe_ops(ring);
  const int wake_fd = probed ? ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
  if (wake_fd < 0) {
    const int error = errno;
    io_uring_queue_exit(&ring);
    if (!probed) return std::move(probed.error());
    return Error::from_errno(error, "eventfd");
  }
  return std::unique_ptr<Loop>{new UringLoop(wake_fd, ring, (*flags & IORING_SETUP_R_DISABLED) != 0, options)};
}

UringLoop::~UringLoop() { io_uring_queue_exit(&ring_); }

void UringLoop::on_start() {
  // By hand: liburing 2.3 declares io_uring_enable_rings() but does not export it.
  if (disabled_)
    VERIFY(::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) == 0);
}

void UringLoop::begin(Op& op) {
  if (takes_steps(op) && begin_in_steps(op)) return;
  op.result = plain;
  files_in_flight_ += on_file(op.verb);
  disks_in_flight_ += by_disk_alone(op);
  if (!backlog_.empty() || !prepare(op)) backlog_.push(op);
}

/// False: there is no thread for it.
bool UringLoop::begin_in_steps(Op& op) {
  std::unique_ptr<BlockingPool>& writer = writers_[static_cast<unsigned>(op.fd) % std::size(writers_)];
  if (writer == nullptr) {
    Result<std::unique_ptr<BlockingPool>> made = BlockingPool::create("atoll-write", 1);
    if (!made) return false;  // the next one asks again
    writer = std::move(*made);
  }
  finish_on<write_waiting>(*writer, op);
  return true;
}

bool UringLoop::prepare(Op& op) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return false;
  const auto bytes = static_cast<unsigned>(std::min(op.length, max_io_bytes));
  if (op.result == wait_ready) {
    io_uring_prep_poll_add(sqe, op.fd, op.verb == Verb::sendmsg ? POLLOUT : POLLIN);
  } else {
    switch (op.verb) {
      case Verb::read: io_uring_prep_read(sqe, op.fd, op.buffer, bytes, op.offset); break;
      case Verb::write: io_uring_prep_write(sqe, op.fd, op.buffer, bytes, op.offset); break;
      case Verb::readv: io_uring_prep_readv(sqe, op.fd, op.iov, bytes, op.offset); break;
      case Verb::writev: io_uring_prep_writev(sqe, op.fd, op.iov, bytes, op.offset); break;
      case Verb::fsync: io_uring_prep_fsync(sqe, op.fd, 0); break;
      case Verb::fdatasync: io_uring_prep_fsync(sqe, op.fd, IORING_FSYNC_DATASYNC); break;
      case Verb::fallocate:
        io_uring_prep_fallocate(sqe, op.fd, op.flags, static_cast<off_t>(op.offset), static_cast<off_t>(op.length));
        break;
      case Verb::accept: io_uring_prep_accept(sqe, op.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); break;
      case Verb::recv: io_uring_prep_recv(sqe, op.fd, op.buffer, bytes, op.flags); break;
      case Verb::sendmsg: io_uring_prep_sendmsg(sqe, op.fd, op.message, static_cast<unsigned>(op.flags)); break;
      case Verb::poll_in: io_uring_prep_poll_add(sqe, op.fd, POLLIN); break;
      case Verb::poll_out: io_uring_prep_poll_add(sqe, op.fd, POLLOUT); break;
    }
  }
  if (op.result == in_worker) sqe->flags |= IOSQE_ASYNC;
  sqe->user_data = reinterpret_cast<uint64_t>(&op);
  return true;
}

void UringLoop::arm_wake() {
  if (wake_armed_) return;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return;
  // Not a read: one that is cut off at the end of the loop would leave the kernel with a pointer into it.
  io_uring_prep_poll_add(sqe, wake_fd(), POLLIN);
  sqe->user_data = wake_tag;
  wake_armed_ = true;
}

void UringLoop::poll(uint64_t wait_ns) {
  arm_wake();
  while (!backlog_.empty()) {
    Job* job = backlog_.pop();
    if (prepare(static_cast<Op&>(*job))) continue;
    backlog_.push_front(*job);
    break;
  }
  // Never wait with something left to hand over, nor deaf to posts.
  if (!backlog_.empty() || !wake_armed_) wait_ns = no_wait;

  const uint64_t window = wait_ns == no_wait ? 0 : window_ns();
  if (window == 0) return wait(wait_ns);
  BusyPoll& rule = files_in_flight_ > 0 ? for_disks_ : for_clients_;
  const uint64_t before = now_ns();
  const bool answered = rule.worthwhile() && look_until(before + window);
  if (!answered) wait(wait_ns);
  rule.waited(now_ns() - before, window);
}

/// How long looking may last for what is in flight now (busy_poll.h); 0: not at all.
uint64_t UringLoop::window_ns() const {
  if (files_in_flight_ == 0) return window_ns_;
  return files_in_flight_ == disks_in_flight_ ? disk_window_ns(disks_in_flight_, window_ns_) : 0;
}

/// Without sleeping; false: there was no answer by then.
bool UringLoop::look_until(uint64_t until_ns) {
  constexpr int looks = 32;  // between two looks at the clock
  const int error = io_uring_submit_and_get_events(&ring_);
  VERIFY(may_try_again(error));
  if (reap() > 0) return true;
  do {
    for (int i = 0; i < looks; i++) {
      // The kernel says here, without a system call, that it has something to tell.
      const bool called = (io_uring_smp_load_acquire(ring_.sq.kflags) & IORING_SQ_TASKRUN) != 0;
      if (called) VERIFY(may_try_again(io_uring_get_events(&ring_)));
      if (io_uring_cq_ready(&ring_) > 0 && reap() > 0) return true;
      pause_processor();
    }
  } while (now_ns() < until_ns);
  return false;
}

void UringLoop::wait(uint64_t wait_ns) {
  int error;
  if (wait_ns == no_wait) {
    // No system call when there is nothing new and the kernel holds nothing back.
    error = io_uring_submit(&ring_);
  } else {
    __kernel_timespec limit{};
    limit.tv_sec = static_cast<int64_t>(wait_ns / 1'000'000'000);
    limit.tv_nsec = static_cast<int64_t>(wait_ns % 1'000'000'000);
    io_uring_cqe* first = nullptr;
    error = io_uring_submit_and_wait_timeout(&ring_, &first, 1, wait_ns == forever ? nullptr : &limit, nullptr);
  }
  VERIFY(may_try_again(error));
  reap();
}

unsigned UringLoop::reap() {
  unsigned head;
  unsigned count = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    answered(cqe->user_data, cqe->res);
    count++;
  }
  io_uring_cq_advance(&ring_, count);
  return count;
}

void UringLoop::answered(uint64_t user_data, int32_t result) {
  if (user_data == wake_tag) {
    wake_armed_ = false;
    return take_wakes();
  }
  Op& op = *reinterpret_cast<Op*>(user_data);
  if (op.result == wait_ready && result >= 0) {
    op.result = op.verb == Verb::accept && result & POLLHUP ? last_try : plain;
    backlog_.push(op);
    return;
  }
  if (op.result == last_try && result == -EAGAIN) result = -EINVAL;
  // Kernels before 5.19 do not wait on a non-blocking listener by themselves; direct I/O may run out of request slots.
  if (result == -EAGAIN && op.result == plain && !(op.flags & MSG_DONTWAIT && on_socket(op.verb))) {
    op.result = on_socket(op.verb) ? wait_ready : in_worker;
    backlog_.push(op);
    return;
  }
  if (result == -EINTR) {  // a worker of the kernel was told to end
    backlog_.push(op);
    return;
  }
  files_in_flight_ -= on_file(op.verb);
  disks_in_flight_ -= by_disk_alone(op);
  finish(op, result);
}

}  // namespace atl
