// sockets_test.cc: sockets on both kinds of loop: echo, partial sends, both directions at once, ends and reuse.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "test/support/io_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

std::string pattern(size_t bytes, uint32_t seed) {
  std::string text(bytes, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (char& c : text) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    c = static_cast<char>(state);
  }
  return text;
}

Task<void> echo_connection(Loop* loop, Fd fd) {
  std::string buffer(16'384, '?');
  for (;;) {
    const int32_t count = co_await loop->recv(fd.get(), bytes_of(buffer));
    if (count <= 0) break;
    Bytes got = bytes_of(std::as_const(buffer)).first(static_cast<size_t>(count));
    const int32_t sent = co_await send_all(*loop, fd.get(), got);
    if (sent != 0) break;
  }
}

/// Accepts until the listener is shut down; answers how many came.
Task<uint32_t> accept_all(Loop* loop, int listener) {
  uint32_t accepted = 0;
  for (;;) {
    const int32_t fd = co_await loop->accept(listener);
    if (fd < 0) break;
    accepted++;
    spawn(echo_connection(loop, Fd{fd}));
  }
  co_return accepted;
}

void echo_over(IoKind kind, const Listener& listener) {
  constexpr uint32_t clients = 4, connections = 25;
  std::unique_ptr<Loop> loop = make_loop(kind);
  uint32_t accepted = 0;
  struct Server {
    static Task<void> run(Loop* loop, int listener, uint32_t* accepted) {
      *accepted = co_await accept_all(loop, listener);
      loop->stop();
    }
  };
  spawn_on(*loop, Server::run(loop.get(), listener.fd.get(), &accepted));
  std::atomic<uint32_t> wrong{0};
  std::vector<std::thread> threads;
  for (uint32_t c = 0; c < clients; c++)
    threads.emplace_back([&listener, &wrong, c] {
      // All connections of a client are open at once, and each has a message under way before the first is read.
      std::vector<Fd> fds;
      for (uint32_t i = 0; i < connections; i++) fds.push_back(listener.connect());
      for (uint32_t i = 0; i < connections; i++) {
        const std::string message = pattern(1000 + i * 100, c * 1000 + i);
        if (::send(fds[i].get(), message.data(), message.size(), 0) != static_cast<ssize_t>(message.size())) wrong++;
      }
      for (uint32_t i = 0; i < connections; i++) {
        const std::string message = pattern(1000 + i * 100, c * 1000 + i);
        std::string back(message.size(), '?');
        if (::recv(fds[i].get(), back.data(), back.size(), MSG_WAITALL) != static_cast<ssize_t>(back.size())) wrong++;
        if (back != message) wrong++;
      }
    });
  std::thread closer([&threads, &listener] {
    for (std::thread& thread : threads) thread.join();
    ::shutdown(listener.fd.get(), SHUT_RDWR);
  });
  loop->run();
  closer.join();
  CHECK(wrong.load() == 0);
  CHECK(accepted == clients * connections);
}

}  // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE("loop: a hundred TCP connections echo, and shutdown of the listener ends accept") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  Listener listener = listen_tcp();
  echo_over(kind, listener);
}

TEST_CASE("loop: a hundred unix connections echo, and shutdown of the listener ends accept") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  Listener listener = listen_unix();
  echo_over(kind, listener);
}

TEST_CASE("loop: a stopped loop serves its sockets until their owner shuts them down") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  auto [server, client] = socket_pair();
  std::unique_ptr<Loop> loop = make_loop(kind);
  const int fd = server.get();
  spawn_on(*loop, echo_connection(loop.get(), std::move(server)));
  bool echoed = false;
  std::thread owner([&loop, &client, &echoed] {
    loop->stop();
    std::string text = "after the stop";
    const std::string sent = text;
    Fd blocking{::dup(client.get())};
    ::fcntl(blocking.get(), F_SETFL, ::fcntl(blocking.get(), F_GETFL) & ~O_NONBLOCK);
    echoed = ::send(blocking.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
             ::recv(blocking.get(), text.data(), text.size(), MSG_WAITALL) == static_cast<ssize_t>(text.size()) &&
             text == sent;
    ::shutdown(blocking.get(), SHUT_RDWR);
  });
  loop->run();
  owner.join();
  CHECK(echoed);
  CHECK(::fcntl(fd, F_GETFD) == -1);  // the connection's task ended and closed it
}

TEST_CASE("loop: poll_in answers when another thread writes to an eventfd") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  Fd event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::thread writer([&event] {
    const uint64_t one = 1;
    REQUIRE(::write(event.get(), &one, sizeof one) == sizeof one);
  });
  on_loop(
      kind,
      +[](Loop& loop, int fd) -> Task<void> {
        const int32_t events = co_await loop.poll_in(fd);
        CHECK((events & POLLIN) != 0);
      },
      event.get());
  writer.join();
}

TEST_SUITE_END();

namespace {

struct Transfer {
  std::string text;
  std::string back;
  int32_t sent = 1;
  int32_t got = 1;
  uint32_t left = 0;
  Loop* loop = nullptr;
};

Task<void> send_side(Transfer* transfer, int fd) {
  transfer->sent = co_await send_all(*transfer->loop, fd, bytes_of(std::as_const(transfer->text)));
  if (--transfer->left == 0) transfer->loop->stop();
}

Task<void> recv_side(Transfer* transfer, int fd) {
  transfer->got = co_await recv_all(*transfer->loop, fd, bytes_of(transfer->back));
  if (--transfer->left == 0) transfer->loop->stop();
}

Task<void> start_both_ways(Transfer* there, Transfer* back, int a, int b) {
  co_await there->loop->schedule();
  // On each socket a recv and a sendmsg are in flight at once.
  spawn(recv_side(there, b));
  spawn(recv_side(back, a));
  spawn(send_side(there, a));
  spawn(send_side(back, b));
}

}  // namespace

TEST_CASE("loop: large transfers run in both directions of one socket at once, in partial sends") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  auto [a, b] = socket_pair();
  const int small = 8192;
  for (int fd : {a.get(), b.get()}) REQUIRE(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
  constexpr size_t bytes = 8 << 20;
  std::unique_ptr<Loop> loop = make_loop(kind);
  Transfer there, back;
  there.text = pattern(bytes, 1);
  back.text = pattern(bytes, 2);
  // One counter for both: the last of the four ends stops the loop.
  for (Transfer* transfer : {&there, &back}) {
    transfer->loop = loop.get();
    transfer->back.assign(bytes, '?');
    transfer->left = 2;
  }
  struct Both {
    static Task<void> watch(Loop* loop, Transfer* there, Transfer* back, int a, int b) {
      there->left = back->left = 3;  // never reaches zero by itself
      Task<void> started = start_both_ways(there, back, a, b);
      co_await started;
      while (there->left + back->left > 2) co_await loop->sleep_ns(1'000'000);
      loop->stop();
    }
  };
  spawn_on(*loop, Both::watch(loop.get(), &there, &back, a.get(), b.get()));
  loop->run();
  CHECK(there.sent == 0);
  CHECK(back.sent == 0);
  CHECK(there.got == static_cast<int32_t>(bytes));
  CHECK(back.got == static_cast<int32_t>(bytes));
  CHECK((there.back == there.text));
  CHECK((back.back == back.text));
}

TEST_CASE("loop: sendmsg gathers its parts in order") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        auto [a, b] = socket_pair();
        std::string head = "head", body = "body and tail";
        iovec parts[] = {{head.data(), head.size()}, {body.data(), body.size()}};
        msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = 2;
        const int32_t sent = co_await loop.sendmsg(a.get(), &message);
        CHECK(sent == 17);
        std::string back(17, '?');
        const int32_t got = co_await recv_all(loop, b.get(), bytes_of(back));
        CHECK(got == 17);
        CHECK(back == "headbody and tail");
      });
}

namespace {

struct Ends {
  static Task<void> wait_recv(Loop* loop, int fd, int32_t* result) {
    std::string buffer(100, '?');
    *result = co_await loop->recv(fd, bytes_of(buffer));
  }
};

}  // namespace

TEST_CASE("loop: shutdown of a socket ends the recv that waits on it") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        auto [a, b] = socket_pair();
        int32_t result = 99;
        spawn(Ends::wait_recv(&loop, a.get(), &result));
        co_await loop.sleep_ns(2'000'000);
        CHECK(result == 99);
        ::shutdown(a.get(), SHUT_RD);
        while (result == 99) co_await loop.sleep_ns(1'000'000);
        CHECK(result == 0);
      });
}

TEST_CASE("loop: a peer that goes away ends recv with zero and sendmsg with EPIPE, without a signal") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        auto [a, b] = socket_pair();
        int32_t result = 99;
        spawn(Ends::wait_recv(&loop, a.get(), &result));
        co_await loop.schedule();
        b.reset();
        while (result == 99) co_await loop.sleep_ns(1'000'000);
        CHECK(result == 0);
        const std::string text = "to nobody";
        const int32_t sent = co_await send_all(loop, a.get(), bytes_of(text));
        CHECK(sent == -EPIPE);
      });
}

TEST_CASE("loop: a sendmsg that waits for room ends when the peer goes away") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  struct Body {
    static Task<void> send_much(Loop* loop, int fd, int32_t* result) {
      const std::string text(4 << 20, 'x');
      *result = co_await send_all(*loop, fd, bytes_of(text));
    }
    static Task<void> run(Loop& loop) {
      auto [a, b] = socket_pair();
      int32_t result = 99;
      spawn(send_much(&loop, a.get(), &result));
      co_await loop.sleep_ns(2'000'000);
      CHECK(result == 99);
      b.reset();
      while (result == 99) co_await loop.sleep_ns(1'000'000);
      CHECK((result == -EPIPE || result == -ECONNRESET));
    }
  };
  on_loop(kind, &Body::run);
}

TEST_CASE("loop: a descriptor's number that is used again works like a new one") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  struct Body {
    static Task<void> recv_text(Loop* loop, int fd, std::string* text) {
      text->assign(100, '?');
      const int32_t count = co_await loop->recv(fd, bytes_of(*text));
      text->resize(count < 0 ? 0 : static_cast<size_t>(count));
    }
    static Task<void> run(Loop& loop) {
      uint32_t reused = 0;
      int before = -1;
      for (uint32_t i = 0; i < 50; i++) {
        auto [a, b] = socket_pair();
        if (a.get() == before) reused++;
        before = a.get();
        // Waits first, so that the loop has to register it; then the pair is closed and the number comes again.
        std::string text = "nothing yet";
        spawn(recv_text(&loop, a.get(), &text));
        co_await loop.schedule();
        const std::string sent = "number " + std::to_string(i);
        const int32_t result = co_await send_all(loop, b.get(), bytes_of(sent));
        CHECK(result == 0);
        while (text.size() == 100 || text == "nothing yet") co_await loop.sleep_ns(100'000);
        CHECK(text == sent);
      }
      CHECK(reused > 40);
    }
  };
  on_loop(kind, &Body::run);
}

TEST_CASE("loop: a descriptor closed here but still open in another process is forgotten all the same") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        auto [a, b] = socket_pair();
        // The duplicate keeps the open file, and epoll's entry for it, alive under the old number.
        int32_t result = 99;
        spawn(Ends::wait_recv(&loop, a.get(), &result));
        co_await loop.schedule();
        const std::string text = "first";
        int32_t sent = co_await send_all(loop, b.get(), bytes_of(text));
        CHECK(sent == 0);
        while (result == 99) co_await loop.sleep_ns(100'000);
        CHECK(result == 5);
        const int number = a.get();
        Fd kept{::dup(number)};
        a.reset();
        auto [c, d] = socket_pair();
        CHECK(c.get() == number);
        result = 99;
        spawn(Ends::wait_recv(&loop, c.get(), &result));
        co_await loop.schedule();
        sent = co_await send_all(loop, b.get(), bytes_of(text));  // to the old file: nobody may answer
        CHECK(sent == 0);
        co_await loop.sleep_ns(2'000'000);
        CHECK(result == 99);
        const std::string second = "second one";
        sent = co_await send_all(loop, d.get(), bytes_of(second));
        CHECK(sent == 0);
        while (result == 99) co_await loop.sleep_ns(100'000);
        CHECK(result == 10);
      });
}

TEST_CASE("loop: thousands of sockets can wait at once") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  constexpr uint32_t pairs = 2500;
  struct Body {
    static Task<void> wait_one(Loop* loop, int fd, uint32_t* left) {
      std::string buffer(8, '?');
      const int32_t count = co_await loop->recv(fd, bytes_of(buffer));
      CHECK(count == 4);
      --*left;
    }
    static Task<void> run(Loop& loop) {
      std::vector<std::pair<Fd, Fd>> sockets;
      for (uint32_t i = 0; i < pairs; i++) sockets.push_back(socket_pair());
      uint32_t left = 2 * pairs;
      for (auto& [a, b] : sockets) {
        spawn(wait_one(&loop, a.get(), &left));
        spawn(wait_one(&loop, b.get(), &left));
      }
      co_await loop.sleep_ns(1'000'000);
      const std::string text = "four";
      for (auto& [a, b] : sockets) {
        int32_t sent = co_await send_all(loop, a.get(), bytes_of(text));
        CHECK(sent == 0);
        sent = co_await send_all(loop, b.get(), bytes_of(text));
        CHECK(sent == 0);
      }
      while (left > 0) co_await loop.sleep_ns(1'000'000);
    }
  };
  on_loop(kind, &Body::run);
}

TEST_CASE("loop: several accepts and recvs may wait on one descriptor") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  struct Body {
    static Task<void> accept_one(Loop* loop, int listener, uint32_t* accepted) {
      const int32_t fd = co_await loop->accept(listener);
      CHECK(fd >= 0);
      Fd connection{fd};
      CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
      CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
      ++*accepted;
    }
    static Task<void> recv_one(Loop* loop, int fd, uint32_t* received) {
      std::string buffer(1, '?');
      const int32_t count = co_await loop->recv(fd, bytes_of(buffer));
      CHECK(count == 1);
      ++*received;
    }
    static Task<void> run(Loop& loop) {
      Listener listener = listen_unix();
      uint32_t accepted = 0, received = 0;
      for (int i = 0; i < 3; i++) spawn(accept_one(&loop, listener.fd.get(), &accepted));
      co_await loop.schedule();
      std::vector<Fd> clients;
      for (int i = 0; i < 3; i++) clients.push_back(listener.connect());
      while (accepted < 3) co_await loop.sleep_ns(100'000);
      auto [a, b] = socket_pair();
      for (int i = 0; i < 4; i++) spawn(recv_one(&loop, a.get(), &received));
      co_await loop.schedule();
      const std::string text = "four";
      const int32_t sent = co_await send_all(loop, b.get(), bytes_of(text));
      CHECK(sent == 0);
      while (received < 4) co_await loop.sleep_ns(100'000);
    }
  };
  on_loop(kind, &Body::run);
}
