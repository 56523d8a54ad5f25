// region_record.h: what one layer knows about one region, and its form on disk (docs/internals/format.md, "Region record").
//
// Invariants
//   1. The sets of a record are disjoint: each block has at most one source.
//   2. A set is never empty, and no two entries have the same source.
//   3. A source of kind `none` is never stored: a block that no entry supplies belongs to the parent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/block_set.h"
#include "base/result.h"
#include "store/records/source.h"

namespace atl {

class RegionRecord {
 public:
  bool empty() const { return sources_.empty(); }
  const std::vector<SourcedBlocks>& sources() const { return sources_; }

  /// All blocks that this record supplies.
  BlockSet supplied() const;

  /// From now on `blocks` come from `source`, whatever the record said; kind `none` gives them back to the parent.
  void assign(const Source& source, const BlockSet& blocks);

  /// A merge: takes what the parent's record supplies below `limit_blocks` and this one does not (design: layer tree, merge).
  void absorb(const RegionRecord& parent, uint32_t limit_blocks);

  std::string encode() const;
  /// `corrupt` when the bytes are not a record of this version; every bound is checked.
  static Result<RegionRecord> decode(std::string_view bytes);

  friend bool operator==(const RegionRecord&, const RegionRecord&) = default;

 private:
  std::vector<SourcedBlocks> sources_;
};

}  // namespace atl
