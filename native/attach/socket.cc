#include "attach/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace atl::attach {
namespace {

constexpr timeval connect_limit{10, 0};

/// Of connect() alone; what is sent and received later has limits of its own, and the kernel none.
void set_send_limit(int fd, timeval time) { ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time); }

/// Returns 0 or an errno.
int connect_within_limit(int fd, const sockaddr* address, socklen_t length) {
  set_send_limit(fd, connect_limit);
  const int error = ::connect(fd, address, length) == 0 ? 0 : errno;
  set_send_limit(fd, timeval{});
  return error == EINPROGRESS ? ETIMEDOUT : error;
}

}  // namespace

Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Socket> connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{Code::invalid, "expected a socket path of at most " + std::to_string(sizeof address.sun_path - 1) +
                                    " bytes, got \"" + path + "\""};
  std::memcpy(address.sun_path, path.data(), path.size());
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return Error::from_errno(errno, "socket");
  const int error = connect_within_limit(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (error != 0) return Error::from_errno(error, "connect to " + path);
  return socket;
}

Result<Socket> connect_tcp(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  if (error != 0) return Error{Code::not_found, host + ":" + port + ": " + ::gai_strerror(error)};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(list, ::freeaddrinfo);
  Error failure{Code::not_found, host + ": no address"};
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd() < 0) continue;
    const int yes = 1;
    ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    const int failed = connect_within_limit(socket.fd(), at->ai_addr, at->ai_addrlen);
    if (failed == 0) return socket;
    failure = Error::from_errno(failed, "connect to " + host + ":" + port);
  }
  return failure;
}

}  // namespace atl::attach
