#include "io/epoll_loop.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

namespace atl {
namespace {

constexpr int reports_per_turn = 128;
constexpr uint64_t max_wait_ms = 24 * 3600 * 1000;

int32_t answer(ssize_t result) { return result < 0 ? -errno : static_cast<int32_t>(result); }

// On a thread of the pool.
int32_t run_file(const Loop::Op& op) {
  using Verb = Loop::Verb;
  const auto offset = static_cast<off_t>(op.offset);
  const size_t bytes = std::min(op.length, Loop::max_io_bytes);
  int32_t result;
  do {
    switch (op.verb) {
      case Verb::read: result = answer(::pread(op.fd, op.buffer, bytes, offset)); break;
      case Verb::readv: result = answer(::preadv(op.fd, op.iov, static_cast<int>(op.length), offset)); break;
      case Verb::write:
      case Verb::writev: result = write_waiting(op); break;
      case Verb::fsync: result = answer(::fsync(op.fd)); break;
      case Verb::fdatasync: result = answer(::fdatasync(op.fd)); break;
      case Verb::fallocate: result = answer(::fallocate(op.fd, op.flags, offset, static_cast<off_t>(op.length))); break;
      default: VERIFY(!"not a file operation");
    }
  } while (result == -EINTR);
  return result;
}

// accept() takes no flag for "do not wait", so the listener must be non-blocking: a peer that gave up between epoll's report
// and the call would stop the whole loop.
int accept_now(int fd) {
  const int status = ::fcntl(fd, F_GETFL);
  if (status >= 0 && !(status & O_NONBLOCK)) ::fcntl(fd, F_SETFL, status | O_NONBLOCK);
  return ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

bool is_poll(const Loop::Op& op) { return op.verb == Loop::Verb::poll_in || op.verb == Loop::Verb::poll_out; }

bool outward(const Loop::Op& op) { return op.verb == Loop::Verb::sendmsg || op.verb == Loop::Verb::poll_out; }

// -EAGAIN: wait.
int32_t try_socket(const Loop::Op& op) {
  using Verb = Loop::Verb;
  int32_t result;
  do {
    switch (op.verb) {
      case Verb::accept: result = answer(accept_now(op.fd)); break;
      case Verb::recv:
        result = answer(::recv(op.fd, op.buffer, std::min(op.length, Loop::max_io_bytes), op.flags | MSG_DONTWAIT));
        break;
      case Verb::sendmsg: result = answer(::sendmsg(op.fd, op.message, op.flags | MSG_DONTWAIT)); break;
      default: VERIFY(!"not a socket operation");
    }
  } while (result == -EINTR);
  return result;
}

}  // namespace

Result<std::unique_ptr<Loop>> EpollLoop::create(const LoopOptions& options) {
  Result<std::unique_ptr<BlockingPool>> files =
      BlockingPool::create(options.name + "-io", std::max(options.file_threads, 1u));
  if (!files) return std::move(files.error());
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return Error::from_errno(errno, "epoll_create1");
  const int wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_fd;
  if (wake_fd < 0 || ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0) {
    Error error = Error::from_errno(errno, "eventfd");
    ::close(epoll_fd);
    if (wake_fd >= 0) ::close(wake_fd);
    return error;
  }
  return std::unique_ptr<Loop>{new EpollLoop(wake_fd, epoll_fd, std::move(*files))};
}

EpollLoop::~EpollLoop() { ::close(epoll_fd_); }

void EpollLoop::begin(Op& op) {
  switch (op.verb) {
    case Verb::accept:
    case Verb::recv:
    case Verb::sendmsg: {
      // Behind others that wait for the same it waits too: their order is kept.
      const auto fd = static_cast<size_t>(op.fd);
      if (op.fd >= 0 && fd < waiting_.size()) {
        JobList& list = outward(op) ? waiting_[fd].out : waiting_[fd].in;
        if (!list.empty()) return list.push(op);
      }
      const int32_t result = try_socket(op);
      if (result == -EAGAIN && !(op.verb != Verb::accept && op.flags & MSG_DONTWAIT)) return wait_for(op);
      return finish(op, result);
    }
    case Verb::poll_in:
    case Verb::poll_out: return wait_for(op);
    default: finish_on<run_file>(*files_, op);
  }
}

void EpollLoop::wait_for(Op& op) {
  const auto fd = static_cast<size_t>(op.fd);
  if (op.fd < 0) return finish(op, -EBADF);
  if (fd >= waiting_.size()) waiting_.resize(std::max(fd + 1, waiting_.size() * 2));
  Waiting& waiting = waiting_[fd];
  const bool was_armed = !waiting.in.empty() || !waiting.out.empty();
  (outward(op) ? waiting.out : waiting.in).push(op);
  if (!was_armed) armed_++;
  const int error = arm(op.fd);
  if (error == 0) return;
  armed_--;
  // A regular file is always ready and epoll will not have it; only the polls can wait on one.
  const bool always_ready = error == EPERM && is_poll(op);
  fail_all(waiting.in, always_ready ? POLLIN : -error);
  fail_all(waiting.out, always_ready ? POLLOUT : -error);
}

int EpollLoop::arm(int fd) {
  Waiting& waiting = waiting_[static_cast<size_t>(fd)];
  epoll_event event{};
  event.data.fd = fd;
  event.events = EPOLLONESHOT;
  if (!waiting.in.empty()) event.events |= EPOLLIN;
  if (!waiting.out.empty()) event.events |= EPOLLOUT;
  if (::epoll_ctl(epoll_fd_, waiting.known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0) {
    waiting.known = true;
    return 0;
  }
  if (errno == (waiting.known ? ENOENT : EEXIST)) {
    waiting.known = !waiting.known;
    if (::epoll_ctl(epoll_fd_, waiting.known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0) {
      waiting.known = true;
      return 0;
    }
  }
  waiting.known = false;
  return errno;
}

void EpollLoop::poll(uint64_t wait_ns) {
  // Posts to a loop that is awake are not announced, so with nothing armed there is nothing to ask for.
  if (wait_ns == no_wait && armed_ == 0) return;
  epoll_event events[reports_per_turn];
  int wait_ms = -1;
  if (wait_ns == no_wait)
    wait_ms = 0;
  else if (wait_ns != forever)  // rounded up: a short wait must not become a busy one
    wait_ms = static_cast<int>(std::min(wait_ns / 1'000'000 + 1, max_wait_ms));
  const int count = ::epoll_wait(epoll_fd_, events, reports_per_turn, wait_ms);
  VERIFY(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; i++) {
    if (events[i].data.fd == wake_fd())
      take_wakes();
    else
      report(events[i].data.fd, events[i].events);
  }
}

void EpollLoop::report(int fd, uint32_t events) {
  // An error or hang-up concerns both directions: each learns of it from its own call.
  constexpr uint32_t both = EPOLLERR | EPOLLHUP;
  Waiting& waiting = waiting_[static_cast<size_t>(fd)];
  if (events & (EPOLLIN | both)) retry(waiting.in, events);
  if (events & (EPOLLOUT | both)) retry(waiting.out, events);
  armed_--;
  if (waiting.in.empty() && waiting.out.empty()) return;
  if (const int error = arm(fd)) {
    fail_all(waiting.in, -error);
    fail_all(waiting.out, -error);
  } else {
    armed_++;
  }
}

void EpollLoop::retry(JobList& list, uint32_t events) {
  while (Job* job = list.pop()) {
    Op& op = static_cast<Op&>(*job);
    int32_t result;
    if (is_poll(op))
      result = static_cast<int32_t>(events & ((outward(op) ? POLLOUT : POLLIN) | uint32_t{POLLHUP | POLLERR}));
    else
      result = try_socket(op);
    // A unix listener that was shut down says "nothing yet" for ever to those who do not block; the others are told EINVAL.
    if (result == -EAGAIN && op.verb == Verb::accept && events & EPOLLHUP) result = -EINVAL;
    if (result == -EAGAIN) return list.push_front(op);
    finish(op, result);
  }
}

void EpollLoop::fail_all(JobList& list, int error) {
  while (Job* job = list.pop()) finish(static_cast<Op&>(*job), error);
}

}  // namespace atl
