// commit_plan.h: turns changes into the key-value mutations of one atomic write: new records, reference counts, garbage.
//
// Invariants
//   1. A data file's count is the number of records that mention it; a chunk's likewise.
//   2. At rest, a block of a data file is mentioned by one record at most (chunks are what is shared).
//   3. Whatever stops being mentioned becomes garbage in the same write (I9), except the blocks of a live head's own file:
//      the head punches those in place itself, and may be writing there again already.
//   4. What a new record mentions is no garbage any more.
//   5. The bytes of a small chunk are there as long as records mention it or it is garbage (open resources may still be reading it).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/kv.h"
#include "store/records/record_batch.h"
#include "store/records/region_record.h"

namespace atl {

class CommitPlan {
 public:
  explicit CommitPlan(Kv& kv) : kv_(kv) {}

  /// Applies one batch on top of those applied before. `corrupt` when what is stored cannot be read: then throw the plan away.
  Result<void> apply(const RecordBatch& batch);

  std::vector<KvMutation> mutations() const;
  size_t records_changed() const { return records_.size(); }
  /// New garbage, for the reclaimer to start on once the write is durable.
  bool makes_garbage() const { return makes_garbage_; }

 private:
  using RecordAt = std::pair<LayerId, RegionIndex>;
  using BlocksAt = std::pair<DataFileId, RegionIndex>;

  Result<void> apply_one(const AssignBlocks& change);
  Result<void> apply_one(const StoreContent& change);
  Result<void> apply_one(const AbsorbRegion& change);
  Result<void> apply_one(const DropRegion& change);
  Result<void> apply_one(const IntendFile& change);
  Result<void> apply_one(const IntendContent& change);
  Result<void> apply_one(const RetireFile& change);
  Result<void> apply_one(const RetireContent& change);
  Result<void> apply_one(const Reclaimed& change);

  Result<RegionRecord*> record(RecordAt at);
  Result<uint64_t*> count(std::string key);
  Result<BlockSet*> garbage(BlocksAt at);

  enum class Reason : uint8_t { live_head, merge, drop };
  /// Books the step from `before` to `after` (records of the region, of one layer or of parent and child together).
  Result<void> book(RegionIndex region, LayerId layer, const std::vector<const RegionRecord*>& before,
                    const std::vector<const RegionRecord*>& after, Reason reason);
  Result<void> mention(const Source& source, bool added, LayerId layer, Reason reason);

  Kv& kv_;
  std::map<RecordAt, RegionRecord> records_;
  template <class T>
  struct Edited {
    T stored;
    T now;
  };
  std::map<std::string, Edited<uint64_t>> counts_;
  std::map<BlocksAt, Edited<BlockSet>> garbage_;
  std::map<std::string, bool> marks_;  // gf, gc, if, ic: present or not
  std::map<std::string, std::optional<std::string>> small_;
  bool makes_garbage_ = false;
};

}  // namespace atl
