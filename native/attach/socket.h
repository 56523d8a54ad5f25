// socket.h: a descriptor that closes itself, and connections to where a server listens.
#pragma once

#include <sys/time.h>

#include <string>

#include "base/result.h"

namespace atl::attach {

/// Closes itself.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

/// Connects within ten seconds for each address of the name.
Result<Socket> connect_tcp(const std::string& host, const std::string& port);
Result<Socket> connect_unix(const std::string& path);

}  // namespace atl::attach
