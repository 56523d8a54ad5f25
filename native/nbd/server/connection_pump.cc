// connection_pump.cc: replies onto the socket, many in one sendmsg.
#include <sys/socket.h>

#include <cerrno>

#include "nbd/server/connection.h"

namespace atl::nbd {
namespace {

constexpr size_t parts_max = 128;         // of one sendmsg: 64 replies with payload, 128 without
constexpr size_t batch_bytes = 2u << 20;  // and no more than this, so that its time can be bounded (send_stall_ms)

}  // namespace

/// The reply stays until sent() says so. It leaves when the reader has read all that is there, or at the end of this
/// turn of the loop, with what else gets ready until then.
void Connection::queue(Reply& reply) {
  VERIFY(!lingering_);
  if (broken_) {
    reply.sent = true;
    return;
  }
  *out_last_ = &reply;
  out_last_ = &reply.next;
  if (!pumping_ && !pump_posted_ && !reading_) {
    pump_posted_ = true;
    loop().post(pump_job_);
  }
}

void Connection::start_pump() {
  if (!pumping_ && !broken_ && has_something_to_send()) pump();
}

Connection::Detached Connection::pump() {
  pumping_ = true;
  while (has_something_to_send()) {
    iovec parts[parts_max];
    size_t count = 0;
    size_t bytes = 0;
    size_t skip = out_done_;
    bool lent_next = false;
    const auto add = [&](const std::byte* data, size_t size) {
      if (skip >= size) {
        skip -= size;
        return;
      }
      parts[count++] = {const_cast<std::byte*>(data) + skip, size - skip};
      bytes += size - skip;
      skip = 0;
    };
    for (Reply* reply = out_first_; reply != nullptr && count + 2 <= parts_max; reply = reply->next) {
      if (count > 0 && bytes + reply->bytes() > batch_bytes) break;
      add(reply->head.bytes.data(), reply->head.size);
      if (reply->lent_bytes > skip) {
        lent_next = true;
        break;
      }
      skip -= reply->lent_bytes;
      add(reply->body.data(), reply->body.size());
    }
    int32_t result;
    if (lent_next && count == 0) {
      result = co_await send_lent();
    } else if (tls_ != nullptr) {
      result = co_await send_encrypted({parts, count});
    } else {
      msghdr message{};
      message.msg_iov = parts;
      message.msg_iovlen = count;
      // At once, if the socket has room: through io_uring the answer to this would end the wait for the next request, and
      // cost a second system call.
      const int more = lent_next ? MSG_MORE : 0;
      result = static_cast<int32_t>(::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL | more));
      if (result < 0 && errno == EAGAIN) {
        arm(send_deadline_ns_, state_->limits.send_stall_ms);
        result = co_await loop().sendmsg(fd_, &message, MSG_WAITALL);
        send_deadline_ns_ = 0;
      } else if (result < 0) {
        result = -errno;
      }
    }
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result < 0 || (result == 0 && (count > 0 || lent_next))) {
      broken_ = true;
      cut();  // ends the reader's wait too
      fail_queue();
      break;
    }
    // First the queue is right again, then the tasks whose replies left go on: they may queue more.
    for (Reply* gone = take_sent(static_cast<size_t>(result)); gone != nullptr;) {
      Reply* next = gone->next;
      gone->sent = true;
      if (gone->waiter) gone->waiter.resume();
      gone = next;
    }
  }
  pumping_ = false;
  if (lingering_ && tls_ != nullptr) ::shutdown(fd_, SHUT_WR);  // TLS's own end has left
  if (draining_) linger_if_idle();
  wake_finish();
}

/// Unlinks the replies of which the last byte was among the next `bytes`, as a list.
Connection::Reply* Connection::take_sent(size_t bytes) {
  out_done_ += bytes;
  Reply* gone = nullptr;
  Reply** gone_last = &gone;
  while (out_first_ != nullptr && out_done_ >= out_first_->bytes()) {
    Reply* reply = out_first_;
    out_done_ -= reply->bytes();
    out_first_ = reply->next;
    *gone_last = reply;
    gone_last = &reply->next;
  }
  *gone_last = nullptr;
  if (out_first_ == nullptr) out_last_ = &out_first_;
  return gone;
}

void Connection::fail_queue() {
  out_done_ = 0;
  while (Reply* reply = out_first_) {
    out_first_ = reply->next;
    if (out_first_ == nullptr) out_last_ = &out_first_;
    reply->sent = true;
    if (reply->waiter) reply->waiter.resume();
  }
}

}  // namespace atl::nbd
