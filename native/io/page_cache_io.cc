#include "io/page_cache_io.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace atl {
namespace {

// Copying more keeps the loop from its other work for longer than a change of threads costs.
constexpr uint64_t bytes_max = 128 << 10;
constexpr uint64_t page_bytes = 4096;
constexpr uint32_t refusals_remembered = 256;

/// The operation's memory as a list of parts.
struct Parts {
  iovec own{};
  const iovec* iov;
  int count = 1;
  uint64_t bytes = 0;

  explicit Parts(const Loop::Op& op) : iov(&own) {
    if (op.verb == Loop::Verb::readv || op.verb == Loop::Verb::writev) {
      iov = op.iov;
      count = static_cast<int>(op.length);
      for (int i = 0; i < count && bytes <= bytes_max; i++) bytes += iov[i].iov_len;
    } else {
      own = iovec{op.buffer, op.length};
      bytes = op.length;
    }
  }
  Parts(const Parts&) = delete;
};

bool readable_now(int fd, uint64_t offset) {
  std::byte byte;
  const iovec iov{&byte, 1};
  return ::preadv2(fd, &iov, 1, static_cast<off_t>(offset), RWF_NOWAIT) == 1;
}

}  // namespace

bool in_page_cache(int fd, uint64_t offset, uint64_t length) {
  // linux/mman.h, which older headers do not have.
  constexpr long cachestat_number = 451;
  struct {
    uint64_t offset, length;
  } range{offset, length};
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } found{};
  static std::atomic<bool> refused{false};
  if (refused.load(std::memory_order_relaxed)) return false;
  if (::syscall(cachestat_number, fd, &range, &found, 0) != 0) {
    refused.store(errno == ENOSYS, std::memory_order_relaxed);
    return false;
  }
  const uint64_t pages = (offset + length + page_bytes - 1) / page_bytes - offset / page_bytes;
  if (found.cached < pages) return false;
  // Pages that are still on their way from the disk count too. Reading ahead goes by stretches no shorter than this: where the byte
  // before each can be had without waiting, so can what is before it.
  constexpr uint64_t stretch_bytes = 128 << 10;
  const uint64_t end = offset + length;
  for (uint64_t at = (offset / stretch_bytes + 1) * stretch_bytes; at < end; at += stretch_bytes)
    if (!readable_now(fd, at - 1)) return false;
  return readable_now(fd, end - 1);
}

void Patience::waited(uint64_t before_ns, uint64_t after_ns) {
  if (after_ns - before_ns < slow_ns) {
    pause_ns_ = 0;
    return;
  }
  pause_ns_ = std::clamp(pause_ns_ * 2, first_pause_ns, longest_pause_ns);
  pause_until_ns_ = after_ns + pause_ns_;
}

int32_t PageCacheIo::attempt(const Loop::Op& op) {
  switch (op.verb) {
    case Loop::Verb::read:
    case Loop::Verb::readv: return read(op);
    case Loop::Verb::write:
    case Loop::Verb::writev: return write(op);
    default: return not_here;
  }
}

int32_t PageCacheIo::read(const Loop::Op& op) {
  const Parts parts{op};
  if (parts.bytes > bytes_max || op.caching == Loop::Caching::uncached) return not_here;
  const ssize_t got = ::preadv2(op.fd, parts.iov, parts.count, static_cast<off_t>(op.offset), RWF_NOWAIT);
  return got == static_cast<ssize_t>(parts.bytes) ? static_cast<int32_t>(got) : not_here;
}

int32_t PageCacheIo::write(const Loop::Op& op) {
  const Parts parts{op};
  if (parts.bytes > bytes_max || op.caching == Loop::Caching::uncached) return not_here;
  if (refusals_ == 0) {
    const ssize_t put = ::pwritev2(op.fd, parts.iov, parts.count, static_cast<off_t>(op.offset), RWF_NOWAIT);
    if (put == static_cast<ssize_t>(parts.bytes)) return static_cast<int32_t>(put);
    if (put >= 0 || errno != EOPNOTSUPP) return not_here;
    refusals_ = refusals_remembered;
  } else {
    refusals_--;
  }
  if ((op.offset | parts.bytes) % page_bytes != 0) return not_here;  // the rest of a page may have to be read first
  return write_watched(op, parts.iov, parts.count);
}

int32_t PageCacheIo::write_watched(const Loop::Op& op, const iovec* iov, int count) {
  if (syncs_ > 0) return not_here;
  const uint64_t before = op.loop.now_ns();
  if (!patience_.willing(before)) return not_here;
  const ssize_t put = ::pwritev(op.fd, iov, count, static_cast<off_t>(op.offset));
  const int error = errno;
  patience_.waited(before, op.loop.now_ns());
  if (put >= 0) return static_cast<int32_t>(put);  // cut short only by a full or failing disk: no use in trying again
  return error == EINTR || error == EAGAIN ? not_here : -error;
}

}  // namespace atl
