// engine.h: the operations of the engine (design.md, section 2) over open resources and layers. The tree itself (which layer
// hangs on which, which resource has which head) is the catalog's; the engine is told chains.
//
// Every public task may be awaited on any executor. What must be one after the other (open, close, chain changes, drop checks)
// runs on the first home, the registrar; data runs on each resource's own home.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/health/scrub.h"
#include "engine/resource/resource.h"
#include "engine/space/readings.h"
#include "engine/space/reclaimer.h"
#include "engine/uploads/ingest.h"

namespace atl {

struct MergeStep {
  LayerId parent;
  LayerId child;
  uint64_t limit_blocks;  // the child's parent limit: the parent's blocks beyond it go
  uint64_t cursor;        // first region to look at
  uint32_t max_regions;
};

class Engine {
 public:
  /// Blocking store work runs on `workers`, hashing of uploads on `hashers`. There is at least one home; they outlive the engine.
  Engine(StoreAccess stores, JobSink& workers, JobSink& hashers, std::vector<Executor*> homes);
  ~Engine();

  /// Once, before the first open: commits what an earlier process of this boot and mount had answered and not flushed, and removes
  /// the data files that the last run left without a record. Their layers may be live heads
  /// that are written to again, into a file of the same number: the reclaimer must not come across those later. The rest of the
  /// garbage goes in the background.
  Task<Result<void>> recover();

  // ---- resources ----

  /// Opens a resource or takes one more lease. The spec of the first open holds.
  Task<Result<void>> open(ResourceSpec spec);
  /// Gives one lease back; the last one waits for changes in flight, flushes, and forgets the resource whatever that answers.
  Task<Result<void>> close(std::string id);
  /// Null when not open. From any thread. The caller holds a lease for as long as it uses the resource.
  std::shared_ptr<Resource> find(const std::string& id) const;
  /// A read-only resource for one reader, who need not wait (readings.h). From any thread; before shutdown() ends he must be gone.
  Result<std::shared_ptr<Resource>> begin_reading(ResourceSpec spec) { return readings_.begin(std::move(spec)); }
  /// Is any lease held, or anybody reading? From any thread.
  bool is_open(const std::string& id) const { return find(id) != nullptr || readings_.has(id); }
  /// A lease taken by open() becomes a device that gives it back when its last owner drops it. Null when not open.
  std::shared_ptr<BlockDevice> adopt_lease(const std::string& id);

  /// False: not open. True: held, and durable; resume() must follow.
  Task<Result<bool>> quiesce(std::string id);
  Task<Result<void>> resume(std::string id, uint64_t size_bytes, std::vector<ChainLayer> layers);

  // ---- layers ----

  /// `busy` while the layer is in the chain of an open resource.
  Task<Result<void>> drop_layer(LayerId layer);
  /// The next cursor, or no_more_regions.
  Task<Result<uint64_t>> merge_step(MergeStep step);
  static constexpr uint64_t no_more_regions = UINT64_MAX;
  Task<Result<void>> unlink_layer(LayerId parent, LayerId child, uint64_t child_limit_blocks);

  // ---- uploads, space ----

  std::unique_ptr<Ingest> ingest(LayerId layer, const IngestOptions& options = {}) {
    return std::make_unique<Ingest>(layer, IngestParts{registrar(), stores_, hashers_, pins_, chunk_buffers_}, options);
  }
  /// Where an Ingest lives.
  Executor& registrar() const { return *homes_.front().executor; }
  Reclaimer& reclaimer() { return reclaimer_; }
  Task<Result<void>> reclaimed();
  /// On the registrar. Must not be under way at shutdown().
  Task<Result<ScrubStep>> scrub(JobSink& threads, ScrubFrom from) {
    return atl::scrub(stores_, pins_, reclaimer_, threads, from);
  }
  /// Likewise. The scrub of an earlier run found this chunk damaged.
  Task<Result<void>> mark_bad(Digest chunk) {
    pins_.mark_bad(chunk);
    co_return Result<void>{};
  }

  StoreAccess stores() const { return stores_; }
  size_t open_resources() const;

  /// Flushes and closes everything that is still open, waits for who is reading, and stops the reclaimer. Nobody may use the engine afterwards.
  Task<Result<void>> shutdown();

 private:
  struct Open {
    std::shared_ptr<Resource> resource;
    std::vector<ChainLayer> layers;
    uint32_t leases = 1;
    bool closing = false;
  };

  Task<Result<void>> recover_here();
  Task<Result<void>> recover_answered();
  Task<Result<void>> open_here(ResourceSpec spec);
  Task<Result<void>> close_here(std::string id, bool all_leases);
  Task<Result<bool>> quiesce_here(std::string id);
  Task<Result<void>> resume_here(std::string id, uint64_t size_bytes, std::vector<ChainLayer> layers);
  Task<Result<void>> drop_here(LayerId layer);
  Task<Result<void>> unlink_here(LayerId parent, LayerId child, uint64_t child_limit_blocks);
  Task<Result<void>> shutdown_here();
  Task<Result<void>> trust(DataFileId file);
  Open* entry(const std::string& id);

  StoreAccess stores_;
  JobSink& workers_;
  JobSink& hashers_;
  std::vector<std::unique_ptr<ReadEpochs>> epochs_;
  std::vector<Home> homes_;
  size_t next_home_ = 0;
  ContentPins pins_;
  ChunkBuffers chunk_buffers_;
  Reclaimer reclaimer_;
  Readings readings_;

  mutable std::mutex mutex_;  // guards the map's structure for find(); entries change on the registrar only
  std::unordered_map<std::string, Open> open_;
  std::unordered_set<std::string> opening_;  // not in open_ yet
  Waiters changed_;                          // open_ or opening_ did
  std::unordered_set<DataFileId> trusted_;   // all that can be read of these heads' files is durable, or this run's own
};

}  // namespace atl
