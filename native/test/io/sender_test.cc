// sender_test.cc: bytes from memory and from the page cache to a socket that somebody else owns, on both kinds of loop.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "io/page_cache_io.h"
#include "io/socket_sender.h"
#include "test/support/io_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

std::string noise(size_t bytes) {
  std::string text(bytes, '\0');
  uint64_t state = 7;
  for (char& c : text) c = static_cast<char>((state = state * 6364136223846793005u + 1442695040888963407u) >> 56);
  return text;
}

Fd file_of(const std::string& bytes) {
  Fd file = temporary_file();
  REQUIRE(::pwrite(file.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return file;
}

/// Leaves in the page cache the first bytes of the file alone.
void keep_cached(const Fd& file, size_t bytes) {
  REQUIRE(::fdatasync(file.get()) == 0);
  // A part of the file alone could not be dropped: a large folio goes as a whole or not at all.
  // Nor may it go at once: the kernel still holds what it has only just put into its lists.
  while (in_page_cache(file.get(), bytes, 1)) REQUIRE(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
  REQUIRE(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM) == 0);
  std::string read(bytes, '\0');
  REQUIRE(::pread(file.get(), read.data(), bytes, 0) == static_cast<ssize_t>(bytes));
}

std::shared_ptr<SocketSender> sender_on(const Fd& socket, std::string head = {}) {
  ::signal(SIGPIPE, SIG_IGN);  // as Node does
  Result<std::shared_ptr<SocketSender>> sender = SocketSender::duplicate(socket.get(), std::move(head));
  REQUIRE_MESSAGE(sender.ok(), (sender ? "" : sender.error().message));
  return *sender;
}

/// All that comes until the end of the stream.
std::string drained(int fd) {
  std::string all;
  char piece[5000];  // less than is sent at a time
  for (;;) {
    const ssize_t got = ::recv(fd, piece, sizeof piece, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return all;
    if (got > 0)
      all.append(piece, static_cast<size_t>(got));
    else
      std::this_thread::yield();
  }
}

}  // namespace

TEST_CASE(
    "cached range: what was just written is in the page cache, what was dropped and what lies past the end is not") {
  const std::string bytes = noise(1 << 20);
  Fd file = file_of(bytes);
  CHECK(in_page_cache(file.get(), 0, bytes.size()));
  CHECK(in_page_cache(file.get(), 4095, 2));
  CHECK(in_page_cache(file.get(), bytes.size() - 1, 1));
  CHECK_FALSE(in_page_cache(file.get(), bytes.size() - 1, 2));
  keep_cached(file, 256 << 10);
  CHECK_FALSE(in_page_cache(file.get(), 0, bytes.size()));
  CHECK_FALSE(in_page_cache(file.get(), 300 << 10, 1));
  CHECK(in_page_cache(file.get(), 0, 256 << 10));
}

TEST_CASE("sender: a blocking socket is refused, and a number that is no descriptor") {
  Fd listener = std::move(listen_tcp().fd);
  REQUIRE(::fcntl(listener.get(), F_SETFL, 0) == 0);
  Result<std::shared_ptr<SocketSender>> blocking = SocketSender::duplicate(listener.get());
  REQUIRE_FALSE(blocking.ok());
  CHECK(blocking.error().code == Code::invalid);
  Result<std::shared_ptr<SocketSender>> none = SocketSender::duplicate(1 << 30);
  REQUIRE_FALSE(none.ok());
  CHECK(none.error().code == Code::invalid);
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("sender: memory, zeros and a file's pages arrive in order, though the reader is slower than we are") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  const std::string bytes = noise(3 << 20);
  const Fd file = file_of(bytes);
  auto [ours, theirs] = socket_pair();
  std::string came;
  std::thread reader{[&came, fd = theirs.get()] { came = drained(fd); }};
  struct Body {
    static Task<void> run(Loop&, std::shared_ptr<SocketSender> to, const std::string* bytes, int file, Fd* owner) {
      Result<void> sent = co_await to->send(bytes_of(*bytes).first(700'000));
      CHECK(sent.ok());
      // The owner closes its own; the number may be given out again, and the bytes still go where they should.
      owner->reset();
      sent = co_await to->send_zeros(300'001);
      CHECK(sent.ok());
      Result<uint64_t> count = co_await to->send_cached(file, 1, bytes->size() - 1);
      CHECK(count.ok());
      CHECK(*count == bytes->size() - 1);
      CHECK(to->waited_ms() == 0);
      to->close();
    }
  };
  on_loop<std::shared_ptr<SocketSender>, const std::string*, int, Fd*>(kind, Body::run, sender_on(ours), &bytes,
                                                                       file.get(), &ours);
  reader.join();
  CHECK(came == bytes.substr(0, 700'000) + std::string(300'001, '\0') + bytes.substr(1));
}

TEST_CASE("sender: a head goes out before the first bytes, of whatever kind, and not without them") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  const std::string bytes = noise(1 << 20);
  const Fd file = file_of(bytes);
  // More than the socket takes at once: the head waits for its reader too.
  const std::string head = noise(3 << 20);
  for (int way = 0; way < 4; way++) {
    CAPTURE(way);
    auto [ours, theirs] = socket_pair();
    std::string came;
    std::thread reader{[&came, fd = theirs.get()] { came = drained(fd); }};
    struct Body {
      static Task<void> run(Loop&, std::shared_ptr<SocketSender> to, int way, const std::string* bytes, int file) {
        CHECK_FALSE(to->began());
        Result<uint64_t> past = co_await to->send_cached(file, 2 << 20, 1);
        CHECK((past.ok() && *past == 0));
        CHECK_FALSE(to->began());
        if (way == 0) CHECK((co_await to->send(bytes_of(*bytes))).ok());
        if (way == 1) CHECK((co_await to->send_zeros(bytes->size())).ok());
        if (way == 2) CHECK((co_await to->send_cached(file, 0, bytes->size())).ok());
        CHECK(to->began() == (way < 3));
        if (way < 3) CHECK((co_await to->send(bytes_of(*bytes).first(1))).ok());
        to->close();
      }
    };
    std::shared_ptr<SocketSender> sender = sender_on(ours, head);
    ours.reset();
    on_loop<std::shared_ptr<SocketSender>, int, const std::string*, int>(kind, Body::run, std::move(sender), way,
                                                                         &bytes, file.get());
    reader.join();
    const std::string body = way == 1 ? std::string(bytes.size(), '\0') : bytes;
    CHECK((came == (way < 3 ? head + body + bytes[0] : "")));
  }
}

TEST_CASE("sender: nothing is sent of what the page cache does not have") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  const std::string bytes = noise(1 << 20);
  const Fd file = file_of(bytes);
  keep_cached(file, 512 << 10);
  auto [ours, theirs] = socket_pair();
  std::string came;
  std::thread reader{[&came, fd = theirs.get()] { came = drained(fd); }};
  struct Body {
    static Task<void> run(Loop&, std::shared_ptr<SocketSender> to, int file, Fd* owner, uint64_t* sent) {
      Result<uint64_t> count = co_await to->send_cached(file, 0, 1 << 20);
      CHECK(count.ok());
      // It is asked for by the piece: the last one may be in part.
      CHECK(*count > 256 << 10);
      CHECK(*count <= 512 << 10);
      *sent = *count;
      count = co_await to->send_cached(file, 512 << 10, 512 << 10);
      CHECK(count.ok());
      CHECK(*count == 0);
      owner->reset();
      to->close();
    }
  };
  uint64_t sent = 0;
  on_loop<std::shared_ptr<SocketSender>, int, Fd*, uint64_t*>(kind, Body::run, sender_on(ours), file.get(), &ours,
                                                              &sent);
  reader.join();
  CHECK((came == bytes.substr(0, sent)));
}

TEST_CASE("sender: a client that reads nothing is waited for until it is given up, by another thread") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  auto [ours, theirs] = socket_pair();
  const std::shared_ptr<SocketSender> to = sender_on(ours);
  std::thread other{[&to] {
    while (to->waited_ms() == 0) std::this_thread::yield();
    to->cancel();
  }};
  struct Body {
    static Task<void> run(Loop&, std::shared_ptr<SocketSender> to) {
      Result<void> sent = co_await to->send_zeros(64 << 20);
      CHECK_FALSE(sent.ok());
      CHECK(sent.error().code == Code::cancelled);
      to->close();
      to->cancel();  // too late: without effect
      CHECK(to->waited_ms() == 0);
    }
  };
  on_loop<std::shared_ptr<SocketSender>>(kind, Body::run, to);
  other.join();
}

TEST_SUITE_END();

TEST_CASE("sender: a client that is gone is no failure of ours") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  const Fd file = file_of(noise(1 << 20));
  auto [ours, theirs] = socket_pair();
  theirs.reset();
  struct Body {
    static Task<void> run(Loop&, std::shared_ptr<SocketSender> to, int file) {
      Result<uint64_t> from_file = co_await to->send_cached(file, 0, 1 << 20);
      CHECK_FALSE(from_file.ok());
      CHECK(from_file.error().code == Code::cancelled);
      Result<void> sent = co_await to->send_zeros(1);
      CHECK_FALSE(sent.ok());
      CHECK(sent.error().code == Code::cancelled);
    }
  };
  on_loop<std::shared_ptr<SocketSender>, int>(kind, Body::run, sender_on(ours), file.get());
}
