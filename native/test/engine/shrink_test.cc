// shrink_test.cc: reads and questions that wait for the records while the resource shrinks: each gets an answer or an error.
#include <doctest/doctest.h>

#include "engine/resource/diff.h"
#include "test/support/records_world.h"

namespace atl::testing {
namespace {

constexpr uint64_t B = block_bytes;
constexpr uint64_t R = region_bytes;
constexpr LayerId old_head = RecordsWorld::old_head;
constexpr LayerId new_head = RecordsWorld::new_head;
constexpr uint64_t size_bytes = RecordsWorld::size_bytes;
constexpr uint64_t small_bytes = 5 * R;

/// A resource of ten regions, with data in the first block of each, as its records alone know.
struct World : RecordsWorld {
  World() {
    const std::vector<std::byte> bytes(B, std::byte{7});
    for (uint64_t at = 0; at < size_bytes; at += R) must(machine.run(home, resource->write(at, bytes, {})));
    must(machine.run(home, resource->flush()));
    open();
  }

  void shrink() {
    struct Shrink {
      static Task<Result<void>> run(Resource* resource) {
        Result<void> quiet = co_await resource->quiesce();
        if (quiet) resource->resume(small_bytes, {{new_head, small_bytes / B}, {old_head, 0}});
        co_return quiet;
      }
    };
    must(machine.run(home, Shrink::run(resource.get())));
  }
  /// The first block of the region at `offset` is all of this value.
  void check_block(uint64_t offset, std::byte value) {
    std::vector<std::byte> bytes(B);
    must(machine.run(home, resource->read(offset, bytes)));
    CHECK(bytes == std::vector<std::byte>(B, value));
  }
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>* into) {
    into->emplace(co_await task);
  }
};

/// What is asked of a range, with the code of the error if there is one.
struct Question {
  const char* name;
  Task<Result<void>> (*ask)(Resource*, uint64_t offset, uint64_t length);
};

template <class T>
Result<void> without_value(const Result<T>& result) {
  return result ? Result<void>{} : Result<void>{result.error()};
}

Task<Result<void>> ask_status(Resource* resource, StatusQuestion question, uint64_t offset, uint64_t length) {
  const auto runs = co_await resource->status(question, offset, length, 100);
  co_return without_value(runs);
}

const std::vector<Question> questions{
    {"read",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       std::vector<std::byte> bytes(length);
       Result<void> read = co_await resource->read(offset, bytes);
       co_return read;
     }},
    {"read_sparse",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       std::vector<std::byte> bytes(length);
       std::vector<ZeroRun> zeroes;
       Result<void> read = co_await resource->read_sparse(offset, bytes, zeroes);
       co_return read;
     }},
    {"cache",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       return resource->cache(offset, length);
     }},
    {"extents",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       const auto extents = co_await resource->extents(offset, length, 100);
       co_return without_value(extents);
     }},
    {"nothing_stored",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       const auto nothing = co_await resource->nothing_stored(offset, length);
       co_return without_value(nothing);
     }},
    {"depth",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       return ask_status(resource, {StatusQuestion::Kind::depth, LayerId::none, 0}, offset, length);
     }},
    {"decided",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       return ask_status(resource, {StatusQuestion::Kind::decided, LayerId::none, 0}, offset, length);
     }},
    {"changed",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       return ask_status(resource, {StatusQuestion::Kind::changed, old_head, size_bytes}, offset, length);
     }},
    {"diff",
     [](Resource* resource, uint64_t offset, uint64_t length) -> Task<Result<void>> {
       const auto runs = co_await diff(*resource, *resource, offset, length, 100);
       co_return without_value(runs);
     }},
};

/// Where the range lies, and which of its regions the map knows before: the wait is for the others.
struct Schedule {
  const char* name;
  uint64_t offset;
  uint64_t length;
  uint64_t known_offset;
  uint64_t known_length;
};
const std::vector<Schedule> schedules{
    {"beyond the new end, nothing known", 7 * R + B, 2 * R, 0, 0},
    {"beyond the new end, the first region known", 7 * R + B, 2 * R, 7 * R, B},
    {"across the new end, the part beyond it known", 3 * R, 4 * R, 5 * R, 2 * R},
    {"across the new end, the part before it known", 3 * R, 4 * R, 3 * R, 2 * R},
    {"everything, only the last region unknown", 0, 10 * R, 0, 9 * R},
    {"everything, nothing known", 0, 10 * R, 0, 0},
    {"in one region", 8 * R + B, B, 0, 0},
    {"before the new end", 2 * R, 2 * R, 3 * R, B},
};

TEST_CASE("shrink: whatever waits for the records meanwhile gets an answer, or an error that says it is out of range") {
  for (const Question& question : questions)
    for (const Schedule& schedule : schedules) {
      CAPTURE(question.name);
      CAPTURE(schedule.name);
      World world;
      if (schedule.known_length > 0)
        World::must(world.machine.run(world.home, world.resource->cache(schedule.known_offset, schedule.known_length)));
      world.readers.busy = true;
      std::optional<Result<void>> answer;
      spawn_on(world.home, World::keep(question.ask(world.resource.get(), schedule.offset, schedule.length), &answer));
      world.machine.run_until_idle();
      REQUIRE((answer.has_value() || world.readers.holds_any()));
      world.shrink();
      world.readers.release();
      world.machine.run_until_idle();
      REQUIRE(answer.has_value());
      if (schedule.offset + schedule.length <= small_bytes) CHECK(answer->ok());
      if (!answer->ok()) CHECK(answer->error().code == Code::out_of_range);
      // What is left is read as before, and what was cut off reads as zeros when the resource has grown again.
      for (uint64_t at = 0; at < small_bytes; at += R) world.check_block(at, std::byte{7});
      struct Grow {
        static Task<Result<void>> run(Resource* resource) {
          Result<void> quiet = co_await resource->quiesce();
          if (quiet) resource->resume(size_bytes, {{new_head, small_bytes / B}, {old_head, 0}});
          co_return quiet;
        }
      };
      World::must(world.machine.run(world.home, Grow::run(world.resource.get())));
      for (uint64_t at = small_bytes; at < size_bytes; at += R) world.check_block(at, std::byte{0});
    }
}

TEST_CASE("shrink: a change that waits for the records is waited for, and what it wrote beyond the new end is gone") {
  enum class Change { write, partial, write_zeroes, trim };
  for (const Change change : {Change::write, Change::partial, Change::write_zeroes, Change::trim}) {
    CAPTURE(static_cast<int>(change));
    World world;
    const std::vector<std::byte> bytes(4 * R, std::byte{9});
    Resource& resource = *world.resource;
    world.readers.busy = true;
    std::optional<Result<void>> changed, shrunk;
    switch (change) {
      case Change::write: spawn_on(world.home, World::keep(resource.write(3 * R, bytes, {}), &changed)); break;
      case Change::partial:
        spawn_on(world.home, World::keep(resource.write(5 * R - 100, Bytes{bytes}.first(200), {}), &changed));
        break;
      case Change::write_zeroes:
        spawn_on(world.home, World::keep(resource.write_zeroes(3 * R, 4 * R, {}), &changed));
        break;
      case Change::trim: spawn_on(world.home, World::keep(resource.trim(3 * R, 4 * R, {}), &changed)); break;
    }
    world.machine.run_until_idle();
    struct Shrink {
      static Task<Result<void>> run(Resource* resource) {
        Result<void> quiet = co_await resource->quiesce();
        if (quiet) resource->resume(small_bytes, {{new_head, small_bytes / B}, {old_head, 0}});
        co_return quiet;
      }
    };
    spawn_on(world.home, World::keep(Shrink::run(&resource), &shrunk));
    world.machine.run_until_idle();
    REQUIRE(!changed.has_value());
    REQUIRE(!shrunk.has_value());
    world.readers.release();
    world.machine.run_until_idle();
    REQUIRE(changed.has_value());
    CHECK(changed->ok());
    REQUIRE(shrunk.has_value());
    CHECK(shrunk->ok());
    std::vector<std::byte> left(B);
    const Result<void> beyond = world.machine.run(world.home, resource.read(small_bytes, left));
    REQUIRE(!beyond.ok());
    CHECK(beyond.error().code == Code::out_of_range);
    World::must(world.machine.run(world.home, resource.read(small_bytes - B, left)));
    const std::byte expected = change == Change::write || change == Change::partial ? std::byte{9} : std::byte{0};
    CHECK(left.back() == expected);
  }
}

}  // namespace
}  // namespace atl::testing
