// files_test.cc: file operations answer what their system calls would, on both kinds of loop.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "base/aligned_buffer.h"
#include "io/page_cache_io.h"
#include "test/support/io_fixture.h"

using namespace atl;
using namespace atl::test;

TEST_CASE("loop: what is written to a file is read back, and the end of the file reads short") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        Fd file = temporary_file();
        const std::string written(10'000, 'w');
        int32_t count = co_await loop.write(file.get(), bytes_of(written), 4096);
        CHECK(count == 10'000);
        std::string back(20'000, '?');
        count = co_await loop.read(file.get(), bytes_of(back), 4096);
        CHECK(count == 10'000);
        CHECK(back.substr(0, 10'000) == written);
        count = co_await loop.read(file.get(), bytes_of(back), 0);
        CHECK(count == 14'096);
        CHECK(back.substr(0, 4096) == std::string(4096, '\0'));
        count = co_await loop.read(file.get(), bytes_of(back), 14'096);
        CHECK(count == 0);
      });
}

TEST_CASE("loop: readv and writev scatter and gather in order") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        Fd file = temporary_file();
        std::string one = "one", two = "two", three = "three";
        iovec parts[] = {{one.data(), 3}, {two.data(), 3}, {three.data(), 5}};
        int32_t count = co_await loop.writev(file.get(), parts, 3, 7);
        CHECK(count == 11);
        std::string head(4, '?'), tail(100, '?');
        iovec into[] = {{head.data(), 4}, {tail.data(), 100}};
        count = co_await loop.readv(file.get(), into, 2, 7);
        CHECK(count == 11);
        CHECK(head == "onet");
        CHECK(tail.substr(0, 7) == "wothree");
      });
}

TEST_CASE("loop: fsync, fdatasync and fallocate answer zero and do their work") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        Fd file = temporary_file();
        int32_t result = co_await loop.fallocate(file.get(), 0, 0, 1 << 20);
        CHECK(result == 0);
        struct stat status {};
        CHECK(::fstat(file.get(), &status) == 0);
        CHECK(status.st_size == 1 << 20);
        CHECK(status.st_blocks * 512 >= 1 << 20);
        const std::string text(8192, 't');
        result = co_await loop.write(file.get(), bytes_of(text), 0);
        CHECK(result == 8192);
        result = co_await loop.fsync(file.get());
        CHECK(result == 0);
        result = co_await loop.fdatasync(file.get());
        CHECK(result == 0);
        result = co_await loop.fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
        CHECK(result == 0);
        std::string back(8192, '?');
        result = co_await loop.read(file.get(), bytes_of(back), 0);
        CHECK(result == 8192);
        CHECK(back == std::string(4096, '\0') + std::string(4096, 't'));
      });
}

TEST_CASE("loop: a failed file operation answers its errno, negative") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        std::string buffer(16, '?');
        int32_t result = co_await loop.read(-1, bytes_of(buffer), 0);
        CHECK(result == -EBADF);
        result = co_await loop.fsync(-1);
        CHECK(result == -EBADF);
        Fd file = temporary_file();
        Fd read_only{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
        result = co_await loop.write(read_only.get(), bytes_of(std::as_const(buffer)), 0);
        CHECK(result == -EBADF);
        result = co_await loop.fallocate(file.get(), 0, 0, 0);
        CHECK(result == -EINVAL);
        result = co_await loop.recv(file.get(), bytes_of(buffer));
        CHECK(result == -ENOTSOCK);
        result = co_await loop.accept(file.get());
        CHECK(result == -ENOTSOCK);
      });
}

TEST_CASE("loop: small, large, aligned and crooked pieces overlap in a file like in memory") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  struct Body {
    static Task<void> run(Loop& loop, int fd, bool direct) {
      const uint64_t seed = direct ? 5 : 7;
      std::mt19937_64 random(seed);
      constexpr uint64_t file_bytes = 4 << 20;
      std::string model;
      AlignedBuffer memory(1 << 20);
      const Loop::Caching caching = direct ? Loop::Caching::uncached : Loop::Caching::page_cache;
      for (int step = 0; step < 300; step++) {
        // Sizes on both sides of every limit inside the loop, from one byte up to a megabyte.
        uint64_t length = (random() % 4096 + 1) << (random() % 9);
        uint64_t offset = random() % (file_bytes - (1 << 20));
        if (direct || random() % 2 == 0) {
          offset = offset / 4096 * 4096;
          length = (length + 4095) / 4096 * 4096;
        }
        const MutableBytes piece = memory.bytes().first(length);
        if (random() % 2 == 0) {
          std::fill(piece.begin(), piece.end(), static_cast<std::byte>(random()));
          const int32_t put = co_await loop.write(fd, piece, offset, caching);
          REQUIRE(put == static_cast<int32_t>(length));
          if (model.size() < offset + length) model.resize(offset + length);
          std::memcpy(model.data() + offset, piece.data(), length);
        } else {
          std::fill(piece.begin(), piece.end(), std::byte{0xee});
          const int32_t got = co_await loop.read(fd, piece, offset, caching);
          const uint64_t there = offset < model.size() ? std::min(length, model.size() - offset) : 0;
          REQUIRE(got == static_cast<int32_t>(there));
          REQUIRE(std::memcmp(piece.data(), model.data() + std::min<uint64_t>(offset, model.size()), there) == 0);
        }
      }
    }
    static Task<void> buffered(Loop& loop) {
      Fd file = temporary_file();
      Task<void> task = run(loop, file.get(), false);
      co_await task;
    }
    static Task<void> direct(Loop& loop) {
      Fd file = temporary_file(O_DIRECT);
      Task<void> task = run(loop, file.get(), true);
      co_await task;
    }
  };
  on_loop(kind, &Body::buffered);
  on_loop(kind, &Body::direct);
}

TEST_CASE("loop: a full device answers ENOSPC, for small writes and large ones") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        Fd full{::open("/dev/full", O_RDWR | O_CLOEXEC)};
        for (const size_t bytes : {size_t{100}, size_t{4096}, size_t{1} << 20}) {
          const std::string text(bytes, 'x');
          const int32_t result = co_await loop.write(full.get(), bytes_of(text), 0);
          CHECK(result == -ENOSPC);
        }
      });
}

TEST_CASE("loop: a large writev of many parts, from a crooked offset, is in the file in their order") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        Fd file = temporary_file();
        std::mt19937_64 random(11);
        std::vector<std::string> parts;
        std::string all;
        // Empty ones too, more than fit into one step, and one that is longer than several.
        for (int i = 0; i < 300; i++)
          parts.emplace_back(i == 150 ? 200'000 : random() % 1000, static_cast<char>('a' + random() % 26));
        std::vector<iovec> iov;
        for (std::string& part : parts) {
          iov.push_back({part.data(), part.size()});
          all += part;
        }
        REQUIRE(all.size() > 4 * step_bytes);
        const int32_t put = co_await loop.writev(file.get(), iov.data(), static_cast<uint32_t>(iov.size()), 12'345);
        CHECK(put == static_cast<int32_t>(all.size()));
        std::string back(all.size(), '?');
        CHECK(::pread(file.get(), back.data(), back.size(), 12'345) == static_cast<ssize_t>(back.size()));
        CHECK(back == all);
      });
}

TEST_CASE("loop: large writes, many at once on several files, are each whole in theirs") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  static constexpr int files = 6, pieces = 8;
  static constexpr size_t piece_bytes = 300'000;
  struct Body {
    static Task<void> write(Loop* loop, int fd, int file, int piece, int* left) {
      const std::string bytes(piece_bytes, static_cast<char>('A' + file * pieces + piece));
      const int32_t put = co_await loop->write(fd, bytes_of(bytes), static_cast<uint64_t>(piece) * piece_bytes);
      CHECK(put == static_cast<int32_t>(piece_bytes));
      --*left;
    }
    static Task<void> run(Loop& loop) {
      std::vector<Fd> all;
      for (int i = 0; i < files; i++) all.push_back(temporary_file());
      int left = files * pieces;
      for (int piece = 0; piece < pieces; piece++)
        for (int i = 0; i < files; i++) spawn(write(&loop, all[static_cast<size_t>(i)].get(), i, piece, &left));
      while (left > 0) co_await loop.schedule();
      for (int i = 0; i < files; i++)
        for (int piece = 0; piece < pieces; piece++) {
          std::string back(piece_bytes, '?');
          const auto offset = static_cast<off_t>(piece) * static_cast<off_t>(piece_bytes);
          CHECK(::pread(all[static_cast<size_t>(i)].get(), back.data(), back.size(), offset) ==
                static_cast<ssize_t>(piece_bytes));
          CHECK(back == std::string(piece_bytes, static_cast<char>('A' + i * pieces + piece)));
        }
    }
  };
  on_loop(kind, &Body::run);
}

TEST_CASE("loop: a large write that comes to a limit answers how much it put, and the next one why there is no more") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        constexpr rlim_t limit = 100'000;  // in the middle of the second step
        ::signal(SIGXFSZ, SIG_IGN);
        rlimit before{};
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
        const rlimit low{limit, before.rlim_max};
        Fd file = temporary_file();
        const std::string text(1 << 20, 'x');
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
        const int32_t first = co_await loop.write(file.get(), bytes_of(text), 0);
        const int32_t next = co_await loop.write(file.get(), bytes_of(text), limit);
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
        CHECK(first == static_cast<int32_t>(limit));
        CHECK(next == -EFBIG);
      });
}

TEST_CASE("loop: what is written at once is not cached as one: a part of it can be dropped without the rest") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        Fd file = temporary_file();
        const std::string text(1 << 20, 'x');
        const int32_t put = co_await loop.write(file.get(), bytes_of(text), 0);
        REQUIRE(put == 1 << 20);
        REQUIRE(::fdatasync(file.get()) == 0);
        // The kernel may still hold what it has only just put into its lists, which ends by itself.
        const uint64_t deadline = loop.now_ns() + 30'000'000'000;
        while (in_page_cache(file.get(), 2 * step_bytes, step_bytes) && loop.now_ns() < deadline)
          REQUIRE(::posix_fadvise(file.get(), 2 * step_bytes, step_bytes, POSIX_FADV_DONTNEED) == 0);
        CHECK_FALSE(in_page_cache(file.get(), 2 * step_bytes, 1));
        CHECK(in_page_cache(file.get(), 0, 2 * step_bytes));
        CHECK(in_page_cache(file.get(), 3 * step_bytes, step_bytes));
      });
}

TEST_CASE("busy poll: looking is worthwhile as long as many waits are short, whether it is done or not") {
  constexpr uint64_t us = 1000;
  constexpr uint64_t window = 50 * us;
  BusyPoll poll;
  CHECK(!poll.worthwhile());
  for (int i = 0; i < 8; i++) poll.waited(20 * us, window);
  CHECK(poll.worthwhile());
  for (int i = 0; i < 100; i++) poll.waited(i % 2 == 0 ? 50 * us : 1000 * us, window);
  CHECK(poll.worthwhile());
  for (int i = 0; i < 20; i++) poll.waited(51 * us, window);
  CHECK(!poll.worthwhile());
  for (int i = 0; i < 1'000'000; i++) poll.waited(1, window);
  CHECK(poll.worthwhile());
}

TEST_CASE("busy poll: the more requests a disk has the longer it is looked at, up to a bound") {
  constexpr uint64_t us = 1000;
  CHECK(disk_window_ns(1, 50 * us) == 100 * us);
  CHECK(disk_window_ns(3, 50 * us) == 300 * us);
  CHECK(disk_window_ns(64, 50 * us) == 400 * us);
  CHECK(disk_window_ns(64, 0) == 0);
}

TEST_CASE("patience: a slow write makes the next ones go elsewhere, longer each time, until one is quick") {
  constexpr uint64_t ms = 1'000'000;
  Patience patience;
  uint64_t now = 1000 * ms;
  CHECK(patience.willing(now));
  patience.waited(now - ms, now);
  CHECK(patience.willing(now));
  for (const uint64_t pause : {10 * ms, 20 * ms, 40 * ms, 80 * ms}) {
    patience.waited(now - 3 * ms, now);
    CHECK(!patience.willing(now + pause - 1));
    now += pause;
    CHECK(patience.willing(now));
  }
  for (int i = 0; i < 20; i++) patience.waited(now - 3 * ms, now);
  CHECK(!patience.willing(now + 4999 * ms));
  now += 5000 * ms;
  CHECK(patience.willing(now));
  patience.waited(now - ms, now);
  patience.waited(now - 3 * ms, now);
  CHECK(patience.willing(now + 10 * ms));
}

TEST_CASE("loop: poll_in on a regular file is ready at once") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        Fd file = temporary_file();
        const int32_t result = co_await loop.poll_in(file.get());
        CHECK((result & 1) == 1);
      });
}

namespace {

constexpr uint32_t many = 5000;

Task<void> write_one(Loop* loop, int fd, uint32_t at, uint32_t* left) {
  std::string bytes(64, static_cast<char>('a' + at % 26));
  const int32_t count = co_await loop->write(fd, bytes_of(std::as_const(bytes)), uint64_t{at} * 64);
  CHECK(count == 64);
  if (--*left == 0) loop->stop();
}

}  // namespace

TEST_CASE("loop: far more file operations than ring entries can be in flight") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  std::unique_ptr<Loop> loop = make_loop(kind);
  Fd file = temporary_file();
  uint32_t left = many;
  struct Start {
    static Task<void> all(Loop* loop, int fd, uint32_t* left) {
      co_await loop->schedule();
      for (uint32_t i = 0; i < many; i++) spawn(write_one(loop, fd, i, left));
    }
  };
  spawn(Start::all(loop.get(), file.get(), &left));
  loop->run();
  CHECK(left == 0);
  std::string back(many * 64, '?');
  REQUIRE(::pread(file.get(), back.data(), back.size(), 0) == static_cast<ssize_t>(back.size()));
  bool same = true;
  for (uint32_t i = 0; i < many * 64; i++) same = same && back[i] == static_cast<char>('a' + i / 64 % 26);
  CHECK(same);
}
