// resource_status.cc: what an open resource tells of its layers: depths, and what changed since an ancestor.
//
// A chain and the unflushed changes of its head are taken in one turn of the home, before the records are looked at: a change
// that was answered before is in one of them, whatever a flush does meanwhile. When the chain was replaced meanwhile all of it is
// done again: after a snapshot, a merge may have moved records into a layer that the old chain does not have.
#include <algorithm>
#include <array>

#include "engine/resource/resource.h"

namespace atl {
namespace {

// A question is answered window by window, in growing ones: the usual questioner wants a single run, and a survey of sparse
// layers costs little whatever its width. The last bounds the memory of one survey, the sum the time of one answer.
constexpr uint32_t first_window_regions = 16;
constexpr uint32_t changed_window_regions = 1024;  // 4 GiB: two sets of 128 bytes for each region
constexpr uint32_t depth_window_regions = 64;      // 4 KiB for each region
constexpr uint32_t answer_windows = 16;

constexpr uint64_t blocks_of(uint64_t bytes) { return (bytes + block_bytes - 1) / block_bytes; }

}  // namespace

/// The blocks of the span that the first `layers` layers decide; nothing when the chain was replaced meanwhile.
Task<Result<std::optional<Decided>>> Resource::survey_upper(size_t layers, RegionSpan span, uint32_t seek_end,
                                                            const VisitDecided& visit) {
  VERIFY(home_.on_thread());
  const std::shared_ptr<const RetainedChain> chain = chain_;
  VERIFY(layers <= chain->layers().size());
  const UnflushedRegions changes = changes_.unflushed(span);
  seek_end = changes_.first_unflushed(span.end, seek_end);
  co_await stores_.records.readers().schedule();
  auto decided = survey(stores_.records, std::span(chain->layers()).first(layers), span, seek_end, changes, visit);
  co_await home_.schedule();
  if (!decided) co_return decided.error();
  if (chain != chain_) co_return std::optional<Decided>{};
  co_return std::optional<Decided>{std::move(*decided)};
}

// ---- changes ----

Task<Result<Changes>> Resource::changes_since(LayerId since, RegionSpan span, uint32_t seek_end) {
  for (;;) {  // until the chain stays as it is for one look at the records
    const std::vector<ChainLayer>& layers = chain_->layers();
    const auto found =
        std::find_if(layers.begin(), layers.end(), [&](const ChainLayer& layer) { return layer.id == since; });
    if (found == layers.end())
      co_return Error{Code::not_found, "resource " + id_ + ": layer " + std::to_string(number(since)) +
                                           " is not, or no longer, among its ancestors"};
    const auto above = static_cast<size_t>(found - layers.begin());
    Changes changes;
    changes.visible_blocks = std::min(blocks_of(size_bytes_), visible_below(std::span(layers).first(above)));
    auto decided = co_await survey_upper(above, span, seek_end, nullptr);
    if (!decided) co_return decided.error();
    if (!*decided) continue;
    changes.decided = std::move(**decided);
    co_return changes;
  }
}

Task<Result<void>> Resource::report_changed(const StatusQuestion& question, RegionSpan span, uint32_t seek_end,
                                            StatusRuns& runs) {
  auto changes = co_await changes_since(question.since, span, seek_end);
  if (!changes) co_return changes.error();
  changes->report(blocks_of(question.since_bytes), runs);
  co_return Result<void>{};
}

// ---- depth ----

Task<Result<void>> Resource::report_depth(bool zeroes_count, RegionSpan span, uint32_t seek_end, StatusRuns& runs) {
  std::map<RegionIndex, std::array<uint32_t, blocks_per_region>> depths;
  std::optional<Decided> decided;
  while (!decided) {  // until the chain stays as it is for one look at the records
    depths.clear();
    const size_t layers = chain_->layers().size();
    const auto visit = [&](RegionIndex region, uint32_t layer, const BlockSet& data, const BlockSet& zero) {
      // In a chain of one layer a zero is no record (batch_of): the block is given back when it is flushed.
      const bool with_zeroes = zeroes_count && layers > 1;
      auto& of = depths[region];
      (with_zeroes ? data | zero : data).for_runs([&](BlockRange run) {
        std::fill(of.begin() + run.first, of.begin() + run.end, layer + 1);
      });
    };
    auto surveyed = co_await survey_upper(layers, span, seek_end, visit);
    if (!surveyed) co_return surveyed.error();
    decided = std::move(*surveyed);
  }
  for (const auto& [region, of] : depths) {
    const uint64_t first = uint64_t{number(region)} * blocks_per_region;
    runs.extend(first, 0);
    for (uint32_t at = 0; at < blocks_per_region; at++) runs.extend(first + at + 1, of[at]);
    if (runs.complete()) break;
  }
  runs.extend(uint64_t{decided->end} * blocks_per_region, 0);
  co_return Result<void>{};
}

// ---- questions ----

Task<Result<std::vector<StatusRun>>> Resource::status(const StatusQuestion& question, uint64_t offset, uint64_t length,
                                                      uint32_t max_runs) {
  VERIFY(home_.on_thread() && length > 0 && max_runs > 0);
  const bool changed = question.kind == StatusQuestion::Kind::changed;
  StatusRuns runs(offset, length, max_runs);
  const auto regions = static_cast<uint32_t>((offset + length + region_bytes - 1) / region_bytes);
  uint32_t window = first_window_regions;
  for (uint32_t done = 0; done < answer_windows && !runs.complete(); done++) {
    // A shrink may have come between two windows.
    if (Result<void> inside = within(offset, length); !inside) co_return inside.error();
    const auto first = static_cast<uint32_t>(runs.at() / region_bytes);
    const RegionSpan span{first, std::min(regions, first + window)};
    Result<void> reported;
    switch (question.kind) {
      case StatusQuestion::Kind::depth: reported = co_await report_depth(false, span, regions, runs); break;
      case StatusQuestion::Kind::decided: reported = co_await report_depth(true, span, regions, runs); break;
      case StatusQuestion::Kind::changed: reported = co_await report_changed(question, span, regions, runs); break;
      case StatusQuestion::Kind::allocation: VERIFY(!"a question for extents()");
    }
    if (!reported) co_return reported.error();
    window = std::min(window * 4, changed ? changed_window_regions : depth_window_regions);
  }
  co_return runs.take();
}

}  // namespace atl
