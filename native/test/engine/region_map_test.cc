#include <doctest/doctest.h>

#include <random>

#include "engine/resource/region_map.h"

namespace atl {
namespace {

std::vector<Source> sources_of(const RegionMap& map, RegionIndex region) {
  std::vector<Source> blocks;
  map.for_runs(region, BlockRange{0, blocks_per_region},
               [&](BlockRange run, const Source& source) { blocks.insert(blocks.end(), run.count(), source); });
  return blocks;
}

}  // namespace

TEST_CASE("region map: random assigns read back as a plain table does, also with more than 256 sources in a region") {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const uint64_t files = seed % 2 == 0 ? 3 : 700;
    RegionMap map;
    constexpr uint32_t regions = 3;
    std::vector<std::vector<Source>> model(regions);
    for (uint32_t region = 0; region < regions; region++) {
      CHECK(!map.resolved(RegionIndex{region}));
      RegionRecord record;
      if (region == 1) record.assign(Source::private_data(DataFileId{5}), BlockSet::all());
      map.install(RegionIndex{region}, record);
      model[region].assign(blocks_per_region, region == 1 ? Source::private_data(DataFileId{5}) : Source::zero());
    }
    for (int step = 0; step < 1500; step++) {
      const auto region = static_cast<uint32_t>(random() % regions);
      const auto first = static_cast<uint32_t>(random() % blocks_per_region);
      const uint32_t longest = random() % 20 == 0 ? blocks_per_region : 8;
      const auto end = std::min(blocks_per_region, first + 1 + static_cast<uint32_t>(random() % longest));
      const BlockRange range = random() % 100 == 0 ? BlockRange{0, blocks_per_region} : BlockRange{first, end};
      const Source source = random() % 8 == 0 ? Source::zero() : Source::private_data(DataFileId{1 + random() % files});
      map.assign(RegionIndex{region}, range, source);
      std::fill(model[region].begin() + range.first, model[region].begin() + range.end, source);
      if (step % 50 == 0) REQUIRE(sources_of(map, RegionIndex{region}) == model[region]);
      const DataFileId file{1 + random() % files};
      bool all = true;
      for (uint32_t block = first; block < end; block++) all &= model[region][block] == Source::private_data(file);
      REQUIRE(map.all_from(RegionIndex{region}, BlockRange{first, end}, file) == all);
    }
    for (uint32_t region = 0; region < regions; region++) {
      REQUIRE(sources_of(map, RegionIndex{region}) == model[region]);
      map.forget(region, region + 1);
      CHECK(!map.resolved(RegionIndex{region}));
    }
    CHECK(map.mixed_regions() == 0);
  }
}

TEST_CASE("region map: a uniform terabyte takes 2 MiB") {
  RegionMap map;
  RegionRecord record;
  record.assign(Source::private_data(DataFileId{9}), BlockSet::all());
  for (uint32_t region = 0; region < (1ull << 40) / region_bytes; region++) map.install(RegionIndex{region}, record);
  CHECK(map.memory_bytes() < (3u << 20));
}

}  // namespace atl
