#include "io/socket_sender.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "io/loop.h"
#include "io/page_cache_io.h"

namespace atl {
namespace {

// What one turn of the loop sends: some 60 µs over the loopback. Others on the loop have their turn in between.
constexpr uint64_t turn_bytes = 256 << 10;
constexpr uint64_t zeros_bytes = 64 << 10;
constinit std::byte zeros[zeros_bytes]{};  // never written

int64_t now_ns() { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Error client_gone() { return Error{Code::cancelled, "the client is gone"}; }

bool of_client(int error) {
  return error == EPIPE || error == ECONNRESET || error == ETIMEDOUT || error == ENOTCONN || error == ECONNABORTED;
}

Error failure(int error) { return of_client(error) ? client_gone() : Error::from_errno(error, "sending to a client"); }

}  // namespace

Result<std::shared_ptr<SocketSender>> SocketSender::duplicate(int fd, std::string head) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return Error::from_errno(EINVAL, "socket " + std::to_string(fd));
  if ((flags & O_NONBLOCK) == 0) return Error{Code::invalid, "socket " + std::to_string(fd) + ": is a blocking one"};
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return Error{Code::busy, "no descriptor is left for another one of a client's socket"};
  return std::shared_ptr<SocketSender>{new SocketSender{own, std::move(head)}};
}

void SocketSender::cancel() {
  const std::scoped_lock lock{mutex_};
  cancelled_.store(true, std::memory_order_relaxed);
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);  // ends the wait (loop.h, rule 5)
}

void SocketSender::close() {
  const std::scoped_lock lock{mutex_};
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  took_some();
}

uint64_t SocketSender::waited_ms() const {
  const int64_t since = waiting_since_ns_.load(std::memory_order_relaxed);
  return since == 0 ? 0 : static_cast<uint64_t>(std::max<int64_t>(now_ns() - since, 0)) / 1'000'000;
}

Task<Result<void>> SocketSender::writable() {
  if (waiting_since_ns_.load(std::memory_order_relaxed) == 0)
    waiting_since_ns_.store(now_ns(), std::memory_order_relaxed);
  const int32_t ready = co_await Loop::here().poll_out(fd_);
  if (ready < 0 && ready != -EINTR) co_return failure(-ready);
  co_return Result<void>{};
}

Task<Result<void>> SocketSender::send_head() {
  const std::string head = std::exchange(head_, {});
  Result<void> sent = co_await send_all({reinterpret_cast<const std::byte*>(head.data()), head.size()}, MSG_MORE);
  co_return sent;
}

Task<Result<void>> SocketSender::send(Bytes bytes) {
  if (!head_.empty()) {
    Result<void> sent = co_await send_head();
    if (!sent) co_return sent;
  }
  Result<void> sent = co_await send_all(bytes, 0);
  co_return sent;
}

Task<Result<void>> SocketSender::send_all(Bytes bytes, int flags) {
  began_.store(true, std::memory_order_relaxed);
  while (!bytes.empty()) {
    if (cancelled_.load(std::memory_order_relaxed)) co_return client_gone();
    const Bytes piece = bytes.first(std::min<uint64_t>(bytes.size(), turn_bytes));
    const ssize_t sent = ::send(fd_, piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL | flags);
    const int error = sent < 0 ? errno : 0;
    if (sent >= 0) {
      took_some();
      bytes = bytes.subspan(static_cast<size_t>(sent));
      if (!bytes.empty()) co_await Loop::here().schedule();
    } else if (error == EAGAIN) {
      Result<void> ready = co_await writable();
      if (!ready) co_return ready;
    } else if (error != EINTR) {
      co_return failure(error);
    }
  }
  co_return Result<void>{};
}

Task<Result<void>> SocketSender::send_zeros(uint64_t length) {
  while (length > 0) {
    const Bytes piece{zeros, std::min(length, zeros_bytes)};
    Result<void> sent = co_await send(piece);
    if (!sent) co_return sent;
    length -= piece.size();
    if (length > 0) co_await Loop::here().schedule();
  }
  co_return Result<void>{};
}

Task<Result<uint64_t>> SocketSender::send_cached(int file, uint64_t offset, uint64_t length) {
  uint64_t done = 0;
  while (done < length) {
    if (cancelled_.load(std::memory_order_relaxed)) co_return client_gone();
    const uint64_t piece = std::min(length - done, turn_bytes);
    // Asked again after each wait: memory may have become scarce meanwhile.
    if (!in_page_cache(file, offset + done, piece)) break;
    if (!head_.empty()) {
      Result<void> head = co_await send_head();
      if (!head) co_return std::move(head.error());
    }
    began_.store(true, std::memory_order_relaxed);
    auto at = static_cast<off_t>(offset + done);
    const ssize_t sent = ::sendfile(fd_, file, &at, piece);
    const int error = sent < 0 ? errno : 0;
    if (sent > 0) {
      took_some();
      done += static_cast<uint64_t>(sent);
      if (done < length) co_await Loop::here().schedule();
    } else if (sent == 0) {
      co_return Error{Code::corrupt, "a file ends after " + std::to_string(offset + done) + " bytes, within " +
                                         std::to_string(offset + length)};
    } else if (error == EAGAIN) {
      Result<void> ready = co_await writable();
      if (!ready) co_return std::move(ready.error());
    } else if (error != EINTR) {
      co_return failure(error);
    }
  }
  co_return done;
}

}  // namespace atl
