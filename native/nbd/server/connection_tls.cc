// connection_tls.cc: a connection that speaks TLS: the upgrade by STARTTLS, and ciphertext to and from the socket.
//
// Invariants
//   1. After the ACK of STARTTLS not one plain byte of the peer is heeded: what it sent behind the option, without waiting, is
//      given to TLS as the beginning of its stream. (Reading ahead is how plain commands once got into encrypted sessions,
//      CVE-2011-0411 and its kin.) Nor is anything that was negotiated before (CVE-2021-3716).
//   2. Until the transmission phase the reading task alone sends; from then on only the pump does.
//   3. The arithmetic of handshakes (milliseconds for RSA) runs on a thread of its own: no other connection waits for it.
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>

#include "nbd/server/connection.h"

namespace atl::nbd {
namespace {

std::string peer_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "unknown";
  if (address.ss_family == AF_UNIX) return "unix socket";
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "unknown";
  return address.ss_family == AF_INET6 ? "[" + std::string(host) + "]:" + port : std::string(host) + ":" + port;
}

}  // namespace

/// After STARTTLS was acknowledged. False: the connection ends.
Task<bool> Connection::start_tls(Handshake& handshake) {
  if (open_) open_.reset();  // asked for in plain words; on its home
  open_name_.clear();
  forget_name();
  Result<std::unique_ptr<TlsSession>> session = TlsSession::create(state_->tls_credentials());
  if (!session) {
    report_tls(session.error().message);
    co_return false;
  }
  tls_ = std::move(*session);
  const MutableBytes room = tls_->input_room();
  if (input_.size() > room.size()) {
    report_tls("the client sent more than any greeting before TLS had begun");
    co_return false;
  }
  tls_->received(input_.take(room));

  for (;;) {
    co_await state_->tls_pool().schedule();
    const TlsSession::Step step = tls_->handshake();
    co_await loop().schedule();
    const bool told = co_await send_tls_output();
    if (step == TlsSession::Step::done) {
      if (!told) co_return false;
      break;
    }
    if (step == TlsSession::Step::failed) {
      report_tls(tls_->failure());
      co_await wait_for_peer_to_leave();
      co_return false;
    }
    const int32_t n = co_await loop().recv(fd_, tls_->input_room());
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n <= 0) {
      const bool late = deadline_ns_ != 0 && loop().now_ns() >= deadline_ns_;
      report_tls(late ? "the handshake was not done in time" : "the peer left in the middle of the handshake");
      co_return false;
    }
    tls_->received(static_cast<size_t>(n));
  }
  handshake.tls_started();
  co_return true;
}

/// Like recv() of the loop: plaintext, at least one byte; 0 when the peer has ended it; -errno.
Task<int32_t> Connection::receive_decrypted(MutableBytes into) {
  for (;;) {
    const TlsSession::Read got = tls_->read(into);
    if (tls_->has_output()) {  // what TLS itself has to say
      if (transmitting_)
        start_pump();
      else
        co_await send_tls_output();
    }
    switch (got.step) {
      case TlsSession::Step::done: co_return static_cast<int32_t>(got.bytes);
      case TlsSession::Step::closed: co_return 0;
      case TlsSession::Step::failed: report_tls(tls_->failure()); co_return -EPROTO;
      case TlsSession::Step::wants_input: break;
    }
    const int32_t n = co_await loop().recv(fd_, tls_->input_room());
    if (n == -EINTR || n == -EAGAIN) continue;
    // An end without TLS's own: someone may have cut the stream short. A request that is not here in full is not served, so
    // all the peer can lose is what it never had an answer to.
    if (n <= 0) co_return n;
    tls_->received(static_cast<size_t>(n));
  }
}

/// Encrypts what it takes of the parts and sends it; answers how much plaintext that was, or -errno.
Task<int32_t> Connection::send_encrypted(std::span<const iovec> parts) {
  const int32_t taken = tls_->write(parts);
  const bool sent_all = co_await send_tls_output();
  co_return taken >= 0 && sent_all ? taken : -EPIPE;
}

Task<bool> Connection::send_tls_output() {
  while (tls_->has_output()) {
    const Bytes out = tls_->output();
    iovec part{const_cast<std::byte*>(out.data()), out.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    auto n = static_cast<int32_t>(::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (n < 0 && errno == EAGAIN) {
      arm(send_deadline_ns_, state_->limits.send_stall_ms);
      n = co_await loop().sendmsg(fd_, &message, MSG_WAITALL);
      send_deadline_ns_ = 0;
    } else if (n < 0) {
      n = -errno;
    }
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n <= 0) co_return false;
    tls_->sent(static_cast<size_t>(n));
  }
  co_return true;
}

/// "the server MUST close down the TLS session ... and then close the TCP connection". When nothing else is in flight.
Task<void> Connection::say_goodbye() {
  pumping_ = true;  // in its place
  tls_->close();
  arm(deadline_ns_, state_->limits.linger_ms);
  const bool told = co_await send_tls_output();
  (void)told;  // a peer that is gone need not be told
  pumping_ = false;
  deadline_ns_ = 0;
}

/// Closing with something unread would destroy our alert on its way, and the peer would never learn what was wrong.
Task<void> Connection::wait_for_peer_to_leave() {
  ::shutdown(fd_, SHUT_WR);
  arm(deadline_ns_, state_->limits.linger_ms);
  int32_t n;
  do {
    n = co_await loop().recv(fd_, tls_->input_room());
  } while (n > 0 || n == -EINTR || n == -EAGAIN);
}

void Connection::report_tls(const std::string& words) {
  const std::optional<uint64_t> unsaid = state_->tls_reports.may_report(loop().now_ns());
  if (unsaid) state_->resolver.tls_failed({door_, peer_of(fd_), words, *unsaid});
}

}  // namespace atl::nbd
