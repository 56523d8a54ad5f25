// image.h: a sparse space in RAM, and a file as a disk has it: what is durable, and the changes since that a power cut may lose.
#pragma once

#include <array>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/types.h"
#include "sim/random.h"

namespace atl::sim {

/// What a device writes as one: a power cut leaves it old or new.
constexpr uint32_t sector_bytes = 512;

class Image {
 public:
  void read(uint64_t offset, MutableBytes into) const;
  void write(uint64_t offset, Bytes from);
  void clear(uint64_t offset, uint64_t length);
  uint64_t allocated_bytes() const { return blocks_.size() * block_bytes; }
  /// The file's length: holes do not shorten it.
  uint64_t end() const { return end_; }
  template <class Visit>
  void for_allocated(Visit visit) const {
    for (const auto& [block, bytes] : blocks_) visit(block);
  }
  /// How much a write to the range would add.
  uint64_t missing_bytes(uint64_t offset, uint64_t length) const;

 private:
  using Block = std::array<std::byte, block_bytes>;
  std::unordered_map<uint64_t, Block> blocks_;
  uint64_t end_ = 0;
};

/// A write, or zeros where `bytes` is empty.
struct Change {
  uint64_t number = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::vector<std::byte> bytes;
  bool ended = false;  // its caller was told, or is about to be
};

class SimFile {
 public:
  const Image& current() const { return current_; }
  uint64_t allocated_bytes() const { return current_.allocated_bytes(); }

  /// Takes effect at once, and is not durable. Answers its number for end().
  uint64_t begin(uint64_t offset, Bytes from);
  uint64_t begin_clear(uint64_t offset, uint64_t length);
  /// Keeps the block allocated, as a preallocated one is.
  uint64_t begin_zeros(uint64_t offset, uint64_t length);
  void end(uint64_t change);
  /// Those who made them are gone; the kernel goes on to write them.
  void end_all();
  /// A write that failed: any of its sectors may have been written.
  void begin_failed(uint64_t offset, Bytes from, Random& random);

  /// The changes that have ended now: those that a sync that starts now makes durable.
  std::vector<uint64_t> ended() const;
  void sync(const std::vector<uint64_t>& changes);
  /// The kernel gave up writing them back: what reads show and what is durable part company.
  void fail_sync(const std::vector<uint64_t>& changes, Random& random);

  /// Each change since the last sync is lost, kept, or kept in part, sector by sector.
  void cut_power(Random& random);
  /// Reads show what is durable.
  void drop_caches();

 private:
  uint64_t log(Change change);
  /// A page is written as it is then: with a change go the earlier ones that it overlaps, ended or not.
  std::vector<uint64_t> with_covered(const std::vector<uint64_t>& changes) const;
  static void apply(const Change& change, Image& to);
  static void apply_in_part(const Change& change, Image& to, Random& random);

  Image current_;
  Image durable_;
  std::list<Change> unsynced_;  // in order of number
  uint64_t next_number_ = 1;
};

}  // namespace atl::sim
