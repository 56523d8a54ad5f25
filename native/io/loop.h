// loop.h: a reactor: one thread that runs jobs, files and sockets. Two implementations behind one face, chosen at start:
// io_uring (uring_loop.cc), and epoll with a pool of pread/pwrite threads (epoll_loop.cc) where the kernel or a container
// forbids io_uring. Both pass the same tests.
//
// An operation is an awaitable that answers what its system call would: >= 0, or -errno. Nothing throws, nothing allocates.
// Short reads and writes are the caller's business (the stores and the NBD server loop). The buffer must stay until the answer.
//
// Rules
//   1. One turn of a loop runs a bounded batch of jobs and then looks at files, sockets and timers: jobs that post jobs starve
//      nobody. Posted jobs, due timers and answered operations wait in one FIFO.
//   2. An operation never resumes its awaiter before submit() returns, even if the kernel had the answer at once.
//   3. Any number of operations may be in flight, also on one descriptor. Two of the same direction on one socket are
//      answered in an order of the loop's choice. A descriptor is closed only when no operation is in flight on it.
//   4. A listener given to accept() may be made non-blocking; other descriptors are never changed.
//   5. stop(): what is posted, answered and in flight still runs to its end; timers not yet due, and those set from then on, fire
//      at once so that sleepers can notice (stopping() is true by then, a sleeper in a cycle must look at it). Waits on sockets
//      are ended by their owner with ::shutdown().
//   6. A loop runs once. Nothing may be posted to it after run() has returned (checked at its destruction); a task that is away
//      on another sink is not known to the loop, so its owner waits for it before stop().
//   7. Small buffered reads and writes are done on the loop's own thread when the page cache can answer them; large buffered writes
//      are made in steps (page_cache_io.h).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/types.h"
#include "io/busy_poll.h"
#include "io/executor.h"

namespace atl {

enum class IoKind : uint8_t { automatic, uring, threads };

struct LoopOptions {
  IoKind kind = IoKind::automatic;
  std::string name = "atoll";  // of the thread, for ps and perf; at most 15 bytes are shown
  uint32_t file_threads = 4;   // of the fallback: how many file operations run at once
  // io_uring: how long to look for an answer before sleeping, when that is likely to pay; 0: never (busy_poll.h)
  uint64_t busy_poll_ns = BusyPoll::usual_window_ns;
};

class Loop : public Executor {
 public:
  enum class Verb : uint8_t {
    read,
    write,
    readv,
    writev,
    fsync,
    fdatasync,
    fallocate,
    accept,
    recv,
    sendmsg,
    poll_in,
    poll_out
  };

  /// The kernel's own limit of one call (MAX_RW_COUNT); operations that are longer are answered short.
  static constexpr uint64_t max_io_bytes = 0x7ffff000;

  /// How the descriptor was opened: `uncached` with O_DIRECT, O_SYNC or O_DSYNC. It is not asked again, which would be a system
  /// call for each operation.
  enum class Caching : uint8_t { page_cache, uncached };

  struct Op : Job {
    Loop& loop;
    Verb verb;
    Caching caching = Caching::page_cache;  // read, write
    int fd;
    int flags = 0;           // fallocate: mode; recv, sendmsg: flags
    void* buffer = nullptr;  // read, write, recv
    uint64_t length = 0;     // bytes; readv, writev: count of iov; fallocate: length
    uint64_t offset = 0;
    const iovec* iov = nullptr;  // readv, writev
    const msghdr* message = nullptr;
    int32_t result = 0;  // the answer; the loop's own note while in flight
    std::coroutine_handle<> handle{};

    Op(Loop& on, Verb what, int of) : loop(on), verb(what), fd(of) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiter) noexcept {
      handle = awaiter;
      loop.submit(*this);
    }
    int32_t await_resume() const noexcept { return result; }
  };

  /// Fails with `unsupported` when kind is uring and the kernel will not have it; automatic falls back to threads.
  static Result<std::unique_ptr<Loop>> create(const LoopOptions& options);
  /// The loop whose thread this is.
  static Loop& here() {
    VERIFY(current() != nullptr);
    return static_cast<Loop&>(*current());
  }

  virtual IoKind kind() const = 0;
  /// Owns the calling thread until stop(). Operations still in flight at stop() are completed first.
  virtual void run() = 0;
  /// Thread-safe: run() returns once the queue is empty and nothing is in flight (rule 5).
  virtual void stop() = 0;
  /// Thread-safe: stop() was called.
  virtual bool stopping() const = 0;

  // All only from the loop's own thread.
  Op read(int fd, MutableBytes into, uint64_t offset, Caching caching = Caching::page_cache);
  Op write(int fd, Bytes from, uint64_t offset, Caching caching = Caching::page_cache);
  Op readv(int fd, const iovec* iov, uint32_t count, uint64_t offset);
  Op writev(int fd, const iovec* iov, uint32_t count, uint64_t offset);
  Op fsync(int fd);
  Op fdatasync(int fd);
  Op fallocate(int fd, int mode, uint64_t offset, uint64_t length);
  /// The new connection's descriptor, non-blocking and close-on-exec. ::shutdown(fd, SHUT_RDWR) on the listener ends the wait.
  Op accept(int fd);
  /// At most into.size() bytes; 0 at the end of the stream. ::shutdown(fd, SHUT_RD) ends the wait.
  Op recv(int fd, MutableBytes into, int flags = 0);
  /// MSG_NOSIGNAL is added.
  Op sendmsg(int fd, const msghdr* message, int flags = 0);
  /// Answers the ready events (POLLIN, perhaps with POLLHUP or POLLERR) once there is something to read.
  Op poll_in(int fd);
  /// Likewise (POLLOUT) once a socket takes more.
  Op poll_out(int fd);

 protected:
  virtual void submit(Op& op) = 0;
};

}  // namespace atl
