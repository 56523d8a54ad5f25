// connection_lent.cc: large bodies of READ replies that are in the page cache: the kernel sends them from there, without a copy through
// us. On a unix socket of this machine a 64 KiB read costs the server half the processor time so (docs/notes/performance.md).
//
// The head of such a reply leaves first, as one that promises the data: what cannot be sent from the file any more, because the
// device has it elsewhere by now or the file is at its end, is read and sent from memory; if that fails, the connection ends.
#include <poll.h>
#include <sys/sendfile.h>

#include <cerrno>

#include "nbd/server/connection.h"

namespace atl::nbd {

bool Connection::may_lend(uint64_t at, uint64_t length) const {
  return length >= state_->limits.lend_bytes && tls_ == nullptr && open_->device->cached(at, length);
}

/// The reply that answers the stretch of a READ at `at` with what the device has there.
void Connection::lend(Reply& reply, const Request& request, uint64_t at, uint32_t length, bool last) const {
  if (rules_.structured)
    encode_data_chunk(reply.head, request, at, length, last);
  else
    encode_simple(reply.head, request, NbdError::none);
  reply.lent_at = at;
  reply.lent_bytes = length;
}

/// Some of the lent body of the first reply, of which the head has left: how many bytes, or -errno.
Task<int32_t> Connection::send_lent() {
  Reply& reply = *out_first_;
  for (;;) {
    const uint64_t done = out_done_ - reply.head.size;
    const uint64_t at = reply.lent_at + done;
    const uint64_t left = reply.lent_bytes - done;
    const std::optional<FileRange> range = still_inside(at, left) ? open_->device->lend(at, left) : std::nullopt;
    if (!range) {
      const int32_t error = co_await copy_lent(reply, done);
      co_return error;
    }
    auto offset = static_cast<off_t>(range->offset);
    const ssize_t sent = ::sendfile(fd_, range->fd, &offset, left);
    if (sent > 0) co_return static_cast<int32_t>(sent);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) co_return -errno;
    if (sent == 0 || errno != EAGAIN) {  // the file's end, or an error of its own: reading tells what is there
      const int32_t error = co_await copy_lent(reply, done);
      co_return error;
    }
    arm(send_deadline_ns_, state_->limits.send_stall_ms);
    const int32_t ready = co_await loop().poll_out(fd_);
    send_deadline_ns_ = 0;
    if (ready < 0 && ready != -EINTR) co_return ready;
    // Hung up: sendfile() would say EPIPE, and a signal would come along.
    if (ready > 0 && (ready & (POLLERR | POLLHUP)) != 0) co_return -EPIPE;
  }
}

/// What is left of a lent body becomes an ordinary one. -EAGAIN: look at the queue again; or -errno.
Task<int32_t> Connection::copy_lent(Reply& reply, uint64_t done) {
  const uint64_t at = reply.lent_at + done;
  const uint64_t left = reply.lent_bytes - done;
  Buffer buffer = home().buffers.take(left);  // the request was charged for it
  Result<void> read = still_inside(at, left);
  if (read) read = co_await open_->device->read(at, buffer.first(left));
  if (!read) {
    report_failure(Command::read, at, left, read.error());
    co_return -EIO;
  }
  reply.copied = std::move(buffer);
  reply.body = reply.copied.first(left);
  reply.lent_bytes = done;
  co_return -EAGAIN;
}

}  // namespace atl::nbd
