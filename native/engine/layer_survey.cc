#include "engine/layer_survey.h"

#include <algorithm>

namespace atl {
namespace {

/// Blocks [from, end) of the resource, as far as they lie in the region.
BlockRange part_in(RegionIndex region, uint64_t from, uint64_t end) {
  const uint64_t first = uint64_t{number(region)} * blocks_per_region;
  const auto in_region = [&](uint64_t block) {
    return static_cast<uint32_t>(std::clamp(block, first, first + blocks_per_region) - first);
  };
  const BlockRange range{in_region(from), in_region(end)};
  return range.first < range.end ? range : BlockRange{};
}

}  // namespace

uint64_t visible_below(std::span<const ChainLayer> layers) {
  uint64_t limit = UINT64_MAX;
  for (const ChainLayer& layer : layers) limit = std::min(limit, layer.parent_limit_blocks);
  return limit;
}

Result<std::map<RegionIndex, BlockSet>> survey(RecordStore& records, std::span<const ChainLayer> layers,
                                               RegionSpan span, const UnflushedRegions& unflushed,
                                               const VisitDecided& visit) {
  std::map<RegionIndex, BlockSet> decided;
  const auto decide = [&](RegionIndex region, uint32_t layer, BlockSet data, BlockSet zero, const BlockSet& visible) {
    BlockSet& known = decided[region];
    data = (data & visible) - known;
    zero = (zero & visible) - known;
    known |= data;
    known |= zero;
    if (visit && !(data.empty() && zero.empty())) visit(region, layer, data, zero);
    if (known.empty()) decided.erase(region);
  };
  if (layers.empty()) return decided;
  for (const auto& [region, blocks] : unflushed) decide(region, 0, blocks.owned, blocks.zeroed, BlockSet::all());

  const auto snapshot = records.kv().snapshot();
  uint64_t limit = UINT64_MAX;
  for (uint32_t at = 0; at < layers.size(); at++) {
    const uint64_t visible_regions = (std::min(limit, max_resource_bytes) + blocks_per_region - 1) / blocks_per_region;
    const RegionSpan seen{span.first, static_cast<uint32_t>(std::min<uint64_t>(span.end, visible_regions))};
    if (seen.first >= seen.end) break;
    Result<void> visited = records.visit_records(
        layers[at].id, seen.first, seen.end, snapshot.get(), [&](RegionIndex region, const RegionRecord& record) {
          const uint64_t left = limit - uint64_t{number(region)} * blocks_per_region;
          BlockSet data, zero;
          for (const auto& [source, blocks] : record.sources())
            (source.kind == SourceKind::zero ? zero : data) |= blocks;
          decide(region, at, data, zero,
                 BlockSet{BlockRange{0, static_cast<uint32_t>(std::min<uint64_t>(left, blocks_per_region))}});
        });
    if (!visited) return visited.error();
    limit = std::min(limit, layers[at].parent_limit_blocks);
  }
  return decided;
}

void Changes::add_hidden(uint64_t other_visible_blocks, RegionSpan span) {
  const auto [from, end] = std::minmax(visible_blocks, other_visible_blocks);
  const auto first = static_cast<uint32_t>(std::max<uint64_t>(from / blocks_per_region, span.first));
  for (uint32_t at = first; at < span.end && uint64_t{at} * blocks_per_region < end; at++)
    blocks[RegionIndex{at}].add(part_in(RegionIndex{at}, from, end));
}

void Changes::tell(RegionSpan span, StatusRuns& runs) const {
  for (const auto& [region, changed] : blocks) {
    const uint64_t first = uint64_t{number(region)} * blocks_per_region;
    changed.for_runs([&](BlockRange run) {
      runs.extend(first + run.first, 0);
      runs.extend(first + run.end, 1);
    });
    if (runs.complete()) return;
  }
  runs.extend(uint64_t{span.end} * blocks_per_region, 0);
}

}  // namespace atl
