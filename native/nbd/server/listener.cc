#include "nbd/server/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "nbd/server/connection.h"
#include "nbd/server/inherited_socket.h"

namespace atl::nbd {
namespace {

constexpr int backlog = 1024;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(other.release()) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void set_option(int fd, int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); }

/// Failures are not worth an end: each of these only makes a good connection better.
void tune(int fd, bool tcp, uint32_t peer_timeout_ms) {
  if (!tcp) {
    // The default holds a fifth of a megabyte; the kernel cuts this down to what the system allows.
    set_option(fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
    return;
  }
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // A peer that vanished without a word: asked after a third of the time, given up at its end (tcp(7)), whether we have
  // something to send to it or not.
  const auto seconds = static_cast<int>(peer_timeout_ms / 1000);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, seconds / 3));
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, seconds / 9));
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 6);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(peer_timeout_ms));
}

/// Whether a server answers behind this socket file.
bool is_alive(const sockaddr_un& address) {
  const Socket probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.fd() < 0) return true;
  if (::connect(probe.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  return errno != ECONNREFUSED && errno != ENOENT;  // a full backlog (EAGAIN) is alive too
}

void set_port(sockaddr_storage& address, in_port_t port) {
  if (address.ss_family == AF_INET6)
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = port;
  else
    reinterpret_cast<sockaddr_in&>(address).sin_port = port;
}
in_port_t port_of(const sockaddr_storage& address) {
  return address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                       : reinterpret_cast<const sockaddr_in&>(address).sin_port;
}

}  // namespace

std::string host_and_port(const sockaddr_storage& address, socklen_t length) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "?";
  const bool six = address.ss_family == AF_INET6;
  return (six ? "[" : "") + std::string(host) + (six ? "]:" : ":") + port;
}

Listener::~Listener() {
  close();
  for (const int fd : {fd_, wake_, waiting_})
    if (fd >= 0) ::close(fd);
}

void Listener::close() {
  if (closing_.exchange(true)) return;
  if (inherited_) {
    ::eventfd_write(wake_, 1);  // cannot fail: it is written once
    return;
  }
  struct stat now;
  if (!path_.empty() && ::lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_)
    ::unlink(path_.c_str());
  ::shutdown(fd_, SHUT_RDWR);
}

Result<std::vector<std::shared_ptr<Listener>>> Listener::open(const ListenOptions& options) {
  constexpr std::string_view unix_prefix = "unix:";
  if (options.inherited >= 0) return adopt(options);
  if (options.address.starts_with(unix_prefix)) return open_unix(options, options.address.substr(unix_prefix.size()));
  return open_tcp(options);
}

Result<std::vector<std::shared_ptr<Listener>>> Listener::open_unix(const ListenOptions& options,
                                                                   const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error{Code::invalid, "the path of a unix socket has 1 to " + std::to_string(sizeof address.sun_path - 1) +
                                    " bytes, this one " + std::to_string(path.size()) + ": " + path};
  std::memcpy(address.sun_path, path.data(), path.size());

  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.fd() < 0) return Error::from_errno(errno, "socket");
  // Before bind: the file has these permissions from its first moment on.
  ::fchmod(socket.fd(), options.unix_mode);
  const auto bind = [&] { return ::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address); };
  if (bind() != 0) {
    struct stat there;
    if (errno != EADDRINUSE || ::lstat(path.c_str(), &there) != 0) return Error::from_errno(errno, "bind " + path);
    if (!S_ISSOCK(there.st_mode)) return Error{Code::exists, path + " is there and is not a socket"};
    if (is_alive(address)) return Error{Code::busy, "another server listens on " + path};
    if (::unlink(path.c_str()) != 0 || bind() != 0) return Error::from_errno(errno, "bind " + path);
  }
  if (::listen(socket.fd(), backlog) != 0) return Error::from_errno(errno, "listen on " + path);
  struct stat made;
  if (::lstat(path.c_str(), &made) != 0) return Error::from_errno(errno, "stat " + path);
  std::shared_ptr<Listener> listener(new Listener(socket.release(), options));
  listener->path_ = path;
  listener->device_ = made.st_dev;
  listener->inode_ = made.st_ino;
  listener->address_ = "unix:" + path;
  return std::vector{std::move(listener)};
}

Result<std::vector<std::shared_ptr<Listener>>> Listener::open_tcp(const ListenOptions& options) {
  const std::string& text = options.address;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return Error{Code::invalid, "expected HOST:PORT or unix:PATH, received " + text};
  std::string host = text.substr(0, colon);
  const std::string port = text.substr(colon + 1);
  uint16_t number = 0;
  const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (failed != std::errc{} || end != port.data() + port.size() || port.empty())
    return Error{Code::invalid, "expected a port from 0 to 65535, received " + text};
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string::npos)
    return Error{Code::invalid, "an IPv6 address goes in brackets: [" + host + "]:" + port};
  const bool any = host.empty() || host == "*";

  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(any ? nullptr : host.c_str(), port.c_str(), &hints, &list);
  if (error != 0) return Error{Code::invalid, "address " + text + ": " + ::gai_strerror(error)};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(list, ::freeaddrinfo);

  std::vector<std::shared_ptr<Listener>> listeners;
  Error failure{Code::invalid, "no address for " + text};
  in_port_t chosen = 0;  // the port 0 of a name with several addresses becomes one port for all
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
    Socket socket(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.fd() < 0) {
      failure = Error::from_errno(errno, "socket");
      continue;  // no IPv6 here, for example
    }
    set_option(socket.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (at->ai_family == AF_INET6) set_option(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    sockaddr_storage address{};
    std::memcpy(&address, at->ai_addr, at->ai_addrlen);
    if (number == 0) set_port(address, chosen);
    if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), at->ai_addrlen) != 0 ||
        ::listen(socket.fd(), backlog) != 0) {
      const int why = errno;
      failure = Error::from_errno(why, "listen on " + host_and_port(address, at->ai_addrlen));
      if (why == EADDRINUSE) failure.code = Code::busy;
      if (why == EADDRNOTAVAIL) continue;
      return failure;
    }
    socklen_t length = sizeof address;
    ::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &length);
    chosen = port_of(address);
    std::shared_ptr<Listener> listener(new Listener(socket.release(), options));
    listener->tcp_ = true;
    listener->address_ = host_and_port(address, length);
    listeners.push_back(std::move(listener));
  }
  if (listeners.empty()) return failure;
  return listeners;
}

Result<std::vector<std::shared_ptr<Listener>>> Listener::adopt(const ListenOptions& options) {
  Result<std::string> address = inherited_socket_address(options.inherited);
  if (!address) return std::move(address.error());
  std::shared_ptr<Listener> listener(new Listener(options.inherited, options));
  listener->address_ = std::move(*address);
  listener->tcp_ = !listener->address_.starts_with("unix:");
  // Several processes may wait on it: whoever comes too late for a connection must not be stuck in accept().
  const int flags = ::fcntl(options.inherited, F_GETFL);
  if (flags < 0 || ::fcntl(options.inherited, F_SETFL, flags | O_NONBLOCK) != 0)
    return Error::from_errno(errno, "fcntl");
  listener->waiting_ = ::epoll_create1(EPOLL_CLOEXEC);
  listener->wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (listener->waiting_ < 0 || listener->wake_ < 0) return Error::from_errno(errno, "epoll or eventfd");
  epoll_event readable{};
  readable.events = EPOLLIN;
  for (const int fd : {listener->fd_, listener->wake_})
    if (::epoll_ctl(listener->waiting_, EPOLL_CTL_ADD, fd, &readable) != 0) return Error::from_errno(errno, "epoll");
  return std::vector{std::move(listener)};
}

/// The next connection, or for an inherited socket the word that one may be there.
Loop::Op Listener::wait(Loop& loop) { return inherited_ ? loop.poll_in(waiting_) : loop.accept(fd_); }

Task<void> Listener::accept(std::shared_ptr<ServerState> state, std::shared_ptr<Listener> self, ServerLoop* loop) {
  while (!self->closing_) {
    int32_t fd = co_await self->wait(loop->loop);
    if (self->inherited_ && fd >= 0) {
      if (self->closing_) break;
      fd = ::accept4(self->fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) fd = -errno;  // EAGAIN: it was another process's
    }
    if (fd >= 0) {
      tune(fd, self->tcp_, state->limits.peer_timeout_ms);
      Connection::start(state, *loop, fd, self->door_, self->tls_);
    } else if (fd == -EINVAL || fd == -EBADF) {
      break;  // shut down
    } else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
      // The client waits in the backlog; trying again at once would only burn the processor.
      co_await loop->loop.sleep_ns(100'000'000);
      if (loop->loop.stopping()) break;
    }
  }
  state->accepting--;
}

}  // namespace atl::nbd
