// old_chain_test.cc: looks at the records that wait for a thread while the chain is replaced: a snapshot gives the resource a new head,
// and a merge moves the records of the old one into it. What the old chain shows then is not believed.
#include <doctest/doctest.h>

#include "test/support/records_world.h"

namespace atl::testing {
namespace {

constexpr uint64_t B = block_bytes;
constexpr uint64_t R = region_bytes;

constexpr LayerId old_head = RecordsWorld::old_head;
constexpr LayerId new_head = RecordsWorld::new_head;
constexpr uint64_t size_bytes = RecordsWorld::size_bytes;
constexpr uint64_t written = 7 * R;

/// A resource of ten regions with one block of data, as its records alone know.
struct World : RecordsWorld {
  World() {
    const std::vector<std::byte> bytes(B, std::byte{7});
    must(machine.run(home, resource->write(written, bytes, {.fua = true})));
    open();
  }

  /// Asks while no reader has time, replaces the chain, and lets the readers go on.
  template <class T>
  T asked_across_a_merge(Task<T> question) {
    std::optional<T> answer;
    struct Ask {
      static Task<void> run(Task<T> question, std::optional<T>* into) { into->emplace(co_await question); }
    };
    readers.busy = true;
    spawn_on(home, Ask::run(std::move(question), &answer));
    while (!readers.holds_any()) REQUIRE(machine.step());
    must(machine.run(home, resource->quiesce()));
    struct Resume {
      static Task<Result<void>> run(Resource* resource) {
        resource->resume(size_bytes, {{new_head, size_bytes / B}, {old_head, 0}});
        co_return Result<void>{};
      }
    };
    must(machine.run(home, Resume::run(resource.get())));
    RecordBatch merge;
    merge.push_back(AbsorbRegion{old_head, new_head, RegionIndex{7}, blocks_per_region});
    must(machine.run(home, records.commit(std::move(merge))));
    REQUIRE(!answer.has_value());
    readers.release();
    while (!answer) REQUIRE(machine.step());
    return std::move(*answer);
  }
};

TEST_CASE("a chain that is replaced during a look at the records: nothing stored is not believed") {
  World world;
  const Result<uint64_t> nothing = world.asked_across_a_merge(world.resource->nothing_stored(0, size_bytes));
  REQUIRE(nothing.ok());
  CHECK(*nothing <= written);
}

TEST_CASE("a chain that is replaced during a look at the records: extents show the data, and so do reads after it") {
  World world;
  const auto extents = world.asked_across_a_merge(world.resource->extents(0, size_bytes, 100));
  REQUIRE(extents.ok());
  CHECK(*extents ==
        std::vector<Extent>{{written, true, true}, {B, false, false}, {size_bytes - written - B, true, true}});
  std::vector<std::byte> bytes(B);
  World::must(world.machine.run(world.home, world.resource->read(written, bytes)));
  CHECK(bytes == std::vector<std::byte>(B, std::byte{7}));
}

TEST_CASE("a chain that is replaced during a look at the records: a read gives the data") {
  World world;
  std::vector<std::byte> bytes(B);
  World::must(world.asked_across_a_merge(world.resource->read(written, bytes)));
  CHECK(bytes == std::vector<std::byte>(B, std::byte{7}));
}

TEST_CASE("a chain that is replaced during a look at the records: depth and decided tell of the data") {
  for (const auto kind : {StatusQuestion::Kind::depth, StatusQuestion::Kind::decided}) {
    World world;
    const StatusQuestion question{kind, LayerId::none, 0};
    const auto runs = world.asked_across_a_merge(world.resource->status(question, 0, size_bytes, 100));
    REQUIRE(runs.ok());
    CHECK(*runs == std::vector<StatusRun>{{written, 0}, {B, 1}, {size_bytes - written - B, 0}});
  }
}

}  // namespace
}  // namespace atl::testing
