// The scrub over every store: what it reads, what it passes over, and what is deleted under its hands.
#include <doctest/doctest.h>

#include "store/hashing.h"
#include "test/support/engine_world.h"
#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::testing;
using atl::test::pattern;

namespace {

/// Runs blocking jobs where the world's readers run, after letting a test in before the nth of them.
class Interrupted final : public JobSink {
 public:
  Interrupted(JobSink& sink, uint32_t before, std::function<Task<void>()> meanwhile)
      : sink_(sink), before_(before), meanwhile_(std::move(meanwhile)) {}

  void post(Job& job) override {
    if (++posted_ != before_) return sink_.post(job);
    struct Run {
      static Task<void> run(Interrupted* self, Job* job) {
        co_await self->meanwhile_();
        self->sink_.post(*job);
      }
    };
    spawn(Run::run(this, &job));  // on the executor that posts: the registrar
  }

 private:
  JobSink& sink_;
  const uint32_t before_;
  uint32_t posted_ = 0;
  const std::function<Task<void>()> meanwhile_;
};

Digest name_of(const std::string& bytes) { return *sha256_of(std::as_bytes(std::span{bytes})); }

/// Chunks of these bytes, mentioned by records of the layer: one region each.
Task<void> upload(World* world, LayerId layer, std::string bytes) {
  const auto ingest = world->engine().ingest(layer);
  Result<void> taken = co_await ingest->write(std::as_bytes(std::span{bytes}));
  REQUIRE(taken.ok());
  Result<IngestResult> result = co_await ingest->finish();
  REQUIRE(result.ok());
}

ScrubStep step_of(World& world, JobSink& threads, ScrubFrom from) {
  Result<ScrubStep> step = run_for(world, world.engine().scrub(threads, from));
  REQUIRE(step.ok());
  return std::move(*step);
}

void for_each_world(const std::function<void(World&)>& body) {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    const auto world = maker.make(1);
    body(*world);
  }
}

Task<void> drop(World* world, LayerId layer) {
  Result<void> dropped = co_await world->engine().drop_layer(layer);
  REQUIRE(dropped.ok());
}

Task<void> lose(World* world, Digest digest) {
  Result<void> dropped = co_await world->stores().data.drop_content(digest);
  REQUIRE(dropped.ok());
}

bool is_there(World& world, const Digest& digest) {
  return run_for(world, world.stores().data.content_bytes(digest)).ok();
}

bool is_sim(const World& world) { return world.name() == std::string_view{"sim"}; }

constexpr LayerId layer{7};

}  // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE("scrub: steps meet every chunk once, in the order of their digests, and begin anew after the end") {
  for_each_world([](World& world) {
    const std::string bytes = pattern(1, 5 * region_bytes - 4096);
    world.run(upload(&world, layer, bytes));
    JobSink& threads = world.stores().records.readers();
    std::optional<Digest> after;
    std::vector<Digest> met;
    uint64_t bytes_met = 0;
    for (bool end = false; !end;) {
      const ScrubStep step = step_of(world, threads, {after, 64});
      CHECK(step.bad.empty());
      CHECK(step.bytes <= 2 * region_bytes);
      end = step.end;
      bytes_met += step.bytes;
      if (!step.last) continue;
      if (after) CHECK(*after < *step.last);
      after = step.last;
      met.push_back(*step.last);
    }
    CHECK(bytes_met == bytes.size());
    CHECK(step_of(world, threads, {after, 64}).chunks == 0);
    CHECK(*step_of(world, threads, {std::nullopt, 1}).last == met.front());
  });
}

TEST_CASE("scrub: an empty store has an end") {
  for_each_world([](World& world) {
    const ScrubStep step = step_of(world, world.stores().records.readers(), {});
    CHECK(step.end);
    CHECK(!step.last);
  });
}

TEST_CASE("scrub: a chunk that is missing is named, with the places of its records") {
  for_each_world([](World& world) {
    const std::string bytes = pattern(2, region_bytes);
    world.run(upload(&world, layer, bytes + bytes));
    world.run(lose(&world, name_of(bytes)));
    JobSink& threads = world.stores().records.readers();
    const ScrubStep step = step_of(world, threads, {std::nullopt, 64});
    REQUIRE(step.bad.size() == 1);
    CHECK(step.bad[0].digest == name_of(bytes));
    CHECK(step.bad[0].fault.kind == FindingKind::chunk_missing);
    const auto places = run_for(world, places_of_chunk(world.stores(), threads, name_of(bytes)));
    REQUIRE(places.ok());
    REQUIRE(places->size() == 2);
    CHECK((*places)[1].layer == layer);
    CHECK((*places)[1].region == RegionIndex{1});
    CHECK((*places)[1].blocks == BlockSet::all());
  });
}

TEST_CASE("scrub: a chunk whose last reference goes while it is being read is no finding, and its space comes back") {
  for_each_world([](World& world) {
    const std::string bytes = pattern(3, region_bytes);
    const Digest digest = name_of(bytes);
    // Before the listing, before the first reading (which the simulated store does without a thread), before its digest is computed.
    const uint32_t jobs = is_sim(world) ? 2 : 3;
    for (uint32_t before = 1; before <= jobs; before++) {
      CAPTURE(before);
      world.run(upload(&world, layer, bytes));
      Interrupted threads{world.stores().records.readers(), before, [&]() -> Task<void> {
                            co_await drop(&world, layer);
                            co_await lose(&world, digest);  // as if the pin were not there
                          }};
      const ScrubStep step = step_of(world, threads, {std::nullopt, 64});
      CHECK(step.bad.empty());
      REQUIRE(run_for(world, world.engine().reclaimed()).ok());
      CHECK(!is_there(world, digest));
    }
  });
}

TEST_CASE("scrub: a chunk is not dropped while it is being read, and is afterwards") {
  for_each_world([](World& world) {
    const std::string bytes = pattern(4, region_bytes);
    const Digest digest = name_of(bytes);
    world.run(upload(&world, layer, bytes));
    Interrupted threads{world.stores().records.readers(), 2, [&]() -> Task<void> {
                          co_await drop(&world, layer);
                          Result<void> reclaimed = co_await world.engine().reclaimed();
                          CHECK(reclaimed.ok());
                          Result<uint64_t> there = co_await world.stores().data.content_bytes(digest);
                          CHECK(there.ok());
                        }};
    CHECK(step_of(world, threads, {std::nullopt, 64}).bad.empty());
    // Nobody asks for it to be given back: the scrub has told the reclaimer.
    while (is_there(world, digest)) {
    }
  });
}

TEST_CASE("scrub: a chunk that fails one reading and not the next is good") {
  for_each_world([](World& world) {
    if (is_sim(world)) return;  // its chunks are read without a thread that could be held up
    const std::string bytes = pattern(5, region_bytes);
    const Digest digest = name_of(bytes);
    world.run(upload(&world, layer, bytes));
    world.run(lose(&world, digest));
    // Listing, first reading; it is put right before the second one.
    Interrupted threads{world.stores().records.readers(), 3, [&]() -> Task<void> {
                          Result<void> put =
                              co_await world.stores().data.put_content(digest, std::as_bytes(std::span{bytes}));
                          CHECK(put.ok());
                        }};
    CHECK(step_of(world, threads, {std::nullopt, 64}).bad.empty());
  });
}

TEST_CASE("scrub: an upload of the same bytes writes a chunk again that is known to be damaged or missing") {
  for_each_world([](World& world) {
    const std::string bytes = pattern(6, region_bytes);
    const std::string others = pattern(7, region_bytes);
    const Digest digest = name_of(bytes);
    JobSink& threads = world.stores().records.readers();
    const auto put_others = [&] {
      REQUIRE(run_for(world, world.stores().data.replace_content(digest, std::as_bytes(std::span{others}))).ok());
      CHECK(step_of(world, threads, {std::nullopt, 64}).bad.size() == 1);
    };
    world.run(upload(&world, layer, bytes));
    LayerId next{8};
    const auto upload_again = [&] {
      next = LayerId{number(next) + 1};
      world.run(upload(&world, next, bytes));
    };
    for (const auto& damage :
         std::vector<std::function<void()>>{put_others, [&] { world.run(lose(&world, digest)); }}) {
      damage();
      upload_again();
      CHECK(step_of(world, threads, {std::nullopt, 64}).bad.empty());
    }
    // Known to be damaged by an earlier run.
    put_others();
    world.restart();
    REQUIRE(run_for(world, world.engine().mark_bad(digest)).ok());
    upload_again();
    CHECK(step_of(world, world.stores().records.readers(), {std::nullopt, 64}).bad.empty());
  });
}

TEST_SUITE_END();
