// dirty_log.h: what a layer's records do not say yet, kept where the end of this process cannot destroy it.
//
// Writes that were answered and not flushed are in the data file, but which blocks they are is only in this process's memory. A client
// that reconnects after a kill -9 counts on them: its next flush speaks for all that it was answered before, by whichever
// process. So the dirty sets of an open resource have a shadow in a mapped file, DIR/dirty/<layer>.<n>. The next start commits what it
// finds there, if the kernel and the mount of DIR are still the same: after a power cut, or on a disk that was taken away and lost its cache,
// the data may be missing, and the log is worth nothing. In doubt it is thrown away, and what was flushed is what there is.
//
// Invariants
//   1. A block enters the log when its bytes have been given to the kernel, and before its write is answered.
//   2. A slot is freed when what it says is durable in the records; a log goes when all of its slots are free, or what they say
//      must not become durable any more (a sync or a write failed).
//   3. The file's blocks are allocated before it is mapped: a store into the mapping never finds the disk full.
//   4. The bytes of a log are never synced. Only a kernel that has not restarted or unmounted reads what it wrote.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/block_set.h"
#include "base/result.h"
#include "base/task.h"
#include "base/types.h"
#include "io/executor.h"
#include "store/space_reserve.h"

namespace atl {

/// Of one layer. Belongs to one thread; closing it removes the file.
class DirtyLog {
 public:
  /// Enough for every region of 15 GiB at once. Whoever needs more flushes first.
  static constexpr uint32_t slots = 3839;

  /// One region's, as it lies in the file. `order` 0: free; later slots win over earlier ones of their region.
  struct Slot {
    uint64_t order;
    uint32_t region;
    uint32_t reserved;
    BlockSet owned;
    BlockSet zeroed;
  };

  ~DirtyLog();
  DirtyLog(const DirtyLog&) = delete;

  uint32_t free_slots() const { return static_cast<uint32_t>(free_.size()); }
  /// REQUIRES: free_slots() > 0.
  Slot& take(RegionIndex region);
  void free(Slot& slot);

 private:
  friend class DirtyLogs;
  DirtyLog(std::string path, std::byte* mapped);

  const std::string path_;
  std::byte* const mapped_;
  std::vector<uint32_t> free_;
  uint64_t next_order_ = 1;
};

/// Under which kernel and mount a log was written, and means something.
struct DirtyLogOrigin {
  std::string boot;    // the kernel's boot id, and which directory it is: a copy of one is another
  uint64_t mount = 0;  // STATX_MNT_ID_UNIQUE; 0: the kernel does not say
};

class DirtyLogs {
 public:
  /// What an earlier process of this boot left: blocks that were written or zeroed, and are in no record.
  struct Left {
    LayerId layer = LayerId::none;
    struct Region {
      RegionIndex region;
      BlockSet owned;
      BlockSet zeroed;
    };
    std::vector<Region> regions;
    std::string path;
  };

  /// Blocking. Makes DIR/dirty.
  static Result<std::unique_ptr<DirtyLogs>> open(const std::string& store_directory, JobSink& pool,
                                                 const SpaceReserve* reserve = nullptr);

  /// Whether logs are kept. Not where the kernel does not tell one mount from the next (before Linux 6.8).
  bool kept() const { return origin_.mount != 0; }
  /// How many left() threw away.
  uint64_t discarded() const { return discarded_; }

  /// Null where none is kept. The file work is done on the pool.
  Task<Result<std::unique_ptr<DirtyLog>>> create(LayerId layer);
  /// Before the first create(). Files of another boot or mount, and half-made ones, are removed.
  Task<Result<std::vector<Left>>> left();
  /// What it said is durable.
  Task<Result<void>> remove(std::string path);

 private:
  DirtyLogs(std::string directory, DirtyLogOrigin origin, JobSink& pool, const SpaceReserve* reserve)
      : directory_(std::move(directory)), origin_(std::move(origin)), pool_(pool), reserve_(reserve) {}
  Result<std::unique_ptr<DirtyLog>> create_here(LayerId layer, uint64_t turn);
  Result<std::vector<Left>> left_here();

  const std::string directory_;
  const DirtyLogOrigin origin_;
  JobSink& pool_;
  const SpaceReserve* const reserve_;
  std::atomic<uint64_t> turn_{0};
  std::atomic<uint64_t> discarded_{0};
};

}  // namespace atl
