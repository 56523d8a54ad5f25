// head_changes.h: the blocks that were written to or zeroed in the head of an open resource and are not in its records yet, and the
// flush that puts them there.
//
// A change writes its bytes to the head's file, calls touched(), makes sure of room, and marks its blocks. A flush takes all marks, syncs
// the file and commits the marks as records. All calls are made on the home executor; nothing here is locked.
//
// Invariants (I2, I3, I6: docs/internals/reliability.md)
//   1. Order (I2, I3). A block is marked after its bytes were written and before its write is answered. A flush syncs the head's file before
//      it commits the marks that it took, and answers after both. Every mark has a shadow in the dirty log, if there is one.
//   2. Room. At most `regions_max` regions are marked or being committed, as many as the dirty log has slots. has_room() promises entries
//      for one change. A flush that begins breaks the promise, because a region that was marked then needs a second entry. So a
//      change marks its blocks in the turn in which has_room() returned true, and no flush begins before its last mark: Marks starts
//      the flush in the background at its end, and flush_once() aborts while Marks exists.
//   3. Lifetime. The flush in the background has no owner. Flushes run one after the other, and a flush that has woken its waiters does not
//      touch this object again. So the owner may destroy it, on any thread, once a flush() that began after the last change has
//      returned.
//   4. Failure (I6). After a failed sync or commit `failure_` is set, and every later flush fails. A commit that had no space is no
//      failure: the marks stay for the next flush.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/async.h"
#include "base/mutation.h"
#include "engine/resource/layer_survey.h"
#include "engine/resource/store_access.h"

namespace atl {

class HeadChanges {
 public:
  static constexpr size_t regions_max = DirtyLog::slots;
  /// From this number of marked regions on, a flush runs in the background: it ends before the rest is used up, or writers wait for it.
  static constexpr size_t flush_from_regions = regions_max / 4 * 3;
  /// One change marks fewer regions than this at once (it writes at most 64 MiB).
  static constexpr size_t change_regions_max = 64;

  /// `id` and `chain` are the owner's and outlive this object; the first layer of `chain` is the head.
  HeadChanges(const std::string& id, const std::shared_ptr<const RetainedChain>& chain, StoreAccess stores,
              Executor& home)
      : id_(id), chain_(chain), stores_(stores), home_(home) {}
  ~HeadChanges();
  HeadChanges(const HeadChanges&) = delete;

  // ---- a change ----

  /// Error `io` after a failure (invariant 4).
  Result<void> writable() const { return failure_ ? Result<void>{refusal()} : Result<void>{}; }

  /// Whether the record store knows that the head's file may exist; prepare() must come before the head's first change.
  bool prepared() const { return file_intended_; }
  Task<Result<void>> prepare();

  /// Must follow every write to the head's file, also a failed one: part of it may be there. After an I/O error what was not flushed is
  /// not trusted once this process has ended (I6).
  void touched(const Result<void>& changed);

  /// Whether the regions of blocks [first, end) can be marked in this turn.
  bool has_room(uint64_t first, uint64_t end) const;
  /// Flushes until has_room() is true. Nothing may be awaited between its return and the marks.
  Task<Result<void>> make_room(uint64_t first, uint64_t end);

  /// The marks of one change, all made in one turn. REQUIRES: has_room() returned true for them in this turn.
  class Marks {
   public:
    explicit Marks(HeadChanges& changes) : changes_(changes) {
      VERIFY(!changes_.marking_);
      changes_.marking_ = true;
    }
    Marks(const Marks&) = delete;
    ~Marks() {
      changes_.marking_ = false;
      // A client that never flushes must not use up the room.
      if (changes_.dirty_.size() >= flush_from_regions && !changes_.flushing()) spawn(changes_.flush_in_background());
    }
    /// The blocks have data in the head's file.
    void own(RegionIndex region, BlockRange blocks);
    /// The blocks read as zeros.
    void zero(RegionIndex region, const BlockSet& blocks);

   private:
    HeadChanges& changes_;
  };

  // ---- making durable ----

  /// Makes every change that was marked before this call durable.
  Task<Result<void>> flush();
  bool flushing() const { return flushes_started_ > flushes_ended_; }

  /// From now on the chain has another head. REQUIRES: nothing is marked and no flush is running.
  void next_head();

  // ---- questions ----

  /// Nothing is marked or being committed.
  bool empty() const { return dirty_.empty() && committing_.empty(); }
  /// Returns the marks of the span, also those that are being committed.
  UnflushedRegions unflushed(RegionSpan span) const;
  /// Returns the first region in [from, end) with marks; `end` when there is none.
  uint32_t first_unflushed(uint32_t from, uint32_t end) const;
#ifdef ATOLL_MUTATIONS
  /// For a merge that looks where it must not.
  BlockSet dirty_blocks(RegionIndex region) const {
    const auto found = dirty_.find(region);
    return found == dirty_.end() ? BlockSet{} : found->second.owned;
  }
#endif

 private:
  struct Dirty : Unflushed {
    DirtyLog::Slot* slot = nullptr;  // the shadow in the log, if there is one
  };
  using DirtyRegions = std::unordered_map<RegionIndex, Dirty>;

  LayerId head() const { return chain_->layers().front().id; }
  DataFileId head_file() const { return data_file_of(head()); }
  Error refusal() const;
  Dirty& dirty_at(RegionIndex region);
  void drop_log();
  Task<void> flush_in_background();
  Task<Result<void>> flush_once();
  void restore(RegionIndex region, const Dirty& old);
  RecordBatch batch_of(const DirtyRegions& dirty) const;

  const std::string& id_;
  const std::shared_ptr<const RetainedChain>& chain_;
  StoreAccess stores_;
  Executor& home_;

  DirtyRegions dirty_;             // the marks
  DirtyRegions committing_;        // taken out of dirty_ by the flush that is running; perhaps not in the records yet
  std::unique_ptr<DirtyLog> log_;  // of the head, from its first change on
  bool marking_ = false;           // Marks exists
  bool unsynced_ = false;          // bytes went to the head's file since its last sync
  bool file_intended_ = false;
  bool preparing_ = false;  // prepare() is running
  Waiters prepared_;
  std::optional<std::string> failure_;  // the message of the sync or commit that failed first

  uint64_t flushes_started_ = 0;
  uint64_t flushes_ended_ = 0;
  Waiters flushed_;
  Result<void> last_flush_;
};

}  // namespace atl
