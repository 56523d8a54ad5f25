// send_test.cc: Resource::send over every local store: the bytes are those of read(), from whatever they come.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <random>
#include <thread>

#include "io/socket_sender.h"
#include "test/support/engine_world.h"
#include "test/support/model_catalog.h"

namespace atl::testing {
namespace {

std::vector<std::byte> noise(size_t length, uint64_t seed) {
  std::vector<std::byte> bytes(length);
  std::mt19937_64 random{seed};
  for (std::byte& byte : bytes) byte = std::byte{static_cast<uint8_t>(random())};
  return bytes;
}

struct Sent {
  Result<void> result;
  std::vector<std::byte> came;
};

struct Store {
  explicit Store(const WorldMaker& maker) : world(maker.make(1)) { ::signal(SIGPIPE, SIG_IGN); }

  void must(Result<void> result) { REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message)); }

  ModelResource& upload(std::vector<std::byte> bytes) {
    const uint64_t layer = catalog.new_layer(0, 0);
    must(testing::upload(*world, LayerId{layer}, bytes));
    return catalog.add(true, layer, std::move(bytes));
  }

  /// A layer on top of `below`, with random writes and zeros.
  ModelResource& clone(const ModelResource& below, std::mt19937_64& random) {
    const uint64_t layer = catalog.new_layer(below.head, below.bytes.size() / block_bytes);
    ModelResource& above = catalog.add(false, layer, below.bytes);
    must(run_for(*world, world->engine().open(catalog.spec(above))));
    struct Change {
      static Task<Result<void>> run(std::shared_ptr<Resource> to, uint64_t offset, Bytes bytes) {
        if (bytes[0] != std::byte{0}) return run_on(to->home(), to->write(offset, bytes, {}));
        return run_on(to->home(), to->write_zeroes(offset, bytes.size(), {}));
      }
    };
    for (int i = 0; i < 24; i++) {
      const uint64_t length = (1 + random() % (i % 4 == 0 ? 100'000 : 9'000));
      const uint64_t offset = random() % (above.bytes.size() - length);
      std::vector<std::byte> bytes = noise(length, random());
      bytes[0] = std::byte{1};
      if (i % 3 == 0) bytes.assign(length, std::byte{0});
      must(run_for(*world, Change::run(world->engine().find(above.id), offset, bytes)));
      std::copy(bytes.begin(), bytes.end(), above.bytes.begin() + static_cast<ptrdiff_t>(offset));
    }
    must(run_for(*world, world->engine().close(above.id)));
    return above;
  }

  std::shared_ptr<Resource> begin(const ModelResource& resource) {
    ResourceSpec spec = catalog.spec(resource);
    spec.read_only = true;  // nobody writes to what is closed
    Result<std::shared_ptr<Resource>> begun = world->engine().begin_reading(std::move(spec));
    REQUIRE_MESSAGE(begun.ok(), (begun ? "" : begun.error().message));
    return *begun;
  }

  Sent send(const ModelResource& resource, uint64_t offset, uint64_t length) {
    const std::shared_ptr<Resource> reading = begin(resource);
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    Result<std::shared_ptr<SocketSender>> to = SocketSender::duplicate(fds[0]);
    REQUIRE(to.ok());
    ::close(fds[0]);
    Sent sent;
    std::thread reader{[&sent, fd = fds[1]] {
      std::vector<std::byte> piece(100'000);
      for (;;) {
        const ssize_t got = ::recv(fd, piece.data(), piece.size(), 0);
        if (got == 0) return;
        if (got > 0)
          sent.came.insert(sent.came.end(), piece.begin(), piece.begin() + got);
        else
          std::this_thread::yield();
      }
    }};
    struct Send {
      static Task<Result<void>> run(std::shared_ptr<Resource> from, uint64_t offset, uint64_t length,
                                    std::shared_ptr<SocketSender> to) {
        Result<void> sent = co_await run_on(from->home(), from->send(offset, length, *to));
        to->close();
        co_return sent;
      }
    };
    sent.result = run_for(*world, Send::run(reading, offset, length, *to));
    reader.join();
    ::close(fds[1]);
    return sent;
  }

  void sends(const ModelResource& resource, uint64_t offset, uint64_t length) {
    CAPTURE(offset);
    CAPTURE(length);
    const Sent sent = send(resource, offset, length);
    REQUIRE_MESSAGE(sent.result.ok(), (sent.result ? "" : sent.result.error().message));
    const auto from = resource.bytes.begin() + static_cast<ptrdiff_t>(offset);
    CHECK(sent.came == std::vector<std::byte>(from, from + static_cast<ptrdiff_t>(length)));
  }

  std::unique_ptr<World> world;
  ModelCatalog catalog;
};

/// Those with a loop that knows sockets.
std::vector<WorldMaker> local_worlds() {
  std::vector<WorldMaker> local;
  for (WorldMaker& maker : worlds())
    if (maker.name.find("local") != std::string::npos) local.push_back(std::move(maker));
  REQUIRE(local.size() >= 2);
  return local;
}

}  // namespace

TEST_CASE(
    "send: an upload of many chunks arrives whole and in ranges, with its holes, its odd end and its small content") {
  for (const WorldMaker& maker : local_worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    std::vector<std::byte> bytes = noise(9 * (1 << 20) + 777, 1);
    std::fill(bytes.begin() + (3 << 20), bytes.begin() + (6 << 20), std::byte{0});  // holes within and across chunks
    std::fill(bytes.begin() + (7 << 20), bytes.begin() + (7 << 20) + 4096, std::byte{0});  // a short one
    const ModelResource& large = store.upload(std::move(bytes));
    store.sends(large, 0, large.bytes.size());
    store.world->restart();
    store.sends(large, 0, large.bytes.size());
    std::mt19937_64 random{2};
    for (int i = 0; i < 12; i++) {
      const uint64_t offset = random() % large.bytes.size();
      store.sends(large, offset, 1 + random() % (large.bytes.size() - offset));
    }
    store.sends(large, large.bytes.size(), 0);
    for (const size_t length : {size_t{1}, size_t{2000}, size_t{5000}, size_t{small_content_max}, size_t{100'000}})
      store.sends(store.upload(noise(length, length)), 0, length);
    // The last chunk alone is small content.
    const ModelResource& tail = store.upload(noise((4 << 20) + 9000, 3));
    store.sends(tail, 0, tail.bytes.size());
    const Sent past = store.send(large, large.bytes.size() - 1, 2);
    CHECK_FALSE(past.result.ok());
    CHECK(past.result.error().code == Code::out_of_range);
  }
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("send: a deep chain arrives as it reads, file by file and block by block") {
  for (const WorldMaker& maker : local_worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    std::mt19937_64 random{4};
    const ModelResource* top = &store.upload(noise(6 << 20, 5));
    for (int depth = 0; depth < 12; depth++) top = &store.clone(*top, random);
    store.sends(*top, 0, top->bytes.size());
    for (int i = 0; i < 6; i++) {
      const uint64_t offset = random() % top->bytes.size();
      store.sends(*top, offset, 1 + random() % (top->bytes.size() - offset));
    }
  }
}

TEST_SUITE_END();

}  // namespace atl::testing
