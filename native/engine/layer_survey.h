// layer_survey.h: which layer of a chain decides each block, from records alone: no data is read.
//
// A block is decided by the first layer, from the head, whose record supplies it, with data or as zeros. This stays true
// through merges: what a merge moves goes from a layer into the one above it, and a chain that still has the lower one sees each
// record in one of the two (record_store.h: a walk sees one instant).
#pragma once

#include <functional>
#include <map>
#include <span>

#include "engine/status_runs.h"
#include "store/record_store.h"

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

/// What was done to a resource in the layers above one of its ancestors' layers.
struct Changes {
  std::map<RegionIndex, BlockSet> blocks;
  uint64_t visible_blocks = 0;  // so many blocks of the ancestor, from the start, can be seen through those layers

  /// Of what lies below, one sees so much and the other so much: what only one of them sees differs, too.
  void add_hidden(uint64_t other_visible_blocks, RegionSpan span);
  /// 1 for what is changed, 0 for the rest of the span.
  void tell(RegionSpan span, StatusRuns& runs) const;
};

/// Blocks of a region that one layer decides; `layer` counts from the head.
using VisitDecided = std::function<void(RegionIndex, uint32_t layer, const BlockSet& data, const BlockSet& zero)>;

/// Answers the blocks of the span that the given layers (the upper ones of a chain, head first) decide; regions without any
/// are left out. `unflushed` goes before the head's records. Blocking: on a thread that may.
Result<std::map<RegionIndex, BlockSet>> survey(RecordStore& records, std::span<const ChainLayer> layers,
                                               RegionSpan span, const UnflushedRegions& unflushed,
                                               const VisitDecided& visit = nullptr);

/// How many blocks, from the start, of what lies below the given layers show through them all.
uint64_t visible_below(std::span<const ChainLayer> layers);

}  // namespace atl
