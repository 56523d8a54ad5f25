// The oracle of the simulator is a program, too: what it lets pass and what it does not.
#include <doctest/doctest.h>

#include "sim/content.h"

namespace atl::sim {
namespace {

struct Fixture {
  uint64_t clock = 0;
  std::shared_ptr<Content> content = std::make_shared<Content>(clock);

  uint64_t write(uint64_t cell, Outcome outcome = Outcome::done) {
    const uint64_t id = content->begin_change({cell, cell + 1}, false);
    content->end_change(id, outcome);
    return id;
  }
  bool may_read(uint64_t cell, Stamp stamp) { return may_read(*content, cell, stamp); }
  static bool may_read(Content& from, uint64_t cell, Stamp stamp) {
    const uint64_t began = from.begin_read();
    return !end(from, began, cell, stamp);
  }
  static std::optional<std::string> end(Content& from, uint64_t began, uint64_t cell, Stamp stamp) {
    std::vector<std::byte> bytes(cell_bytes);
    fill_cell(stamp, bytes);
    return from.end_read(began, cell, bytes, false);
  }
  void flush() { content->flushed(content->tick()); }
};

}  // namespace

TEST_CASE("oracle: an answered write is what is read, and nothing else") {
  Fixture f;
  const uint64_t id = f.write(5);
  CHECK(f.may_read(5, stamp_of(id, 5)));
  CHECK_FALSE(f.may_read(5, zeros));
  CHECK_FALSE(f.may_read(5, stamp_of(id, 6)));
  CHECK(f.may_read(6, zeros));
}

TEST_CASE("oracle: what overlaps may be read either way, until a read has seen it") {
  Fixture f;
  const uint64_t a = f.content->begin_change({5, 6}, false);
  const uint64_t b = f.content->begin_change({5, 6}, false);
  CHECK(f.may_read(5, zeros));
  CHECK(f.may_read(5, stamp_of(a, 5)));
  f.content->end_change(b, Outcome::done);
  f.content->end_change(a, Outcome::done);
  CHECK_FALSE(f.may_read(5, zeros));
  CHECK(f.may_read(5, stamp_of(b, 5)));
  CHECK_FALSE(f.may_read(5, stamp_of(a, 5)));
}

TEST_CASE("oracle: a read may see what was replaced while it went on") {
  Fixture f;
  const uint64_t a = f.write(5);
  f.flush();
  const uint64_t began = f.content->begin_read();
  f.write(5);
  f.flush();
  CHECK_FALSE(Fixture::end(*f.content, began, 5, stamp_of(a, 5)));
}

TEST_CASE("oracle: a crash may take back what was not flushed, and nothing else") {
  Fixture f;
  const uint64_t a = f.write(5);
  f.flush();
  const uint64_t b = f.write(5);
  f.content->lost_caches();
  auto other = f.content->fork(false);
  CHECK(Fixture::may_read(*other, 5, stamp_of(a, 5)));
  CHECK(f.may_read(5, stamp_of(b, 5)));
  CHECK_FALSE(f.may_read(5, zeros));
}

TEST_CASE("oracle: a flush does not cover what was answered after it began") {
  Fixture f;
  const uint64_t a = f.write(5);
  f.flush();
  const uint64_t since = f.content->tick();
  f.write(5);
  f.content->flushed(since);
  f.content->lost_caches();
  CHECK(f.may_read(5, stamp_of(a, 5)));
}

TEST_CASE("oracle: a durable write is not taken back, a failed one may be there or not") {
  Fixture f;
  const uint64_t a = f.write(5, Outcome::durable);
  const uint64_t b = f.write(6, Outcome::failed);
  f.content->lost_caches();
  CHECK_FALSE(f.may_read(5, zeros));
  CHECK(f.may_read(5, stamp_of(a, 5)));
  auto other = f.content->fork(false);
  CHECK(Fixture::may_read(*other, 6, zeros));
  CHECK(f.may_read(6, stamp_of(b, 6)));
}

TEST_CASE("oracle: a trim that is under way covers cells that are written meanwhile") {
  Fixture f;
  const uint64_t trim = f.content->begin_change({0, 1000}, true);
  const uint64_t write = f.write(5);
  CHECK(f.may_read(5, zeros));
  CHECK(f.may_read(5, stamp_of(write, 5)));
  f.content->end_change(trim, Outcome::done);
  CHECK(f.may_read(5, zeros));
}

TEST_CASE("oracle: what was cut off by a shrink is zeros, also after a crash") {
  Fixture f;
  const uint64_t a = f.write(500);
  f.content->truncate(100);
  CHECK_FALSE(f.may_read(500, stamp_of(a, 500)));
  f.content->lost_caches();
  CHECK_FALSE(f.may_read(500, stamp_of(a, 500)));
  CHECK(f.may_read(500, zeros));
}

TEST_CASE("oracle: a snapshot never changes again, once it was read") {
  Fixture f;
  const uint64_t a = f.content->begin_change({5, 6}, false);
  auto snapshot = f.content->fork(true);
  f.content->end_change(a, Outcome::done);
  CHECK(Fixture::may_read(*snapshot, 5, zeros));
  CHECK_FALSE(Fixture::may_read(*snapshot, 5, stamp_of(a, 5)));
  CHECK(f.may_read(5, stamp_of(a, 5)));
}

}  // namespace atl::sim
