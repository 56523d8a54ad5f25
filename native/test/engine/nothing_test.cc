// nothing_test.cc: long stretches that nothing is stored for: what is told of them is right, and costs what is there, not what is
// asked for. Costs are counted in looks at the records.
#include <doctest/doctest.h>

#include <random>

#include "engine/resource/diff.h"
#include "test/support/engine_tree.h"
#include "test/support/told_runs.h"

namespace atl::testing {
namespace {

constexpr uint64_t pebibyte = uint64_t{1} << 50;

/// A volume of a pebibyte without ancestors' data, and what is done to it.
struct Empty : Tree {
  explicit Empty(uint64_t bytes = pebibyte) : size_bytes(bytes), volume(huge_clone(snapshot(Tree::volume(R)), bytes)) {}

  const uint64_t size_bytes;
  ModelResource& volume;

  Resource& device() { return open(volume); }
  std::vector<Extent> extents(uint64_t offset, uint64_t length, uint32_t max = 1000) {
    return must(run_for(*world, run_on(device().home(), device().extents(offset, length, max))));
  }
  uint64_t nothing_stored(uint64_t offset, uint64_t length) {
    return must(run_for(*world, run_on(device().home(), device().nothing_stored(offset, length))));
  }
  void zero(uint64_t offset, uint64_t length, WriteFlags flags) {
    must(run_for(*world, run_on(device().home(), device().write_zeroes(offset, length, flags))));
  }
  /// Looks at the records since the last call.
  uint64_t looks() {
    const RecordStore::Counters now = world->stores().records.counters();
    const uint64_t count = now.resolved + now.scans;
    return count - std::exchange(looked_, count);
  }

 private:
  uint64_t looked_ = 0;
};

TEST_CASE("extents: an empty pebibyte is one hole, found by a handful of looks at the records") {
  Empty world;
  world.looks();
  CHECK(world.extents(0, pebibyte) == std::vector<Extent>{{pebibyte, true, true}});
  CHECK(world.looks() <= 10);
  CHECK(world.extents(5, pebibyte - 9) == std::vector<Extent>{{pebibyte - 9, true, true}});
  CHECK(world.looks() <= 10);
}

TEST_CASE("extents: data far apart is found where it lies, flushed or not, and a look is paid for each") {
  Empty world;
  const uint64_t far = pebibyte / 2 + 3 * B;
  world.write(world.volume, far, 2 * B);
  world.write(world.volume, pebibyte - B, B);
  const std::vector<Extent> expected{
      {far, true, true}, {2 * B, false, false}, {pebibyte / 2 - 6 * B, true, true}, {B, false, false}};
  for (int i = 0; i < 2; i++) {
    world.looks();
    CHECK(world.extents(0, pebibyte) == expected);
    CHECK(world.looks() <= 30);
    CHECK(world.extents(0, pebibyte, 1) == std::vector<Extent>{expected.front()});
    world.flush(world.volume);
  }
  world.trim(world.volume, far, 2 * B);
  CHECK(world.extents(0, pebibyte) == std::vector<Extent>{{pebibyte - B, true, true}, {B, false, false}});
}

TEST_CASE("nothing stored: up to the next region with anything in it, whoever wrote it") {
  Empty world;
  CHECK(world.nothing_stored(0, pebibyte) == pebibyte);
  CHECK(world.nothing_stored(7, 100) == 100);
  CHECK(world.nothing_stored(pebibyte, 0) == 0);
  world.write(world.volume, 1000 * R + B, B);
  for (int i = 0; i < 2; i++) {
    CHECK(world.nothing_stored(0, pebibyte) == 1000 * R);
    CHECK(world.nothing_stored(3 * R + 5, 2 * R) == 2 * R);
    CHECK(world.nothing_stored(1000 * R + 5 * B, 10 * R) == 0);
    CHECK(world.nothing_stored(1001 * R, pebibyte - 1001 * R) == pebibyte - 1001 * R);
    world.flush(world.volume);
  }
  // A parent of which nothing shows through does not count. (How a limit within the parent counts: the next case.)
  ModelResource& whole = world.huge_clone(world.volume, pebibyte);
  Resource& clone = world.open(whole);
  const auto asked = [&](Resource& of) {
    return world.must(run_for(*world.world, run_on(of.home(), of.nothing_stored(0, of.size_bytes()))));
  };
  CHECK(asked(clone) == pebibyte);
}

TEST_CASE("nothing stored: a parent's data counts as far as it shows through the clone's limit") {
  Tree tree;
  ModelResource& origin = tree.volume(20 * R);
  tree.write(origin, 2 * R, B);
  tree.write(origin, 15 * R, B);
  ModelResource& image = tree.snapshot(origin);
  Resource& whole = tree.open(tree.clone(image, 20 * R));
  CHECK(tree.must(run_for(*tree.world, run_on(whole.home(), whole.nothing_stored(0, 20 * R)))) == 2 * R);
  CHECK(tree.must(run_for(*tree.world, run_on(whole.home(), whole.nothing_stored(3 * R, 17 * R)))) == 12 * R);
  tree.seal(origin, 10 * R);  // a shrink
  tree.grow(origin, 20 * R);
  Resource& shrunk = tree.open(origin);
  CHECK(tree.must(run_for(*tree.world, run_on(shrunk.home(), shrunk.nothing_stored(3 * R, 17 * R)))) == 17 * R);
}

TEST_CASE("changed and depth: a pebibyte with little in it is one answer of a few looks") {
  Empty world;
  ModelResource& before = world.catalog.add(true, world.seal(world.volume, 0), {});
  world.must(run_for(*world.world, world.world->engine().quiesce(world.volume.id)));
  world.must(run_for(*world.world,
                     world.world->engine().resume(world.volume.id, pebibyte, world.catalog.chain(world.volume.head))));
  StatusQuestion since = Tree::since_question(before);
  world.write(world.volume, 77 * R, B);
  world.write(world.volume, pebibyte - B, B);
  const Runs expected{{77 * R, 0}, {B, 1}, {pebibyte - 77 * R - 2 * B, 0}, {B, 1}};
  for (int i = 0; i < 2; i++) {
    world.looks();
    CHECK(world.must(world.ask(world.volume, since, 0, pebibyte)) == expected);
    CHECK(world.looks() <= 40);
    for (const auto kind : {StatusQuestion::Kind::depth, StatusQuestion::Kind::decided})
      CHECK(world.must(world.ask(world.volume, {kind, LayerId::none, 0}, 0, pebibyte)) == expected);
    CHECK(world.looks() <= 80);
    world.flush(world.volume);
  }
  // What one of the two cannot see of their ancestor counts as changed, however much it is.
  since.since_bytes = pebibyte / 2;
  CHECK(world.must(world.ask(world.volume, since, R, pebibyte - 2 * R)) ==
        Runs{{pebibyte / 2 - R, 1}, {pebibyte / 2 - R, 0}});
  CHECK(world.looks() <= 40);
}

TEST_CASE("diff: of two empty clones of a pebibyte, where one was written") {
  Empty world;
  ModelResource& image = world.snapshot(world.Tree::volume(R));
  ModelResource& a = world.huge_clone(image, pebibyte);
  ModelResource& b = world.huge_clone(image, pebibyte);
  world.write(b, 123456 * R, B);
  world.looks();
  const Runs runs = world.must(run_for(*world.world, diff(world.open(a), world.open(b), 0, pebibyte, 100)));
  CHECK(runs == Runs{{123456 * R, 0}, {B, 1}, {pebibyte - 123456 * R - B, 0}});
  CHECK(world.looks() <= 60);
}

TEST_CASE("zeroes in a part of a block that nothing is stored for write nothing") {
  Empty world;
  world.zero(B + 5, 100, {});
  world.zero(5, 3 * B, {});
  world.flush(world.volume);
  CHECK(world.nothing_stored(0, pebibyte) == pebibyte);
  CHECK(world.world->allocated_bytes() == 0);
}

TEST_CASE("zeroes with NO_HOLE take no new space, and stay in place in the head's own file") {
  Tree tree;
  ModelResource& origin = tree.volume(4 * R);
  tree.write(origin, 0, 2 * R);
  tree.flush(origin);
  tree.snapshot(origin);
  const uint64_t before = tree.world->allocated_bytes();
  Resource& device = tree.open(origin);
  const auto zero = [&](uint64_t offset, uint64_t length) {
    tree.must(run_for(*tree.world, run_on(device.home(), device.write_zeroes(offset, length, {.no_hole = true}))));
  };
  zero(0, 4 * R);
  tree.flush(origin);
  CHECK(tree.world->allocated_bytes() == before);
  CHECK(tree.depths(origin, StatusQuestion::Kind::decided) == Runs{{2 * R, 1}, {2 * R, 0}});
  CHECK(tree.depths(origin, StatusQuestion::Kind::depth) == Runs{{4 * R, 0}});
  tree.write(origin, 3 * R, 8 * B);
  zero(3 * R + B, 4 * B);
  tree.flush(origin);
  CHECK(tree.world->allocated_bytes() == before + 8 * B);
  CHECK(tree.depths(origin, StatusQuestion::Kind::depth) == Runs{{3 * R, 0}, {8 * B, 1}, {R - 8 * B, 0}});
  std::vector<std::byte> bytes(6 * B, std::byte{1});
  tree.must(run_for(*tree.world, run_on(device.home(), device.read(3 * R, bytes))));
  for (uint64_t i = 0; i < bytes.size(); i++) {
    const bool zeroed = i >= B && i < 5 * B;
    REQUIRE(bytes[i] == (zeroed ? std::byte{0} : std::byte{7}));
  }
}

TEST_CASE("random histories: a whole range is told as its regions are, one by one") {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    Tree tree{seed};
    const uint64_t size = 40 * R;
    ModelResource* volume = &tree.volume(size);
    std::vector<ModelResource*> snapshots;
    const auto range = [&] {
      const uint64_t first = random() % (size / B);
      const uint64_t longest = random() % 3 == 0 ? 12 * R / B : 10;
      return std::pair{first * B, std::min(size / B - first, 1 + random() % longest) * B};
    };
    for (int step = 0; step < 25; step++) {
      const auto [offset, length] = range();
      switch (random() % 8) {
        case 0: snapshots.push_back(&tree.snapshot(*volume)); break;
        case 1: tree.flush(*volume); break;
        case 2: tree.trim(*volume, offset, length); break;
        case 3:
          tree.seal(*volume, (10 + random() % 40) * R);
          tree.grow(*volume, size);
          break;
        case 4: volume = &tree.clone(tree.snapshot(*volume), size); break;
        case 5:
          if (snapshots.empty()) break;
          tree.remove(*snapshots.back());
          snapshots.pop_back();
          tree.reap();
          break;
        default: tree.write(*volume, offset, std::min(length, 10 * B)); break;
      }
    }
    if (random() % 2 == 0) {  // from records alone
      tree.flush(*volume);
      tree.must(run_for(*tree.world, tree.world->engine().close(volume->id)));
      volume->open = false;
    }
    Resource& device = tree.open(*volume);
    const auto extents = [&](uint64_t offset, uint64_t length) {
      return tree.must(run_for(*tree.world, run_on(device.home(), device.extents(offset, length, 100'000))));
    };
    std::vector<StatusQuestion> questions{{StatusQuestion::Kind::depth, LayerId::none, 0},
                                          {StatusQuestion::Kind::decided, LayerId::none, 0}};
    const std::vector<ChainLayer>& layers = device.chain()->layers();
    for (const ChainLayer& layer : {layers[layers.size() / 2], layers.back()})
      questions.push_back({StatusQuestion::Kind::changed, layer.id, size});
    std::vector<Runs> whole;
    for (const StatusQuestion& question : questions)
      whole.push_back(tree.must(tree.ask(*volume, question, 0, size, 100'000)));
    const std::vector<Extent> all = extents(0, size);
    std::vector<Extent> pieces;
    std::vector<Runs> parts(questions.size());
    for (uint64_t at = 0; at < size; at += R) {
      for (const Extent& extent : extents(at, R)) {
        if (!pieces.empty() && pieces.back().zero == extent.zero)
          pieces.back().length += extent.length;
        else
          pieces.push_back(extent);
      }
      for (size_t i = 0; i < questions.size(); i++)
        for (const StatusRun& run : tree.must(tree.ask(*volume, questions[i], at, R, 100'000))) {
          if (!parts[i].empty() && parts[i].back().flags == run.flags)
            parts[i].back().length += run.length;
          else
            parts[i].push_back(run);
        }
      const uint64_t nothing =
          tree.must(run_for(*tree.world, run_on(device.home(), device.nothing_stored(at, size - at))));
      if (nothing > 0) REQUIRE(extents(at, nothing) == std::vector<Extent>{{nothing, true, true}});
    }
    CHECK(pieces == all);
    for (size_t i = 0; i < questions.size(); i++) CHECK(parts[i] == whole[i]);
  }
}

}  // namespace
}  // namespace atl::testing
