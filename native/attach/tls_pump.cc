#include "attach/tls_pump.h"

#include <poll.h>
#include <sys/socket.h>
#include <syslog.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

namespace atl::attach {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t buffer_bytes = 64u << 10;
constexpr auto farewell_limit = std::chrono::seconds(2);

/// What has been read from one side and not yet been taken by the other.
class Buffer {
 public:
  bool empty() const { return begin_ == end_; }
  Bytes content() const { return Bytes(bytes_).subspan(begin_, end_ - begin_); }
  MutableBytes room() { return bytes_; }
  void filled(size_t bytes) {
    begin_ = 0;
    end_ = bytes;
  }
  void taken(size_t bytes) { begin_ += bytes; }

 private:
  std::vector<std::byte> bytes_ = std::vector<std::byte>(buffer_bytes);
  size_t begin_ = 0, end_ = 0;
};

enum class Step { moved, blocked, ended };

Step receive_plain(int fd, Buffer& into) {
  const ssize_t n = ::recv(fd, into.room().data(), into.room().size(), MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Step::blocked : Step::ended;
  into.filled(static_cast<size_t>(n));
  return n == 0 ? Step::ended : Step::moved;
}

Step send_plain(int fd, Buffer& from) {
  const ssize_t n = ::send(fd, from.content().data(), from.content().size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Step::blocked : Step::ended;
  from.taken(static_cast<size_t>(n));
  return Step::moved;
}

Step step_of(const Result<ssize_t>& done) {
  if (!done) {
    ::syslog(LOG_WARNING, "%s", done.error().message.c_str());
    return Step::ended;
  }
  return *done == TlsClient::again ? Step::blocked : *done == 0 ? Step::ended : Step::moved;
}

Step receive_tls(TlsClient& tls, Buffer& into) {
  const Result<ssize_t> n = tls.receive(into.room());
  const Step step = step_of(n);
  if (step == Step::moved) into.filled(static_cast<size_t>(*n));
  return step;
}

Step send_tls(TlsClient& tls, Buffer& from) {
  const Result<ssize_t> n = tls.send(from.content());
  const Step step = step_of(n);
  if (step == Step::moved) from.taken(static_cast<size_t>(*n));
  return step;
}

/// Sends what is left, then close_notify.
void end_tls(TlsClient& tls, Buffer& left) {
  const auto deadline = Clock::now() + farewell_limit;
  for (;;) {
    const Step step = left.empty() ? step_of(tls.say_goodbye()) : send_tls(tls, left);
    if (step == Step::ended) return;
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (time <= 0) return;
    pollfd waiting{tls.fd(), POLLOUT, 0};
    if (step == Step::blocked && ::poll(&waiting, 1, static_cast<int>(time)) < 0 && errno != EINTR) return;
  }
}

}  // namespace

TlsPump::TlsPump(Socket plain, std::unique_ptr<TlsClient> tls)
    : plain_(std::move(plain)), tls_(std::move(tls)), thread_([this] { run(); }) {}

TlsPump::~TlsPump() {
  ::shutdown(plain_.fd(), SHUT_RDWR);
  thread_.join();
}

void TlsPump::run() {
  Buffer to_server, to_kernel;
  for (bool ended = false; !ended;) {
    Step up = Step::blocked, down = Step::blocked;
    if (to_server.empty() && receive_plain(plain_.fd(), to_server) == Step::ended) break;
    const bool sending = !to_server.empty();
    if (sending) up = send_tls(*tls_, to_server);
    if (to_kernel.empty() && receive_tls(*tls_, to_kernel) == Step::ended) break;
    if (!to_kernel.empty()) down = send_plain(plain_.fd(), to_kernel);
    ended = up == Step::ended || down == Step::ended;
    if (up != Step::blocked || down != Step::blocked) continue;
    // The kernel may give up on a server that takes nothing any more. A server that hangs up is seen when it is read again.
    const auto plain_events =
        static_cast<short>(POLLRDHUP | (to_server.empty() ? POLLIN : 0) | (to_kernel.empty() ? 0 : POLLOUT));
    const auto tls_events = static_cast<short>((to_kernel.empty() ? POLLIN : 0) | (to_server.empty() ? 0 : POLLOUT));
    pollfd polled[] = {{plain_.fd(), plain_events, 0}, {tls_events == 0 ? -1 : tls_->fd(), tls_events, 0}};
    if (::poll(polled, 2, -1) < 0 && errno != EINTR) break;
    ended = !to_server.empty() && (polled[0].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }
  // Replies that came before the server ended its side.
  if (!to_kernel.empty()) send_plain(plain_.fd(), to_kernel);
  end_tls(*tls_, to_server);
  ::shutdown(tls_->fd(), SHUT_RDWR);
  ::shutdown(plain_.fd(), SHUT_RDWR);
}

}  // namespace atl::attach
