#include "engine/resource/layer_survey.h"

#include <algorithm>

namespace atl {
uint64_t visible_below(std::span<const ChainLayer> layers) {
  uint64_t limit = UINT64_MAX;
  for (const ChainLayer& layer : layers) limit = std::min(limit, layer.parent_limit_blocks);
  return limit;
}

Result<Decided> survey(RecordStore& records, std::span<const ChainLayer> layers, RegionSpan span, uint32_t seek_end,
                       const UnflushedRegions& unflushed, const VisitDecided& visit) {
  VERIFY(span.first < span.end && span.end <= seek_end);
  Decided decided;
  const auto decide = [&](RegionIndex region, uint32_t layer, BlockSet data, BlockSet zero, const BlockSet& visible) {
    BlockSet& known = decided.blocks[region];
    data = (data & visible) - known;
    zero = (zero & visible) - known;
    known |= data;
    known |= zero;
    if (visit && !(data.empty() && zero.empty())) visit(region, layer, data, zero);
    if (known.empty()) decided.blocks.erase(region);
  };
  decided.end = layers.empty() ? seek_end : span.end;
  if (layers.empty()) return decided;
  for (const auto& [region, blocks] : unflushed) decide(region, 0, blocks.owned, blocks.zeroed, BlockSet::all());

  const auto snapshot = records.kv().snapshot();
  uint64_t limit = UINT64_MAX;
  for (uint32_t at = 0; at < layers.size(); at++) {
    const RegionSpan seen{span.first, std::min(span.end, regions_of_blocks(limit))};
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
  if (!decided.blocks.empty()) return decided;
  Result<uint32_t> recorded = records.next_recorded(layers, span.end, seek_end, snapshot.get());
  if (!recorded) return recorded.error();
  decided.end = *recorded;
  return decided;
}

void Changes::report(uint64_t other_visible_blocks, StatusRuns& runs) const {
  const uint64_t hidden_from = std::min(visible_blocks, other_visible_blocks);
  const uint64_t hidden_end = std::max(visible_blocks, other_visible_blocks);
  // Up to a block: nothing was done there.
  const auto undecided = [&](uint64_t end) {
    runs.extend(std::min(end, hidden_from), 0);
    runs.extend(std::min(end, hidden_end), 1);
    runs.extend(end, 0);
  };
  for (const auto& [region, changed] : decided.blocks) {
    const uint64_t first = uint64_t{number(region)} * blocks_per_region;
    changed.for_runs([&](BlockRange run) {
      undecided(first + run.first);
      runs.extend(first + run.end, 1);
    });
    if (runs.complete()) return;
  }
  undecided(uint64_t{decided.end} * blocks_per_region);
}

}  // namespace atl
