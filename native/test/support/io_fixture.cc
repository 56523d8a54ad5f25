#include "test/support/io_fixture.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>

namespace atl::test {

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool kernel_has_io_uring() {
  static const bool has = [] {
    io_uring_params params{};
    const long fd = ::syscall(__NR_io_uring_setup, 8, &params);
    if (fd >= 0) ::close(static_cast<int>(fd));
    const bool new_enough = fd >= 0 && (params.features & IORING_FEAT_EXT_ARG) != 0;
    if (!new_enough) std::fprintf(stderr, "no io_uring here: its half of the tests is left out\n");
    return new_enough;
  }();
  return has;
}

Fd temporary_file(int flags) {
  const char* wanted = std::getenv("TMPDIR");
  flags |= O_TMPFILE | O_RDWR | O_CLOEXEC;
  int fd = ::open(wanted != nullptr ? wanted : "/tmp", flags, 0600);
  // Memory file systems did not know O_DIRECT before Linux 6.6.
  if (fd < 0 && errno == EINVAL) fd = ::open("/var/tmp", flags, 0600);
  return Fd{fd};
}

namespace {

Listener listen_on(int family, const sockaddr* address, socklen_t bytes) {
  Listener listener;
  listener.fd = Fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  REQUIRE(::bind(listener.fd.get(), address, bytes) == 0);
  REQUIRE(::listen(listener.fd.get(), 512) == 0);
  listener.address_bytes = sizeof listener.address;
  REQUIRE(::getsockname(listener.fd.get(), reinterpret_cast<sockaddr*>(&listener.address), &listener.address_bytes) ==
          0);
  return listener;
}

}  // namespace

Listener listen_tcp() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return listen_on(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

Listener listen_unix() {
  // Bound without a name, the kernel makes an abstract one up.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  return listen_on(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t));
}

Fd Listener::connect() const {
  Fd client{::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), address_bytes) == 0);
  return client;
}

std::pair<Fd, Fd> socket_pair() {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  return {Fd{fds[0]}, Fd{fds[1]}};
}

Task<int32_t> send_all(Loop& loop, int fd, Bytes bytes) {
  while (!bytes.empty()) {
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const int32_t sent = co_await loop.sendmsg(fd, &message);
    if (sent < 0) co_return sent;
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  co_return 0;
}

Task<int32_t> recv_all(Loop& loop, int fd, MutableBytes into) {
  int32_t got = 0;
  while (!into.empty()) {
    const int32_t count = co_await loop.recv(fd, into);
    if (count < 0) co_return count;
    if (count == 0) break;
    got += count;
    into = into.subspan(static_cast<size_t>(count));
  }
  co_return got;
}

}  // namespace atl::test
