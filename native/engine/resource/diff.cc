#include "engine/resource/diff.h"

#include <algorithm>

namespace atl {
namespace {

constexpr uint32_t window_regions = 1024;
constexpr uint32_t answer_windows = 64;

struct View {
  std::vector<ChainLayer> layers;
  uint64_t size_bytes;
};
Task<View> view_of(Resource* resource) { co_return View{resource->chain()->layers(), resource->size_bytes()}; }

/// The topmost layer that both chains have; none when there is no such layer.
LayerId common_layer(const std::vector<ChainLayer>& a, const std::vector<ChainLayer>& b) {
  for (const ChainLayer& layer : a)
    if (std::any_of(b.begin(), b.end(), [&](const ChainLayer& other) { return other.id == layer.id; })) return layer.id;
  return LayerId::none;
}

}  // namespace

Task<Result<std::vector<StatusRun>>> diff(Resource& of, Resource& base, uint64_t offset, uint64_t length,
                                          uint32_t max_runs) {
  VERIFY(length > 0 && max_runs > 0);
  const View view = co_await run_on(of.home(), view_of(&of));
  const View base_view = co_await run_on(base.home(), view_of(&base));
  if (offset > view.size_bytes || length > view.size_bytes - offset)
    co_return Error{Code::out_of_range, "resource " + of.id() + ": the question ends past its " +
                                            std::to_string(view.size_bytes) + " bytes"};
  const LayerId common = common_layer(view.layers, base_view.layers);
  if (common == LayerId::none)
    co_return Error{Code::invalid,
                    "resources " + of.id() + " and " + base.id() + " have no layer in common: all of it may differ"};
  StatusRuns runs(offset, length, max_runs);
  const auto regions = static_cast<uint32_t>((offset + length + region_bytes - 1) / region_bytes);
  for (uint32_t done = 0; done < answer_windows && !runs.complete(); done++) {
    const auto first = static_cast<uint32_t>(runs.at() / region_bytes);
    const RegionSpan span{first, std::min(regions, first + window_regions)};
    Result<Changes> changes = co_await run_on(of.home(), of.changes_since(common, span, regions));
    if (!changes) co_return changes.error();
    const Result<Changes> others = co_await run_on(base.home(), base.changes_since(common, span, regions));
    if (!others) co_return others.error();
    Decided& decided = changes->decided;
    decided.end = std::min(decided.end, others->decided.end);
    for (const auto& [region, blocks] : others->decided.blocks) decided.blocks[region] |= blocks;
    changes->report(others->visible_blocks, runs);
  }
  co_return runs.take();
}

}  // namespace atl
