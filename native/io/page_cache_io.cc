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

  explicit Parts(const Loop::Op& op) : iov(&own) {
    if (op.verb == Loop::Verb::readv || op.verb == Loop::Verb::writev) {
      iov = op.iov;
      count = static_cast<int>(op.length);
    } else {
      own = iovec{op.buffer, std::min(op.length, Loop::max_io_bytes)};
    }
  }
  Parts(const Parts&) = delete;

  /// Of all parts, counted no further than the first that reaches beyond `enough`.
  uint64_t bytes(uint64_t enough) const {
    uint64_t sum = 0;
    for (int i = 0; i < count && sum <= enough; i++) sum += iov[i].iov_len;
    return sum;
  }
};

/// Where a write in steps is in its parts.
class StepsOfParts {
 public:
  explicit StepsOfParts(const Parts& parts) : parts_(parts) {}

  /// Makes the next parts ready for one call, as many as fit into it; how many bytes they are, at most `limit`.
  uint64_t take(uint64_t limit) {
    uint64_t bytes = 0;
    for (count_ = 0; count_ < call_parts && at_ < parts_.count && bytes < limit; count_++) {
      const iovec& part = parts_.iov[at_];
      const uint64_t length = std::min(part.iov_len - done_of_part_, limit - bytes);
      call_[count_] = iovec{static_cast<std::byte*>(part.iov_base) + done_of_part_, length};
      bytes += length;
      done_of_part_ += length;
      if (done_of_part_ == part.iov_len) {
        at_++;
        done_of_part_ = 0;
      }
    }
    return bytes;
  }
  const iovec* call() const { return call_; }
  /// Of call(): 0 when there is nothing more to take.
  int count() const { return count_; }

 private:
  static constexpr int call_parts = 64;
  const Parts& parts_;
  int at_ = 0;
  uint64_t done_of_part_ = 0;
  int count_ = 0;
  iovec call_[call_parts];
};

ssize_t write_call(int fd, const iovec* iov, int count, uint64_t offset) {
  ssize_t put;
  do {
    put = ::pwritev(fd, iov, count, static_cast<off_t>(offset));
  } while (put < 0 && errno == EINTR);
  return put;
}

bool large(const Loop::Op& op, const Parts& parts) {
  return op.caching == Loop::Caching::page_cache && parts.bytes(step_bytes) > step_bytes;
}

bool readable_now(int fd, uint64_t offset) {
  std::byte byte;
  const iovec iov{&byte, 1};
  return ::preadv2(fd, &iov, 1, static_cast<off_t>(offset), RWF_NOWAIT) == 1;
}

}  // namespace

bool takes_steps(const Loop::Op& op) {
  return (op.verb == Loop::Verb::write || op.verb == Loop::Verb::writev) && large(op, Parts{op});
}

int32_t write_waiting(const Loop::Op& op) {
  const Parts parts{op};
  if (!large(op, parts)) {
    const ssize_t put = write_call(op.fd, parts.iov, parts.count, op.offset);
    return put < 0 ? -errno : static_cast<int32_t>(put);
  }
  StepsOfParts steps{parts};
  uint64_t done = 0;
  while (done < Loop::max_io_bytes) {
    const uint64_t at = op.offset + done;
    const uint64_t to_boundary = step_bytes - at % step_bytes;
    const uint64_t bytes = steps.take(std::min(to_boundary, Loop::max_io_bytes - done));
    if (steps.count() == 0) break;
    const ssize_t put = write_call(op.fd, steps.call(), steps.count(), at);
    // What the steps before have put is there: it is the answer, and who asks for the rest will be told why that cannot be.
    if (put < 0) return done > 0 ? static_cast<int32_t>(done) : -errno;
    done += static_cast<uint64_t>(put);
    if (static_cast<uint64_t>(put) < bytes) break;
  }
  return static_cast<int32_t>(done);
}

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
    // EPERM: by a seccomp filter that does not know it.
    refused.store(errno == ENOSYS || errno == EPERM, std::memory_order_relaxed);
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
  const uint64_t bytes = parts.bytes(bytes_max);
  if (bytes > bytes_max || op.caching == Loop::Caching::uncached) return not_here;
  const ssize_t got = ::preadv2(op.fd, parts.iov, parts.count, static_cast<off_t>(op.offset), RWF_NOWAIT);
  return got == static_cast<ssize_t>(bytes) ? static_cast<int32_t>(got) : not_here;
}

int32_t PageCacheIo::write(const Loop::Op& op) {
  const Parts parts{op};
  const uint64_t bytes = parts.bytes(bytes_max);
  if (bytes > bytes_max || op.caching == Loop::Caching::uncached) return not_here;
  if (refusals_ == 0) {
    const ssize_t put = ::pwritev2(op.fd, parts.iov, parts.count, static_cast<off_t>(op.offset), RWF_NOWAIT);
    if (put == static_cast<ssize_t>(bytes)) return static_cast<int32_t>(put);
    if (put >= 0 || errno != EOPNOTSUPP) return not_here;
    refusals_ = refusals_remembered;
  } else {
    refusals_--;
  }
  if ((op.offset | bytes) % page_bytes != 0) return not_here;  // the rest of a page may have to be read first
  return write_watched(op);
}

int32_t PageCacheIo::write_watched(const Loop::Op& op) {
  if (syncs_ > 0) return not_here;
  const uint64_t before = op.loop.now_ns();
  if (!patience_.willing(before)) return not_here;
  const int32_t put = write_waiting(op);  // cut short only by a full or failing disk: no use in trying again
  patience_.waited(before, op.loop.now_ns());
  return put == -EAGAIN ? not_here : put;
}

}  // namespace atl
