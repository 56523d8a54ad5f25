#include "attach/handshake_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace atl::attach {
namespace {

constexpr auto handshake_limit = std::chrono::seconds(30);

}  // namespace

HandshakeStream::HandshakeStream(Socket socket)
    : socket_(std::move(socket)), deadline_(std::chrono::steady_clock::now() + handshake_limit) {}

Result<void> HandshakeStream::wait(int fd, short events) const {
  using namespace std::chrono;
  const auto left = duration_cast<milliseconds>(deadline_ - steady_clock::now()).count();
  pollfd polled{fd, events, 0};
  const int ready = left <= 0 ? 0 : ::poll(&polled, 1, static_cast<int>(left));
  if (ready < 0 && errno != EINTR) return Error::from_errno(errno, "poll");
  if (ready == 0) return Error{Code::io, "the server did not finish the handshake in time"};
  return {};
}

Result<void> HandshakeStream::send(Bytes bytes) {
  while (!bytes.empty()) {
    if (tls_) {
      Result<ssize_t> n = tls_->send(bytes);
      if (!n) return n.error();
      if (*n != TlsClient::again) {
        bytes = bytes.subspan(static_cast<size_t>(*n));
      } else if (Result<void> ready = wait(tls_->fd(), tls_->wanted_events()); !ready) {
        return ready;
      }
      continue;
    }
    const ssize_t n = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
    } else if (errno == EAGAIN || errno == EINTR) {
      if (Result<void> ready = wait(socket_.fd(), POLLOUT); !ready) return ready;
    } else {
      return Error::from_errno(errno, "send to the server");
    }
  }
  return {};
}

Result<void> HandshakeStream::receive(MutableBytes into) {
  const Error ended{Code::io, "the server closed the connection during the handshake"};
  while (!into.empty()) {
    if (tls_) {
      Result<ssize_t> n = tls_->receive(into);
      if (!n) return n.error();
      if (*n == 0) return ended;
      if (*n != TlsClient::again) {
        into = into.subspan(static_cast<size_t>(*n));
      } else if (Result<void> ready = wait(tls_->fd(), tls_->wanted_events()); !ready) {
        return ready;
      }
      continue;
    }
    const ssize_t n = ::recv(socket_.fd(), into.data(), into.size(), MSG_DONTWAIT);
    if (n == 0) return ended;
    if (n > 0) {
      into = into.subspan(static_cast<size_t>(n));
    } else if (errno == EAGAIN || errno == EINTR) {
      if (Result<void> ready = wait(socket_.fd(), POLLIN); !ready) return ready;
    } else {
      return Error::from_errno(errno, "receive from the server");
    }
  }
  return {};
}

Result<void> HandshakeStream::start_tls(const TlsSettings& settings, const std::string& host) {
  Result<std::unique_ptr<TlsClient>> made = TlsClient::make(settings, host, std::move(socket_));
  if (!made) return made.error();
  tls_ = std::move(*made);
  for (;;) {
    Result<ssize_t> done = tls_->shake_hands();
    if (!done) return done.error();
    if (*done != TlsClient::again) return {};
    if (Result<void> ready = wait(tls_->fd(), tls_->wanted_events()); !ready) return ready;
  }
}

}  // namespace atl::attach
