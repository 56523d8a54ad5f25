#include "nbd/server/inherited_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "nbd/server/listener.h"

namespace atl {
namespace {

/// -1 with errno when the socket does not say.
int socket_option(int fd, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

}  // namespace

Result<std::string> inherited_socket_address(int fd) {
  const auto unusable = [fd](const std::string& why) {
    return Error{Code::invalid, "descriptor " + std::to_string(fd) + " " + why};
  };
  const int type = socket_option(fd, SO_TYPE);
  if (type < 0)
    return unusable(errno == EBADF ? "is not open" : errno == ENOTSOCK ? "is not a socket" : std::strerror(errno));
  if (type != SOCK_STREAM) return unusable("is not a stream socket");
  if (socket_option(fd, SO_ACCEPTCONN) != 1) return unusable("is a socket that does not listen");
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0 || ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0) return Error::from_errno(errno, "close-on-exec");

  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return Error::from_errno(errno, "getsockname");
  if (address.ss_family == AF_UNIX) {
    const auto& named = reinterpret_cast<const sockaddr_un&>(address);
    const size_t room = length > offsetof(sockaddr_un, sun_path) ? length - offsetof(sockaddr_un, sun_path) : 0;
    const std::string path(named.sun_path, ::strnlen(named.sun_path, room));
    if (path.empty()) return unusable("is a unix socket without a file, whose permissions would guard it");
    return "unix:" + path;
  }
  const int protocol = socket_option(fd, SO_PROTOCOL);
  if ((address.ss_family != AF_INET && address.ss_family != AF_INET6) ||
      (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP))
    return unusable("is neither a TCP nor a unix socket");
  return nbd::host_and_port(address, length);
}

}  // namespace atl
