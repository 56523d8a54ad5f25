#include "io/service_manager.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace atl {

Result<void> notify_service_manager(const std::string& address, const std::string& state) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (address.size() < 2 || address.size() >= sizeof to.sun_path || (address[0] != '/' && address[0] != '@'))
    return Error{Code::invalid, "NOTIFY_SOCKET is \"" + address + "\", expected a path or @NAME"};
  std::memcpy(to.sun_path, address.data(), address.size());
  // A name in the abstract namespace begins with a NUL, and its length is what the address's length says.
  if (address[0] == '@') to.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());

  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return Error::from_errno(errno, "socket");
  const timeval patience{1, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const ssize_t sent =
      ::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), length);
  const int error = errno;
  ::close(socket);
  if (sent < 0) return Error::from_errno(error, "send to " + address);
  return {};
}

}  // namespace atl
