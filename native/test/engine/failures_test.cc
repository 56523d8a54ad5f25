// failures_test.cc: what a resource says when its store fails, on a simulated machine: in a log it must be clear what came first.
#include <doctest/doctest.h>

#include "sim/engine_host.h"
#include "test/support/engine_world.h"

namespace atl::testing {
namespace {

/// A writable resource of one region on a simulated machine.
struct OnFailingDisk {
  sim::EngineHost host{1, 2};

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    struct Run {
      static Task<void> run(Task<T> task, std::optional<T>* into) { into->emplace(co_await task); }
    };
    host.machine().run(host.registrar(), Run::run(std::move(task), &value));
    VERIFY(value.has_value());
    return std::move(*value);
  }
  Result<void> open() { return run(host.engine().open({"r", region_bytes, false, {{LayerId{1}, 0}}})); }
  Result<void> close() { return run(host.engine().close("r")); }
  Result<void> write() {
    struct Write {
      static Task<Result<void>> run(std::shared_ptr<Resource> to) {
        const std::vector<std::byte> bytes(block_bytes, std::byte{7});
        Result<void> written = co_await run_on(to->home(), to->write(0, bytes, {}));
        co_return written;
      }
    };
    return run(Write::run(host.engine().find("r")));
  }
  Result<void> flush() {
    struct Flush {
      static Task<Result<void>> run(std::shared_ptr<Resource> to) {
        Result<void> flushed = co_await run_on(to->home(), to->flush());
        co_return flushed;
      }
    };
    return run(Flush::run(host.engine().find("r")));
  }
};

TEST_CASE("engine: after a failed sync each refusal names the first cause, until the resource is opened again") {
  for (const Code code : {Code::io, Code::no_space}) {
    OnFailingDisk at;
    REQUIRE(at.open().ok());
    REQUIRE(at.write().ok());
    at.host.disk().fail_next(sim::Operation::sync, code);
    const Result<void> first = at.flush();
    REQUIRE_FALSE(first.ok());
    CHECK(first.error().code == code);
    for (const Result<void>& later : {at.write(), at.flush(), at.flush()}) {
      REQUIRE_FALSE(later.ok());
      CHECK(later.error().code == Code::io);
      CHECK(later.error().message == "resource r: refuses changes since a flush failed (" + first.error().message +
                                         "); detach and attach it again to go on from what is durable");
    }
    CHECK_FALSE(at.close().ok());
    REQUIRE(at.open().ok());
    CHECK(at.write().ok());
    CHECK(at.flush().ok());
    CHECK(at.close().ok());
  }
}

TEST_CASE("engine: a chunk that a record names and the store does not have is damage, not an absence") {
  OnFailingDisk at;
  Digest digest{};
  digest.bytes[0] = 0xab;
  const LayerId layer{1};
  RecordBatch batch;
  batch.push_back(AssignBlocks{layer, RegionIndex{0}, Source::content(digest, region_bytes), BlockSet::all()});
  REQUIRE(at.run(at.host.stores().records.commit(std::move(batch))).ok());
  REQUIRE(at.open().ok());
  struct Read {
    static Task<Result<void>> run(std::shared_ptr<Resource> from) {
      std::vector<std::byte> bytes(block_bytes);
      Result<void> read = co_await run_on(from->home(), from->read(0, bytes));
      co_return read;
    }
  };
  const Result<void> read = at.run(Read::run(at.host.engine().find("r")));
  REQUIRE_FALSE(read.ok());
  CHECK(read.error().code == Code::corrupt);
  CHECK(read.error().message == "content " + digest.hex() + ": not there");
  CHECK(at.close().ok());
}

}  // namespace
}  // namespace atl::testing
