// block_set_test.cc: BlockSet against a naive model, step by step, from a printed seed.
#include <doctest/doctest.h>

#include <bitset>
#include <random>
#include <vector>

#include "base/block_set.h"

using namespace atl;

namespace {

using Model = std::bitset<blocks_per_region>;

BlockRange random_range(std::mt19937& random) {
  uint32_t a = random() % (blocks_per_region + 1), b = random() % (blocks_per_region + 1);
  // Edges of words are where bitmaps break.
  if (random() % 3 == 0) a = a / 64 * 64;
  if (random() % 3 == 0) b = b / 64 * 64;
  return a <= b ? BlockRange{a, b} : BlockRange{b, a};
}

std::vector<BlockRange> naive_runs(const Model& model) {
  std::vector<BlockRange> runs;
  for (uint32_t block = 0; block < blocks_per_region; block++) {
    if (!model[block]) continue;
    if (!runs.empty() && runs.back().end == block)
      runs.back().end++;
    else
      runs.push_back(BlockRange{block, block + 1});
  }
  return runs;
}

bool same(const BlockSet& set, const Model& model) {
  if (set.count() != model.count() || set.empty() != model.none()) return false;
  for (uint32_t block = 0; block < blocks_per_region; block++)
    if (set.contains(block) != model[block]) return false;
  return true;
}

uint32_t naive_find(const Model& model, uint32_t from, bool member) {
  while (from < blocks_per_region && model[from] != member) from++;
  return from;
}

}  // namespace

TEST_CASE("block set: random operations agree with a naive set") {
  const uint32_t seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  BlockSet sets[2];
  Model models[2];
  for (int step = 0; step < 4000; step++) {
    const uint32_t at = random() % 2;
    BlockSet& set = sets[at];
    Model& model = models[at];
    const BlockRange range = random_range(random);
    const uint32_t block = random() % blocks_per_region;
    switch (random() % 9) {
      case 0: set.add(block), model.set(block); break;
      case 1: set.remove(block), model.reset(block); break;
      case 2:
        set.add(range);
        for (uint32_t b = range.first; b < range.end; b++) model.set(b);
        break;
      case 3:
        set.remove(range);
        for (uint32_t b = range.first; b < range.end; b++) model.reset(b);
        break;
      case 4: set |= sets[1 - at], model |= models[1 - at]; break;
      case 5: set &= sets[1 - at], model &= models[1 - at]; break;
      case 6: set -= sets[1 - at], model &= ~models[1 - at]; break;
      case 7: set = BlockSet::all() - set, model.flip(); break;
      case 8:
        set = BlockSet{range}, model.reset();
        for (uint32_t b = range.first; b < range.end; b++) model.set(b);
    }
    REQUIRE(same(set, model));
    REQUIRE((sets[0] == sets[1]) == (models[0] == models[1]));
    const uint32_t from = random() % (blocks_per_region + 1);
    REQUIRE(set.find(from, true) == naive_find(model, from, true));
    REQUIRE(set.find(from, false) == naive_find(model, from, false));
    std::vector<BlockRange> runs;
    set.for_runs([&runs](BlockRange run) { runs.push_back(run); });
    REQUIRE((runs == naive_runs(model)));
  }
}

TEST_CASE("block set: the whole region and the empty range are no special cases") {
  BlockSet set = BlockSet::all();
  CHECK(set.count() == blocks_per_region);
  CHECK(set.find(0, false) == blocks_per_region);
  CHECK(set.find(blocks_per_region, true) == blocks_per_region);
  set.remove(BlockRange{0, 0});
  set.remove(BlockRange{blocks_per_region, blocks_per_region});
  CHECK((set == BlockSet::all()));
  set.remove(BlockRange{0, blocks_per_region});
  CHECK(set.empty());
  set.add(BlockRange{5, 5});
  CHECK(set.empty());
  CHECK(BlockRange{5, 9}.count() == 4);
}
