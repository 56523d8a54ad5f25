// block_set.h: a set of the 1024 blocks of one region, as a bitmap of 128 bytes.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/types.h"
#include "base/verify.h"

namespace atl {

/// Blocks [first, end) of one region; end <= blocks_per_region.
struct BlockRange {
  uint32_t first = 0;
  uint32_t end = 0;
  uint32_t count() const { return end - first; }
  friend bool operator==(const BlockRange&, const BlockRange&) = default;
};

class BlockSet {
 public:
  static constexpr uint32_t words = blocks_per_region / 64;

  BlockSet() = default;
  explicit BlockSet(BlockRange range) { add(range); }
  static BlockSet all() { return BlockSet{BlockRange{0, blocks_per_region}}; }

  bool contains(uint32_t block) const { return (words_[block / 64] >> (block % 64)) & 1; }
  void add(uint32_t block) { words_[block / 64] |= uint64_t{1} << (block % 64); }
  void remove(uint32_t block) { words_[block / 64] &= ~(uint64_t{1} << (block % 64)); }

  void add(BlockRange range) {
    VERIFY(range.first <= range.end && range.end <= blocks_per_region);
    for_words(range, [](uint64_t& word, uint64_t mask) { word |= mask; });
  }
  void remove(BlockRange range) {
    VERIFY(range.first <= range.end && range.end <= blocks_per_region);
    for_words(range, [](uint64_t& word, uint64_t mask) { word &= ~mask; });
  }

  bool empty() const {
    for (uint64_t word : words_)
      if (word != 0) return false;
    return true;
  }
  uint32_t count() const {
    uint32_t sum = 0;
    for (uint64_t word : words_) sum += static_cast<uint32_t>(std::popcount(word));
    return sum;
  }

  BlockSet& operator|=(const BlockSet& other) {
    for (uint32_t i = 0; i < words; i++) words_[i] |= other.words_[i];
    return *this;
  }
  BlockSet& operator&=(const BlockSet& other) {
    for (uint32_t i = 0; i < words; i++) words_[i] &= other.words_[i];
    return *this;
  }
  BlockSet& operator-=(const BlockSet& other) {
    for (uint32_t i = 0; i < words; i++) words_[i] &= ~other.words_[i];
    return *this;
  }
  friend BlockSet operator|(BlockSet a, const BlockSet& b) { return a |= b; }
  friend BlockSet operator&(BlockSet a, const BlockSet& b) { return a &= b; }
  friend BlockSet operator-(BlockSet a, const BlockSet& b) { return a -= b; }
  friend bool operator==(const BlockSet&, const BlockSet&) = default;

  /// The first block at or after `from` whose membership is `member`; blocks_per_region when there is none.
  uint32_t find(uint32_t from, bool member) const {
    while (from < blocks_per_region) {
      uint64_t word = member ? words_[from / 64] : ~words_[from / 64];
      word >>= from % 64;
      if (word != 0) return from + static_cast<uint32_t>(std::countr_zero(word));
      from = (from / 64 + 1) * 64;
    }
    return blocks_per_region;
  }

  /// Calls visit(BlockRange) for each maximal run of members, in order.
  template <class Visit>
  void for_runs(Visit visit) const {
    for (uint32_t first = find(0, true); first < blocks_per_region;) {
      const uint32_t end = find(first, false);
      visit(BlockRange{first, end});
      first = find(end, true);
    }
  }

  const std::array<uint64_t, words>& raw() const { return words_; }
  std::array<uint64_t, words>& raw() { return words_; }

 private:
  template <class Apply>
  void for_words(BlockRange range, Apply apply) {
    for (uint32_t at = range.first; at < range.end;) {
      const uint32_t bit = at % 64;
      const uint32_t n = std::min(64 - bit, range.end - at);
      const uint64_t mask = (n == 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1) << bit;
      apply(words_[at / 64], mask);
      at += n;
    }
  }

  std::array<uint64_t, words> words_{};
};

}  // namespace atl
