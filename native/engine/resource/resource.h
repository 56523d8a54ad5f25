// resource.h: an open resource: its chain, its block map, and the rules by which reads and writes are safe.
//
// Lives on its home executor; nothing here is locked. Invariants (design.md, "Writing safely"):
//   I2 I3 I6  head_changes.h. I4: block_locks.h. I5: RegionMap::all_from(head's file).
//   I8  a block that is not the head's own is always written whole.
// Neither the head nor the size changes under a change: quiesce() waits for changes in flight. Reads, questions and sends are not waited
// for: after each suspension the resource may be smaller, the chain another one, and a region unresolved. They look again, and a
// range that is beyond the new end gets `out_of_range`.
// The caller keeps the resource open until its task has ended. Only tasks of head_changes.h have no owner, and settle() waits for them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/async.h"
#include "engine/block_device.h"
#include "engine/resource/block_locks.h"
#include "engine/resource/head_changes.h"
#include "engine/resource/layer_survey.h"
#include "engine/resource/read_epochs.h"
#include "engine/resource/region_map.h"
#include "engine/resource/status_runs.h"
#include "engine/resource/store_access.h"

namespace atl {

class SocketSender;

/// What the catalog says of a resource.
struct ResourceSpec {
  std::string id;
  uint64_t size_bytes = 0;
  bool read_only = false;
  std::vector<ChainLayer> layers;  // head first, never empty
};

/// `invalid` when a spec breaks a rule (no layer, too large, an rw size that is no multiple of block_bytes, a layer twice).
Result<void> judge(const ResourceSpec& spec);

class Resource final : public BlockDevice {
 public:
  Resource(ResourceSpec spec, StoreAccess stores, Executor& home, ReadEpochs& epochs);

  const std::string& id() const { return id_; }
  std::shared_ptr<const RetainedChain> chain() const { return chain_; }

  Executor& home() const override { return home_; }
  uint64_t size_bytes() const override { return size_bytes_; }
  bool read_only() const override { return read_only_; }
  Task<Result<void>> read(uint64_t offset, MutableBytes into) override;
  Task<Result<void>> read_sparse(uint64_t offset, MutableBytes into, std::vector<ZeroRun>& zeroes) override;
  bool cached(uint64_t offset, uint64_t length) override;
  std::optional<FileRange> lend(uint64_t offset, uint64_t length) override;
  /// The bytes of the range to a socket, without copying what can be had without (resource_send.cc). Called on home(), a loop.
  /// `cancelled` when the client is gone. Ends promptly after to.cancel(). As with several reads, what is written meanwhile may be
  /// part of it or not.
  Task<Result<void>> send(uint64_t offset, uint64_t length, SocketSender& to);
  Task<Result<void>> write(uint64_t offset, Bytes from, WriteFlags flags) override;
  Task<Result<void>> write_zeroes(uint64_t offset, uint64_t length, WriteFlags flags) override;
  Task<Result<void>> trim(uint64_t offset, uint64_t length, WriteFlags flags) override;
  Task<Result<void>> flush() override;
  Task<Result<void>> cache(uint64_t offset, uint64_t length) override;
  Task<Result<uint64_t>> nothing_stored(uint64_t offset, uint64_t length) override;
  Task<Result<std::vector<Extent>>> extents(uint64_t offset, uint64_t length, uint32_t max_extents) override;
  /// resource_status.cc. Also ends before max_runs where the question was about very much.
  Task<Result<std::vector<StatusRun>>> status(const StatusQuestion& question, uint64_t offset, uint64_t length,
                                              uint32_t max_runs) override;

  /// In layers above `since`, which is one of the chain; changes that were answered and not flushed yet are among them.
  /// `not_found`: the chain has no such layer (any more).
  Task<Result<Changes>> changes_since(LayerId since, RegionSpan span, uint32_t seek_end);

  /// Waits for changes in flight and makes them durable. When nobody calls any more, the resource may be destroyed after it.
  Task<Result<void>> settle();
  /// Holds new writes back, waits for those in flight, makes all durable. After an error writes go on as before.
  Task<Result<void>> quiesce();
  bool held() const { return held_; }
  /// Ends a quiesce: from now on this chain and size hold. What the blocks read as must be unchanged (snapshot, grow) or be
  /// hidden by a new head's limit (shrink).
  void resume(uint64_t size_bytes, std::vector<ChainLayer> layers);
  /// A merge moved all of `parent` into `child`: the chain, if it has them, goes on without the parent.
  void unlink(LayerId parent, LayerId child, uint64_t child_limit_blocks);

  size_t memory_bytes() const { return map_.memory_bytes(); }
#ifdef ATOLL_MUTATIONS
  /// For a merge that looks where it must not.
  BlockSet dirty_blocks(RegionIndex region) const { return changes_.dirty_blocks(region); }
#endif

 private:
  struct Segment {
    uint64_t offset;  // of the resource
    uint64_t length;
    Source source;
  };

  LayerId head() const { return chain_->layers().front().id; }
  DataFileId head_file() const { return data_file_of(head()); }
  /// The range was validated at the wire, but a shrink may have come between.
  Result<void> within(uint64_t offset, uint64_t length) const;

  /// When it returns, all regions of the range are resolved and the range is inside the resource, for the rest of this turn.
  Task<Result<void>> resolve(uint64_t offset, uint64_t length);
  Task<Result<void>> resolve_region(RegionIndex region);
  /// The first region in [from, end) that anything may be stored for; `end` when there is none.
  Task<Result<uint32_t>> end_of_nothing(uint32_t from, uint32_t end);
  void plan(uint64_t offset, uint64_t length, std::vector<Segment>& segments) const;
  Task<Result<void>> read_segment(const Segment& segment, MutableBytes into);
  std::optional<FileRange> locate(uint64_t offset, uint64_t length) const;
  Task<Result<uint64_t>> send_some(uint64_t offset, uint64_t length, SocketSender& to,
                                   std::optional<AlignedBuffer>& buffer);
  Task<Result<void>> read_mapped(uint64_t offset, MutableBytes into, std::vector<ZeroRun>* zeroes = nullptr);

  /// Every change goes through here: waits while writes are held, counts the change in flight, and makes the head's file known.
  Task<Result<void>> begin_change(uint64_t offset, uint64_t length);
  void end_change();
  Task<Result<void>> end_with(Result<void> result, WriteFlags flags);

  Task<Result<void>> write_blocks(uint64_t offset, Bytes from);
  Task<Result<void>> write_partial(uint64_t offset, Bytes from);
  Task<Result<void>> zero_partial(uint64_t offset, uint64_t length);
  Task<Result<void>> zero_blocks(uint64_t first_block, uint64_t end_block, bool keep_space);
  Task<Result<void>> zero_region(RegionIndex region, BlockRange range, bool keep_space);
  void own(RegionIndex region, BlockRange range, HeadChanges::Marks& marks);

  Task<Result<std::optional<Decided>>> survey_upper(size_t layers, RegionSpan span, uint32_t seek_end,
                                                    const VisitDecided& visit);
  Task<Result<void>> report_changed(const StatusQuestion& question, RegionSpan span, uint32_t seek_end,
                                    StatusRuns& runs);
  Task<Result<void>> report_depth(bool zeroes_count, RegionSpan span, uint32_t seek_end, StatusRuns& runs);

  const std::string id_;
  const bool read_only_;
  uint64_t size_bytes_;
  StoreAccess stores_;
  Executor& home_;
  ReadEpochs& epochs_;
  std::shared_ptr<const RetainedChain> chain_;

  RegionMap map_;
  std::unordered_map<RegionIndex, std::unique_ptr<Waiters>> resolving_;
  BlockLocks locks_;

  HeadChanges changes_;

  bool held_ = false;
  uint64_t changes_in_flight_ = 0;
  Waiters released_;  // held_ became false
  Waiters drained_;   // changes_in_flight_ became zero
};

}  // namespace atl
