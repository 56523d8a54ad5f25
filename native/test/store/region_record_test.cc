#include <doctest/doctest.h>

#include <random>

#include "store/records/region_record.h"

namespace atl {
namespace {

BlockSet random_blocks(std::mt19937_64& random) {
  BlockSet blocks;
  for (int runs = static_cast<int>(random() % 6); runs >= 0; runs--) {
    const auto first = static_cast<uint32_t>(random() % blocks_per_region);
    const auto end = first + 1 + static_cast<uint32_t>(random() % (blocks_per_region - first));
    blocks.add(BlockRange{first, end});
  }
  return blocks;
}

Source random_source(std::mt19937_64& random) {
  switch (random() % 5) {
    case 0: return Source::zero();
    case 1: return Source::none();
    case 2: {
      Digest digest;
      digest.bytes[0] = static_cast<uint8_t>(random() % 3);
      return Source::content(digest, region_bytes);
    }
    case 3: return Source::inlined(std::string(1 + random() % inline_bytes_max, 'x'));
    default: return Source::private_data(DataFileId{1 + random() % 4});
  }
}

/// The naive model: a source for each block.
using Model = std::vector<Source>;
Model model_of(const RegionRecord& record) {
  Model model(blocks_per_region);
  for (const auto& [source, blocks] : record.sources())
    blocks.for_runs(
        [&, &s = source](BlockRange run) { std::fill(model.begin() + run.first, model.begin() + run.end, s); });
  return model;
}

RegionRecord random_record(std::mt19937_64& random, Model& model) {
  RegionRecord record;
  model.assign(blocks_per_region, Source::none());
  for (int i = static_cast<int>(random() % 12); i > 0; i--) {
    const Source source = random_source(random);
    const BlockSet blocks = random_blocks(random);
    record.assign(source, blocks);
    for (uint32_t block = 0; block < blocks_per_region; block++)
      if (blocks.contains(block)) model[block] = source;
  }
  return record;
}

}  // namespace

TEST_CASE("region record: assign and absorb do what a table of 1024 sources does, and the encoding brings it back") {
  for (uint64_t seed = 1; seed <= 300; seed++) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    Model child_model;
    Model parent_model;
    RegionRecord child = random_record(random, child_model);
    const RegionRecord parent = random_record(random, parent_model);
    REQUIRE(model_of(child) == child_model);
    const auto limit = static_cast<uint32_t>(random() % (blocks_per_region + 2));
    child.absorb(parent, limit);
    for (uint32_t block = 0; block < std::min(limit, blocks_per_region); block++)
      if (child_model[block].kind == SourceKind::none) child_model[block] = parent_model[block];
    REQUIRE(model_of(child) == child_model);
    if (child.empty()) continue;
    auto decoded = RegionRecord::decode(child.encode());
    REQUIRE(decoded.ok());
    CHECK(*decoded == child);
  }
}

TEST_CASE("region record: damaged bytes are corrupt, never a crash or an impossible record") {
  std::mt19937_64 random{7};
  for (int round = 0; round < 2000; round++) {
    Model model;
    const RegionRecord record = random_record(random, model);
    if (record.empty()) continue;
    std::string bytes = record.encode();
    switch (random() % 3) {
      case 0: bytes.resize(random() % bytes.size()); break;
      case 1: bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8); break;
      default: bytes.push_back(static_cast<char>(random())); break;
    }
    auto decoded = RegionRecord::decode(bytes);
    if (!decoded) {
      CHECK(decoded.error().code == Code::corrupt);
      continue;
    }
    BlockSet seen;
    for (const auto& entry : decoded->sources()) {
      CHECK(!entry.blocks.empty());
      CHECK((seen & entry.blocks).empty());
      seen |= entry.blocks;
    }
  }
}

}  // namespace atl
