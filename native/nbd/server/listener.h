// listener.h: listening sockets: from "HOST:PORT", "[IPV6]:PORT", "unix:PATH" or an inherited descriptor to accepted connections.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "nbd/server/server_state.h"

namespace atl {

struct ListenOptions {
  Door door = Door::tenant;
  /// "127.0.0.1:10809", "[::1]:10809", "localhost:10809", "*:10809" (all addresses), "unix:/path". Port 0: any free one.
  std::string address;
  TlsMode tls = TlsMode::off;
  /// Of a unix socket's file.
  mode_t unix_mode = 0600;
  /// >= 0: a listening socket that the process was started with, in place of one at `address` (inherited_socket.h). It is the
  /// listener's from now on.
  int inherited = -1;
};

namespace nbd {

/// "127.0.0.1:10809", "[::1]:10809"; of IPv4 and IPv6.
std::string host_and_port(const sockaddr_storage& address, socklen_t length);

/// One listening socket.
class Listener {
 public:
  /// Opens the sockets of an address (a host name may have several). Errors: `invalid` address; `busy` when another server is
  /// there; `exists` when the path is a file that is not a socket; others by errno.
  static Result<std::vector<std::shared_ptr<Listener>>> open(const ListenOptions& options);
  ~Listener();

  /// Accepts on the loop until close(). Runs on that loop's thread.
  static Task<void> accept(std::shared_ptr<ServerState> state, std::shared_ptr<Listener> self, ServerLoop* loop);
  /// Any thread: no more connections; the socket's file is removed. An inherited socket goes on listening for whoever else has
  /// it, and its file stays.
  void close();

  /// As it would be given to open(), with the real port.
  const std::string& address() const { return address_; }
  Door door() const { return door_; }

 private:
  Listener(int fd, const ListenOptions& options)
      : fd_(fd), door_(options.door), tls_(options.tls), inherited_(options.inherited >= 0) {}
  static Result<std::vector<std::shared_ptr<Listener>>> open_unix(const ListenOptions& options,
                                                                  const std::string& path);
  static Result<std::vector<std::shared_ptr<Listener>>> open_tcp(const ListenOptions& options);
  static Result<std::vector<std::shared_ptr<Listener>>> adopt(const ListenOptions& options);
  Loop::Op wait(Loop& loop);

  const int fd_;
  const Door door_;
  const TlsMode tls_;
  const bool inherited_;
  bool tcp_ = false;
  std::string address_;
  std::string path_;  // of a unix socket
  dev_t device_ = 0;  // and which file it is, so that a successor's is not removed
  ino_t inode_ = 0;
  // Of an inherited socket: shutdown() would end it for everyone, so its waits are ended by a descriptor beside it.
  int wake_ = -1;     // an eventfd
  int waiting_ = -1;  // an epoll of both
  std::atomic<bool> closing_{false};
};

}  // namespace nbd
}  // namespace atl
