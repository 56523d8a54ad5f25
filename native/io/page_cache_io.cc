#include "io/page_cache_io.h"

#include <sys/uio.h>

#include <algorithm>

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

}  // namespace

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
