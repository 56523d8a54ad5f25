// socket_sender.h: bytes to a client's socket that somebody else (Node) reads from and closes: from memory, and straight from a
// file's pages in the page cache.
//
// Rules
//   1. No thread waits, neither for a client nor for a disk. What the socket does not take at once waits in the loop for it to become
//      writable; of a file only what the page cache has is sent, the caller reads the rest.
//   2. The descriptor is a duplicate: its owner may close it at any time, and we never write to a number that was given out anew.
//      That keeps the connection open, so the owner must cancel().
//   3. After sendfile() a file's pages are in the socket until the peer has acknowledged them. They are sent as they are *then*: only
//      files that nobody changes, and nobody cuts shorter or punches, may be sent that way.
//   4. Node ignores SIGPIPE, as all must who use this: sendfile() has no flag against it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "base/types.h"

namespace atl {

class SocketSender {
 public:
  /// `invalid`: no such descriptor, or one that is blocking. `busy`: the process has no descriptor left.
  /// `head`: goes out right before the first of the bytes, along with them; not at all where there are none.
  static Result<std::shared_ptr<SocketSender>> duplicate(int fd, std::string head = {});
  ~SocketSender() { close(); }
  SocketSender(const SocketSender&) = delete;

  // From any thread.
  /// Ends the connection and all that is under way here, with `cancelled`. Without effect after close().
  void cancel();
  /// For how long the client has taken nothing while it was offered something; 0 when it is not waited for.
  uint64_t waited_ms() const;
  /// Perhaps something was sent.
  bool began() const { return began_.load(std::memory_order_relaxed); }

  // On any loop, one call at a time. `cancelled` when the client is gone, or was given up.
  Task<Result<void>> send(Bytes bytes);
  Task<Result<void>> send_zeros(uint64_t length);
  /// Of a file that never changes. Answers how many bytes were sent: fewer than `length`, perhaps none, where the page cache does not
  /// have the next ones. `corrupt`: the file ends within the range.
  Task<Result<uint64_t>> send_cached(int file, uint64_t offset, uint64_t length);
  /// Nothing is under way any more.
  void close();

 private:
  SocketSender(int fd, std::string head) : head_(std::move(head)), fd_(fd) {}
  Task<Result<void>> send_head();
  Task<Result<void>> send_all(Bytes bytes, int flags);
  Task<Result<void>> writable();
  void took_some() { waiting_since_ns_.store(0, std::memory_order_relaxed); }

  std::string head_;  // empty: sent
  std::atomic<bool> began_{false};
  std::mutex mutex_;  // fd_ against a cancel() from another thread
  int fd_;
  std::atomic<bool> cancelled_{false};
  std::atomic<int64_t> waiting_since_ns_{0};
};

}  // namespace atl
