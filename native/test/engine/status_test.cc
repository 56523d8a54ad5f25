// status_test.cc: what a resource tells of its layers, case by case: nothing that changed is left out (the property test says so
// too), and nothing else is told where the records know better.
#include <doctest/doctest.h>

#include "engine/resource/diff.h"
#include "test/support/engine_tree.h"
#include "test/support/told_runs.h"

namespace atl::testing {
namespace {

TEST_CASE("changed: nothing after a snapshot, then what was written, before and after a flush") {
  Tree tree;
  ModelResource& volume = tree.volume(4 * R);
  tree.write(volume, 0, 2 * R);
  ModelResource& since = tree.snapshot(volume);
  CHECK(tree.changed(volume, since) == Runs{{4 * R, 0}});
  tree.write(volume, R - B, 2 * B);
  tree.write(volume, 3 * R + 100, 1);
  const Runs expected{{R - B, 0}, {2 * B, 1}, {2 * R - B, 0}, {B, 1}, {R - B, 0}};
  CHECK(tree.changed(volume, since) == expected);
  tree.flush(volume);
  CHECK(tree.changed(volume, since) == expected);
  tree.write(volume, R, B);  // in place
  CHECK(tree.changed(volume, since) == expected);
}

TEST_CASE("changed: what is being flushed just now is told") {
  struct Both {
    static Task<Result<void>> ask(Resource* device, StatusQuestion question, Runs* runs) {
      auto told = co_await device->status(question, 0, R, 10);
      if (!told) co_return told.error();
      *runs = std::move(*told);
      co_return Result<void>{};
    }
    static Task<Result<void>> run(Resource* device, StatusQuestion question, Runs* runs) {
      std::vector<Task<Result<void>>> both;
      both.push_back(device->flush());
      both.push_back(ask(device, question, runs));
      Result<void> done = co_await when_all(std::move(both));
      co_return done;
    }
  };
  for (uint64_t seed = 1; seed <= 20; seed++) {
    CAPTURE(seed);
    Tree tree(seed);
    ModelResource& volume = tree.volume(R);
    ModelResource& since = tree.snapshot(volume);
    tree.write(volume, B, B);
    Resource& device = tree.open(volume);
    Runs runs;
    tree.must(run_for(*tree.world, run_on(device.home(), Both::run(&device, Tree::since_question(since), &runs))));
    CHECK(runs == Runs{{B, 0}, {B, 1}, {R - 2 * B, 0}});
  }
}

TEST_CASE("changed: a trim of what the ancestor has counts, a trim of nothing does not") {
  Tree tree;
  ModelResource& volume = tree.volume(2 * R);
  tree.write(volume, 0, B);
  ModelResource& since = tree.snapshot(volume);
  tree.trim(volume, 0, R);
  for (int i = 0; i < 2; i++) {
    CHECK(tree.changed(volume, since) == Runs{{B, 1}, {2 * R - B, 0}});
    tree.flush(volume);
  }
}

TEST_CASE("changed: a snapshot between is deleted and merged, and what was written before it still counts") {
  Tree tree;
  ModelResource& volume = tree.volume(2 * R);
  tree.write(volume, 0, 3 * B);
  ModelResource& since = tree.snapshot(volume);
  tree.write(volume, 0, B);
  ModelResource& between = tree.snapshot(volume);
  tree.write(volume, R, B);
  const Runs expected{{B, 1}, {R - B, 0}, {B, 1}, {R - B, 0}};
  CHECK(tree.changed(volume, since) == expected);
  CHECK(tree.changed(volume, between) == Runs{{R, 0}, {B, 1}, {R - B, 0}});
  CHECK(tree.changed(between, since) == Runs{{B, 1}, {2 * R - B, 0}});
  const size_t layers = tree.catalog.layers.size();
  tree.remove(between);
  tree.reap();
  CHECK(tree.catalog.layers.size() == layers - 1);
  CHECK(tree.changed(volume, since) == expected);
}

TEST_CASE("changed: an older snapshot is deleted and merged into the one asked for: nothing more is told") {
  Tree tree;
  ModelResource& volume = tree.volume(2 * R);
  tree.write(volume, 0, B);
  ModelResource& older = tree.snapshot(volume);
  tree.write(volume, B, B);
  ModelResource& since = tree.snapshot(volume);
  tree.write(volume, 2 * B, B);
  tree.remove(older);
  tree.reap();
  CHECK(tree.changed(volume, since) == Runs{{2 * B, 0}, {B, 1}, {2 * R - 3 * B, 0}});
}

TEST_CASE("changed: of a snapshot whose layer has been merged away it is not told anything, but refused") {
  Tree tree;
  ModelResource& volume = tree.volume(R);
  ModelResource& since = tree.snapshot(volume);
  const StatusQuestion question = Tree::since_question(since);
  tree.write(volume, 0, B);
  tree.remove(since);
  tree.reap();
  const auto answer = tree.ask(volume, question, 0, R);
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().code == Code::not_found);
  CHECK(answer.error().message.find("no longer") != std::string::npos);
}

TEST_CASE("changed: a shrink counts when the volume has grown again, a grown end does not before it is written") {
  Tree tree;
  ModelResource& volume = tree.volume(2 * R);
  tree.write(volume, 0, 2 * R);
  ModelResource& since = tree.snapshot(volume);
  tree.seal(volume, R + B);
  CHECK(tree.changed(volume, since) == Runs{{R + B, 0}});
  tree.grow(volume, 4 * R);
  const Runs expected{{R + B, 0}, {R - B, 1}, {2 * R, 0}};
  CHECK(tree.changed(volume, since) == expected);
  tree.reap();  // the layer that the shrink left
  CHECK(tree.changed(volume, since) == expected);
  tree.write(volume, 3 * R, B);
  CHECK(tree.changed(volume, since).size() == 5);
}

TEST_CASE("changed: a larger clone of an image differs from it where it was written") {
  Tree tree;
  ModelResource& origin = tree.volume(R);
  tree.write(origin, 0, R);
  ModelResource& image = tree.snapshot(origin);
  ModelResource& clone = tree.clone(image, 3 * R);
  CHECK(tree.changed(clone, image) == Runs{{3 * R, 0}});
  tree.write(clone, R - B, 2 * B);
  CHECK(tree.changed(clone, image) == Runs{{R - B, 0}, {2 * B, 1}, {2 * R - B, 0}});
}

TEST_CASE("changed: an answer ends at the largest count of runs, and goes on from there") {
  Tree tree;
  ModelResource& volume = tree.volume(64 * R);
  ModelResource& since = tree.snapshot(volume);
  for (uint64_t at = 0; at < 40; at++) tree.write(volume, at * R, B);
  Runs all;
  uint64_t at = 100;
  while (at < volume.bytes.size()) {
    const Runs some = tree.must(tree.ask(volume, Tree::since_question(since), at, volume.bytes.size() - at, 3));
    REQUIRE(some.size() <= 3);
    for (const StatusRun& run : some) {
      all.push_back(run);
      at += run.length;
    }
  }
  CHECK(at == volume.bytes.size());
  CHECK(all.front() == StatusRun{B - 100, 1});
  CHECK(all.size() == 80);
}

TEST_CASE("diff: two clones of one image differ where either was written") {
  Tree tree;
  ModelResource& origin = tree.volume(4 * R);
  tree.write(origin, 0, 4 * R);
  ModelResource& image = tree.snapshot(origin);
  ModelResource& a = tree.clone(image, 4 * R);
  ModelResource& b = tree.clone(image, 4 * R);
  tree.write(a, 0, B);
  tree.write(b, B, B);
  tree.write(b, 2 * R, B);
  const Runs runs = tree.must(run_for(*tree.world, diff(tree.open(a), tree.open(b), 0, 4 * R, 100)));
  CHECK(runs == Runs{{2 * B, 1}, {2 * R - 2 * B, 0}, {B, 1}, {2 * R - B, 0}});
}

TEST_CASE("diff: of a volume and itself there is none, of strangers it is refused, past the end too") {
  Tree tree;
  ModelResource& volume = tree.volume(R);
  ModelResource& stranger = tree.volume(R);
  tree.write(volume, 0, B);
  CHECK(tree.must(run_for(*tree.world, diff(tree.open(volume), tree.open(volume), 0, R, 9))) == Runs{{R, 0}});
  CHECK(run_for(*tree.world, diff(tree.open(volume), tree.open(stranger), 0, R, 9)).error().code == Code::invalid);
  CHECK(run_for(*tree.world, diff(tree.open(volume), tree.open(volume), 1, R, 9)).error().code == Code::out_of_range);
}

TEST_CASE("depth: data counts layers from the head, zeros count in the layer that made them only when asked for") {
  Tree tree;
  ModelResource& volume = tree.volume(2 * R);
  tree.write(volume, 0, 4 * B);
  tree.snapshot(volume);
  tree.write(volume, 0, B);
  tree.trim(volume, B, B);
  tree.snapshot(volume);
  tree.write(volume, 3 * B, B);
  for (int i = 0; i < 2; i++) {
    CHECK(tree.depths(volume, StatusQuestion::Kind::depth) == Runs{{B, 2}, {B, 0}, {B, 3}, {B, 1}, {2 * R - 4 * B, 0}});
    CHECK(tree.depths(volume, StatusQuestion::Kind::decided) == Runs{{2 * B, 2}, {B, 3}, {B, 1}, {2 * R - 4 * B, 0}});
    tree.flush(volume);
  }
}

TEST_CASE("depth: what a clone's parent has beyond the clone's view of it does not count") {
  Tree tree;
  ModelResource& volume = tree.volume(2 * R);
  tree.write(volume, 0, 2 * R);
  tree.seal(volume, R + 2 * B);
  tree.grow(volume, 3 * R);
  CHECK(tree.depths(volume, StatusQuestion::Kind::depth) == Runs{{R + 2 * B, 2}, {2 * R - 2 * B, 0}});
  CHECK(tree.depths(volume, StatusQuestion::Kind::decided) == Runs{{R + 2 * B, 2}, {2 * R - 2 * B, 0}});
}

TEST_CASE("depth: a trim in a volume without ancestors leaves nothing") {
  Tree tree;
  ModelResource& volume = tree.volume(R);
  tree.write(volume, 0, 2 * B);
  tree.flush(volume);
  tree.trim(volume, 0, B);
  for (int i = 0; i < 2; i++) {
    CHECK(tree.depths(volume, StatusQuestion::Kind::decided) == Runs{{B, 0}, {B, 1}, {R - 2 * B, 0}});
    tree.flush(volume);
  }
}

TEST_CASE("extents: holes are just what no layer stores data for") {
  Tree tree;
  ModelResource& volume = tree.volume(2 * R);
  tree.write(volume, B, 2 * B);
  tree.snapshot(volume);
  tree.trim(volume, B, B);
  tree.write(volume, R + 1, 1);
  Resource& device = tree.open(volume);
  const auto extents = tree.must(run_for(*tree.world, run_on(device.home(), device.extents(0, 2 * R, 100))));
  const std::vector<Extent> expected{
      {2 * B, true, true}, {B, false, false}, {R - 3 * B, true, true}, {B, false, false}, {R - B, true, true}};
  CHECK(extents == expected);
}

}  // namespace
}  // namespace atl::testing
