// uploads_test.cc: streams into layers, in pieces of any size and from another thread than the engine's, over every store.
#include <doctest/doctest.h>

#include <future>
#include <span>
#include <thread>

#include "engine/uploads/stream_hash.h"
#include "io/blocking_pool.h"
#include "store/hashing.h"
#include "test/support/engine_world.h"

namespace atl::testing {
namespace {

std::vector<std::byte> noise(size_t length, uint64_t seed) {
  std::vector<std::byte> bytes(length);
  uint64_t state = seed * 2 + 1;
  for (std::byte& byte : bytes)
    byte = std::byte{static_cast<uint8_t>((state = state * 6364136223846793005u + 1) >> 56)};
  return bytes;
}

std::string md5_of(Bytes bytes) {
  RunningHash md5{HashKind::md5};
  REQUIRE(md5.update(bytes).ok());
  return *md5.finish_hex();
}

template <class T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message));
  return std::move(*result);
}
void must(Result<void> result) { REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message)); }

void check_result(const IngestResult& done, Bytes bytes, bool sha256_wanted) {
  CHECK(done.size_bytes == bytes.size());
  CHECK(done.md5 == md5_of(bytes));
  CHECK(done.sha256.has_value() == (sha256_wanted || bytes.size() <= region_bytes));
  if (done.sha256) CHECK(*done.sha256 == sha256_of(bytes)->hex());
}

void reads_back(World& world, uint64_t layer, Bytes bytes) {
  if (bytes.empty()) return;
  const ResourceSpec spec{"back", bytes.size(), true, {{LayerId{layer}, 0}}};
  must(run_for(world, world.engine().open(spec)));
  std::vector<std::byte> back(bytes.size(), std::byte{0xee});
  struct Read {
    static Task<Result<void>> run(std::shared_ptr<Resource> from, MutableBytes into) {
      Result<void> read = co_await run_on(from->home(), from->read(0, into));
      co_return read;
    }
  };
  must(run_for(world, Read::run(world.engine().find("back"), back)));
  must(run_for(world, world.engine().close("back")));
  CHECK(std::equal(back.begin(), back.end(), bytes.begin()));
}

Task<Result<void>> write_all(Ingest* upload, Bytes bytes, size_t piece) {
  for (size_t at = 0; at < bytes.size(); at += piece)
    if (Result<void> taken = co_await upload->write(bytes.subspan(at, std::min(piece, bytes.size() - at))); !taken)
      co_return taken;
  co_return Result<void>{};
}

/// As JavaScript does it: takes on this thread, and asks the engine's for room when there is none.
void take_all(World& world, Ingest& upload, Bytes bytes, size_t piece) {
  for (size_t at = 0; at < bytes.size();) {
    const size_t taken = upload.take(bytes.subspan(at, std::min(piece, bytes.size() - at)));
    at += taken;
    if (taken == 0) must(run_for(world, upload.room()));
  }
}

constexpr size_t sizes[] = {0,       1,         4095,      4096,      16'384,        16'385,        524'287,
                            524'289, 1'000'000, 4'194'303, 4'194'304, (4 << 20) + 1, (8 << 20) - 1, (8 << 20) + 4096};

}  // namespace

TEST_CASE("uploads: whatever the sizes of a stream and of its pieces are, size, hashes and bytes are right") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    const std::unique_ptr<World> world = maker.make(1);
    uint64_t layer = 0;
    for (const size_t size : sizes)
      for (const bool sha256 : {false, true}) {
        const std::vector<std::byte> bytes = noise(size, size);
        CAPTURE(size);
        for (const size_t piece : {size_t{65'536}, size_t{1'000'003}, size_t{6'000'000}}) {
          CAPTURE(piece);
          const auto upload = world->engine().ingest(LayerId{++layer}, {.sha256 = sha256});
          must(run_for(*world, write_all(upload.get(), bytes, piece)));
          check_result(must(run_for(*world, upload->finish())), bytes, sha256);
        }
        reads_back(*world, layer, bytes);
      }
  }
}

TEST_CASE("uploads: a whole one in one call is what it is in pieces") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    const std::unique_ptr<World> world = maker.make(1);
    uint64_t layer = 0;
    for (const size_t size : sizes) {
      if (size > region_bytes) continue;
      CAPTURE(size);
      const std::vector<std::byte> bytes = noise(size, size);
      const auto upload = world->engine().ingest(LayerId{++layer});
      check_result(must(run_for(*world, upload->whole(bytes))), bytes, false);
      reads_back(*world, layer, bytes);
    }
    const std::vector<std::byte> zeros(100'000);
    const auto upload = world->engine().ingest(LayerId{++layer});
    check_result(must(run_for(*world, upload->whole(zeros))), zeros, false);
    reads_back(*world, layer, zeros);
  }
}

TEST_CASE("uploads: while nothing can be stored, three chunks are taken and no byte more") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    const std::unique_ptr<World> world = maker.make(1);
    const std::vector<std::byte> bytes = noise(5 * region_bytes + 77, 3);
    const auto upload = world->engine().ingest(LayerId{1});
    size_t taken = 0;
    struct Write {
      // The engine's thread is busy with this: nothing of the upload goes on before the first co_await.
      static Task<Result<void>> run(Ingest* upload, Bytes bytes, size_t* taken) {
        *taken = upload->take(bytes);
        if (upload->take(bytes.subspan(*taken)) != 0) co_return Error{Code::invalid, "took more"};
        Result<void> written = co_await upload->write(bytes.subspan(*taken));
        co_return written;
      }
    };
    must(run_for(*world, Write::run(upload.get(), bytes, &taken)));
    CHECK(taken == Ingest::chunks_in_flight * region_bytes);
    check_result(must(run_for(*world, upload->finish())), bytes, false);
    reads_back(*world, 1, bytes);
  }
}

TEST_CASE("uploads: what is given up in the middle of everything leaves no record") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    const std::unique_ptr<World> world = maker.make(1);
    uint64_t layer = 0;
    for (const size_t size : {size_t{1000}, size_t{700'000}, size_t{5'000'000}, size_t{13'000'000}}) {
      CAPTURE(size);
      const std::vector<std::byte> bytes = noise(size, size);
      const auto upload = world->engine().ingest(LayerId{++layer});
      (void)upload->take(bytes);  // MD5 and the chunks are still at it
      must(run_for(*world, upload->abort()));
    }
    CHECK(must(run_for(*world, world->stores().records.layers())).empty());
    must(run_for(*world, world->engine().reclaimed()));
  }
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("uploads: a thread that is not the engine's gives all it has, in pieces of any size") {
  for (const WorldMaker& maker : worlds()) {
    if (maker.name == "sim") continue;  // has no threads
    CAPTURE(maker.name);
    const std::unique_ptr<World> world = maker.make(1);
    uint64_t layer = 0;
    for (const size_t piece : {size_t{65'536}, size_t{1'000'003}, size_t{50'000'000}})
      for (const bool sha256 : {false, true}) {
        const std::vector<std::byte> bytes = noise(6 * region_bytes + 12'345, layer);
        const auto upload = world->engine().ingest(LayerId{++layer}, {.sha256 = sha256});
        take_all(*world, *upload, bytes, piece);
        check_result(must(run_for(*world, upload->finish())), bytes, sha256);
        reads_back(*world, layer, bytes);
      }
  }
}

TEST_CASE("uploads: several threads upload at once, each its own") {
  for (const WorldMaker& maker : worlds()) {
    if (maker.name == "sim") continue;
    CAPTURE(maker.name);
    const std::unique_ptr<World> world = maker.make(1);
    constexpr size_t count = 4;
    std::vector<std::unique_ptr<Ingest>> uploads;
    std::vector<std::vector<std::byte>> bytes;
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; i++) {
      uploads.push_back(world->engine().ingest(LayerId{i + 1}));
      bytes.push_back(noise(5'000'000 + i, i));
    }
    for (size_t i = 0; i < count; i++)
      threads.emplace_back([&, i] {
        for (size_t at = 0; at < bytes[i].size();)
          at += uploads[i]->take(Bytes{bytes[i]}.subspan(at, std::min<size_t>(65'536, bytes[i].size() - at)));
      });
    for (std::thread& thread : threads) thread.join();
    for (size_t i = 0; i < count; i++) {
      check_result(must(run_for(*world, uploads[i]->finish())), bytes[i], false);
      reads_back(*world, i + 1, bytes[i]);
    }
  }
}

TEST_SUITE_END();

}  // namespace atl::testing
