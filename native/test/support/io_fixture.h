// io_fixture.h: what the tests of the io floor share. Every case runs over both kinds of loop.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "io/loop.h"

namespace atl::test {

/// Asked of the kernel itself, not of the loop under test: does it give this process a ring that is new enough?
bool kernel_has_io_uring();

/// Starts a subcase per kind of loop (io_uring only where the kernel has it); answers the kind of the one that runs.
/// Usage: IoKind kind{}; FOR_BOTH_LOOPS(kind);
#define FOR_BOTH_LOOPS(kind)                                                     \
  if (::atl::test::kernel_has_io_uring()) SUBCASE("uring") kind = IoKind::uring; \
  SUBCASE("threads") kind = IoKind::threads

inline std::unique_ptr<Loop> make_loop(IoKind kind) {
  LoopOptions options;
  options.kind = kind;
  options.name = "test";
  Result<std::unique_ptr<Loop>> loop = Loop::create(options);
  REQUIRE_MESSAGE(loop.ok(), (loop.ok() ? std::string{} : loop.error().message));
  REQUIRE((*loop)->kind() == kind);
  return std::move(*loop);
}

inline Task<void> then_stop(Loop* loop, Task<void> task) {
  co_await loop->schedule();
  co_await task;
  loop->stop();
}

/// Runs the task on a loop of its own, on this thread, to its end. The body is a coroutine that captures nothing.
template <class... Args>
void on_loop(IoKind kind, Task<void> (*body)(Loop&, Args...), std::type_identity_t<Args>... args) {
  std::unique_ptr<Loop> loop = make_loop(kind);
  spawn(then_stop(loop.get(), body(*loop, std::forward<Args>(args)...)));
  loop->run();
}

/// A descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) { REQUIRE(fd >= 0); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  void reset();

 private:
  int fd_ = -1;
};

/// An empty file without a name; flags may be O_DIRECT.
Fd temporary_file(int flags = 0);
/// A listener on the loopback (any port) or on an abstract unix address; `address` connects to it.
struct Listener {
  Fd fd;
  sockaddr_storage address{};
  socklen_t address_bytes = 0;
  /// A blocking connection.
  Fd connect() const;
};
Listener listen_tcp();
Listener listen_unix();
/// Two connected, non-blocking unix stream sockets.
std::pair<Fd, Fd> socket_pair();

inline MutableBytes bytes_of(std::string& text) { return {reinterpret_cast<std::byte*>(text.data()), text.size()}; }
inline Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// Sends all of it; answers 0 or -errno.
Task<int32_t> send_all(Loop& loop, int fd, Bytes bytes);
/// Receives until `into` is full; answers how many bytes came before the end of the stream, or -errno.
Task<int32_t> recv_all(Loop& loop, int fd, MutableBytes into);

}  // namespace atl::test
