// readings_test.cc: a read-only resource opened for one reader holds its layers as a lease does, over every store.
#include <doctest/doctest.h>

#include "test/support/engine_world.h"

namespace atl::testing {
namespace {

void must(Result<void> result) { REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message)); }

std::vector<std::byte> filled(size_t length, char with) { return {length, static_cast<std::byte>(with)}; }

/// The task is no owner: its frame, which would be one, goes a little after the answer is here.
bool reads(World& world, const std::shared_ptr<Resource>& from, const std::vector<std::byte>& expected) {
  std::vector<std::byte> back(expected.size(), std::byte{0xee});
  struct Read {
    static Task<Result<void>> run(Resource* from, MutableBytes into) {
      Result<void> read = co_await run_on(from->home(), from->read(0, into));
      co_return read;
    }
  };
  must(run_for(world, Read::run(from.get(), back)));
  return back == expected;
}

}  // namespace

TEST_CASE("reading: its layers are not dropped before the last reader has ended, and each reads for himself") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    const std::unique_ptr<World> world = maker.make(1);
    Engine& engine = world->engine();
    const std::vector<std::byte> bytes = filled(100'000, 'a');
    must(upload(*world, LayerId{1}, bytes));
    const ResourceSpec spec{"one", bytes.size(), true, {{LayerId{1}, 0}}};
    std::shared_ptr<Resource> first = *engine.begin_reading(spec);
    std::shared_ptr<Resource> second = *engine.begin_reading(spec);
    CHECK(engine.open_resources() == 2);
    CHECK(engine.is_open("one"));
    CHECK(reads(*world, first, bytes));
    first.reset();
    CHECK(run_for(*world, engine.drop_layer(LayerId{1})).error().code == Code::busy);
    CHECK(reads(*world, second, bytes));
    second.reset();
    CHECK_FALSE(engine.is_open("one"));
    CHECK(engine.open_resources() == 0);
    must(run_for(*world, engine.drop_layer(LayerId{1})));
  }
}

TEST_CASE("reading: a merge below it is told to it") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    const std::unique_ptr<World> world = maker.make(2);
    Engine& engine = world->engine();
    const std::vector<std::byte> below = filled(2 * block_bytes, 'a');
    const std::vector<std::byte> above = filled(block_bytes, 'b');
    must(upload(*world, LayerId{1}, below));
    must(upload(*world, LayerId{2}, above));
    std::vector<std::byte> both = below;
    std::copy(above.begin(), above.end(), both.begin());
    const ResourceSpec spec{"two", both.size(), true, {{LayerId{2}, 2}, {LayerId{1}, 0}}};
    const std::shared_ptr<Resource> looked = *engine.begin_reading(spec);  // before the merge
    CHECK(reads(*world, looked, both));
    const std::shared_ptr<Resource> later = *engine.begin_reading(spec);  // has not looked yet
    const Result<uint64_t> next = run_for(*world, engine.merge_step({LayerId{1}, LayerId{2}, 2, 0, 64}));
    REQUIRE(next.ok());
    CHECK(run_for(*world, engine.drop_layer(LayerId{1})).error().code == Code::busy);
    must(run_for(*world, engine.unlink_layer(LayerId{1}, LayerId{2}, 0)));
    must(run_for(*world, engine.drop_layer(LayerId{1})));
    CHECK(reads(*world, looked, both));
    CHECK(reads(*world, later, both));
  }
}

TEST_CASE("reading: what is written to, or makes no sense, is refused") {
  const std::unique_ptr<World> world = sim_world(3);
  const auto code = [&](const ResourceSpec& spec) { return world->engine().begin_reading(spec).error().code; };
  CHECK(code({"rw", 4096, false, {{LayerId{1}, 0}}}) == Code::invalid);
  CHECK(code({"none", 4096, true, {}}) == Code::invalid);
  CHECK(world->engine().open_resources() == 0);
}

}  // namespace atl::testing
