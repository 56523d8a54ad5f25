// layer_survey.h: which layer of a chain decides each block, from records alone: no data is read.
//
// A block is decided by the first layer, from the head, whose record supplies it, with data or as zeros. This stays true
// through merges: what a merge moves goes from a layer into the one above it, and a chain that still has the lower one sees each
// record in one of the two (record_store.h: a walk sees one instant).
#pragma once

#include <functional>
#include <map>
#include <span>

#include "engine/resource/status_runs.h"
#include "store/records/record_store.h"

namespace atl {

/// What a live head will write into its records at its next flush.
struct Unflushed {
  BlockSet owned;   // data in the head's file
  BlockSet zeroed;  // trimmed or zeroed
};
using UnflushedRegions = std::map<RegionIndex, Unflushed>;

/// Regions [first, end).
struct RegionSpan {
  uint32_t first = 0;
  uint32_t end = 0;
};

/// Which blocks the layers of a survey decide.
struct Decided {
  std::map<RegionIndex, BlockSet> blocks;  // regions without any are left out
  /// The region before which the survey ended: the end of its span, or later where the span had nothing in it, and then nothing is
  /// decided before it.
  uint32_t end = 0;
};

/// What was done to a resource in the layers above one of its ancestors' layers.
struct Changes {
  Decided decided;
  uint64_t visible_blocks = 0;  // so many blocks of the ancestor, from the start, can be seen through those layers

  /// Reports 1 for each block that is changed, 0 for each that is not, up to the survey's end. The other resource sees the first
  /// `other_visible_blocks` of the common ancestor; blocks that only one of the two can see count as changed.
  void report(uint64_t other_visible_blocks, StatusRuns& runs) const;
};

/// Blocks of a region that one layer decides; `layer` counts from the head.
using VisitDecided = std::function<void(RegionIndex, uint32_t layer, const BlockSet& data, const BlockSet& zero)>;

/// Returns the blocks of the span that the given layers (the upper ones of a chain, head first) decide. When there are none, it seeks the
/// next region with a record, up to `seek_end` (>= span.end): a long stretch of nothing costs one seek for each layer. `unflushed` goes
/// before the head's records; between span.end and `seek_end` nothing is unflushed. Blocking: on a thread that may.
Result<Decided> survey(RecordStore& records, std::span<const ChainLayer> layers, RegionSpan span, uint32_t seek_end,
                       const UnflushedRegions& unflushed, const VisitDecided& visit = nullptr);

/// How many blocks, from the start, of what lies below the given layers show through them all.
uint64_t visible_below(std::span<const ChainLayer> layers);

}  // namespace atl
