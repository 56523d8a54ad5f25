// content.h: the oracle of the simulator: what the cells of one resource may read as, now and after a crash.
//
// A cell is 256 bytes, half a sector: what every client changes as a whole. Each change writes into each cell a stamp that names
// both, so whatever a read finds tells who wrote it and where. Zeros are the stamp 0.
//
// Rules (docs/internals/reliability.md, "Simulated crashes")
//   1. A read may find any version that was not replaced before the read began: one is replaced when a change that began after
//      its end has ended well, or when a read that no change overlapped has found another one.
//   2. A crash may bring back any version that was not replaced before the last flush that ended well began.
//   3. A change that failed may have taken effect in any of its cells, and replaces nothing.
//   4. What is frozen (a snapshot, an upload) and has been read once never reads otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"

namespace atl::sim {

constexpr uint32_t cell_bytes = 256;
constexpr uint32_t cells_per_block = block_bytes / cell_bytes;

using Stamp = uint64_t;
constexpr Stamp zeros = 0;
/// What change `id` writes into the cell. Ids below 2^43, cells below 2^20 (256 MiB).
constexpr Stamp stamp_of(uint64_t id, uint64_t cell) { return id << 20 | cell; }
void fill_cell(Stamp stamp, MutableBytes cell);
/// Nothing where the bytes are not one stamp repeated.
std::optional<Stamp> read_cell(Bytes cell);

/// Cells [first, end).
struct CellRange {
  uint64_t first = 0;
  uint64_t end = 0;
};

enum class Outcome : uint8_t {
  done,
  durable,    // done, and no crash takes it back
  failed,     // it may have taken effect in part
  not_begun,  // it was refused before it could have any
};

class Content {
 public:
  /// `clock` orders all events of a run, and names changes.
  explicit Content(uint64_t& clock) : clock_(clock) {}

  /// A change is about to be asked for; answers its id. With `zero` it writes zeros.
  uint64_t begin_change(CellRange cells, bool zero);
  void end_change(uint64_t id, Outcome outcome);
  /// Puts stamps into fresh content, as an upload does.
  void put(uint64_t cell, Stamp stamp);

  /// Answers the moment, for end_read().
  uint64_t begin_read();
  /// What is wrong with the bytes that were read from `first_cell` on; nothing when all is as it may be. `settled`: what was
  /// read is durable, and nothing else was going on.
  std::optional<std::string> end_read(uint64_t began, uint64_t first_cell, Bytes bytes, bool settled);
  /// The same for a range that is told to be zeros; ends no read.
  std::optional<std::string> may_be_zeros(uint64_t began, CellRange cells);
  void give_up_read() { reads_--; }
  /// Blocks that may be anything but zeros.
  std::vector<uint64_t> known_blocks() const;

  /// A flush that began at `since` has ended well.
  void flushed(uint64_t since);
  /// Only what is durable is left: a power cut, a kill, or a resource closed after a failed sync.
  void lost_caches();
  /// Cells from here on are zeros, durably (a shrink).
  void truncate(uint64_t cell);
  /// What a snapshot or clone made now holds. Nobody is changing anything by now, though some may be waiting to.
  std::shared_ptr<Content> fork(bool frozen) const;
  void freeze() { frozen_ = true; }

  uint64_t tick() { return ++clock_; }
  template <class Visit>
  void for_changing(Visit visit) const {
    for (const Change& change : changing_) visit(change.cells);
  }
  /// Cells whose value is not certain, for tests.
  size_t doubts() const;

 private:
  static constexpr uint64_t never = UINT64_MAX;
  struct Version {
    Stamp stamp = zeros;
    uint64_t began = 0;  // of a change: its id
    uint64_t ended = never;
    uint64_t replaced = never;
    bool gone = false;  // no crash brings it back; a read that began before it was replaced may still see it
  };
  using Cell = std::vector<Version>;  // empty: zeros, for certain
  using Block = std::array<Cell, cells_per_block>;
  struct Change {
    uint64_t id;
    CellRange cells;
    bool zero;
  };

  /// Calls visit(cell number, Cell&) for the cells of blocks that are known.
  template <class Visit>
  void for_known(CellRange cells, Visit visit);
  Cell& known(uint64_t cell);
  void add_versions(const Change& change);
  void drop_gone(Cell& cell) const;
  std::string complaint(uint64_t cell, const Cell& versions, std::optional<Stamp> found, uint64_t began) const;

  uint64_t& clock_;
  std::map<uint64_t, Block> blocks_;
  std::vector<Change> changing_;
  uint32_t reads_ = 0;
  bool frozen_ = false;
};

/// "what change 41 wrote", for failures.
std::string describe(Stamp stamp);

}  // namespace atl::sim
