// region_map.h: where every block of one open resource comes from, in memory: one lookup, no ancestor walk.
//
// A region is unresolved, uniform (all blocks from one source: one word) or mixed (a byte per block and a table of the
// region's sources; two bytes in the rare region with more than 256 of them). Sources are interned in one table per resource.
//
// Invariants
//   1. A block of a resolved region has exactly one source; "nothing anywhere" is Source::zero().
//   2. An interned source lives as long as a region refers to it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "store/records/region_record.h"
#include "store/records/source.h"

namespace atl {

class RegionMap {
 public:
  RegionMap();
  ~RegionMap();
  RegionMap(const RegionMap&) = delete;

  bool resolved(RegionIndex region) const { return word(region) != 0; }
  /// The first region in [from, end) that is not resolved as zeros throughout; `end` when there is none.
  uint32_t end_of_zeros(uint32_t from, uint32_t end) const;
  /// The first region in [from, end) that is resolved and not zeros throughout; `end` when there is none.
  uint32_t next_data(uint32_t from, uint32_t end) const;

  /// From what the record store resolved; blocks that it does not supply are zeros.
  void install(RegionIndex region, const RegionRecord& record);
  /// Makes regions [first, end) unresolved again.
  void forget(uint32_t first, uint32_t end);

  /// Calls visit(BlockRange, const Source&) for each run of blocks with one source, in order. The region is resolved.
  template <class Visit>
  void for_runs(RegionIndex region, BlockRange range, Visit visit) const {
    const uint64_t at = word(region);
    VERIFY(at != 0 && range.end <= blocks_per_region);
    if (is_uniform(at)) {
      visit(range, table_[uniform_source(at)].source);
      return;
    }
    const Mixed& mixed = mixed_of(at);
    for (uint32_t first = range.first; first < range.end;) {
      const uint32_t slot = mixed.slot(first);
      uint32_t end = first + 1;
      while (end < range.end && mixed.slot(end) == slot) end++;
      visit(BlockRange{first, end}, table_[mixed.sources[slot]].source);
      first = end;
    }
  }

  /// Do all blocks of the range come from this data file? (I5: may they be overwritten in place?)
  bool all_from(RegionIndex region, BlockRange range, DataFileId file) const;

  void assign(RegionIndex region, BlockRange range, const Source& source);

  size_t mixed_regions() const { return mixed_regions_; }
  /// Bytes of this map, about.
  size_t memory_bytes() const;

 private:
  using SourceId = uint32_t;
  struct Interned {
    Source source;
    uint32_t references = 0;
  };
  struct Mixed {
    std::vector<SourceId> sources;
    std::array<uint8_t, blocks_per_region> narrow{};
    std::unique_ptr<std::array<uint16_t, blocks_per_region>> wide;  // once more than 256 sources were met
    uint32_t slot(uint32_t block) const { return wide ? (*wide)[block] : narrow[block]; }
    void set_slot(BlockRange range, uint32_t slot);
  };
  static constexpr uint32_t regions_per_page = 4096;
  using Page = std::array<uint64_t, regions_per_page>;

  // A word: 0 unresolved; ...01 uniform, the source's id above; ...10 a pointer to a Mixed.
  static constexpr uint64_t zeros_word = 1;  // uniform, of source 0
  /// The first region in [from, end) whose word does not satisfy `skip`; pages without any resolved region are skipped whole when a word of
  /// 0 satisfies it.
  template <class Skip>
  uint32_t first_not(uint32_t from, uint32_t end, Skip skip) const;
  static bool is_uniform(uint64_t word) { return (word & 3) == 1; }
  static SourceId uniform_source(uint64_t word) { return static_cast<SourceId>(word >> 2); }
  static Mixed& mixed_of(uint64_t word) { return *reinterpret_cast<Mixed*>(word & ~uint64_t{3}); }

  uint64_t word(RegionIndex region) const {
    const uint32_t page = number(region) / regions_per_page;
    if (page >= pages_.size() || !pages_[page]) return 0;
    return (*pages_[page])[number(region) % regions_per_page];
  }
  uint64_t& word_at(RegionIndex region);
  SourceId intern(const Source& source);
  void unreference(SourceId id);
  void clear(uint64_t& word);
  /// A mixed region in which one source is left becomes a word; sources that no block uses go.
  void tidy(uint64_t& word);

  std::vector<std::unique_ptr<Page>> pages_;
  std::deque<Interned> table_;
  std::vector<SourceId> free_;
  std::unordered_map<DataFileId, SourceId> files_;  // private sources are few and shared by many regions
  size_t mixed_regions_ = 0;
};

}  // namespace atl
