// record_store.h: region records, reference counts and garbage, durable in a Kv.
//
// One committer: commits from all reactors queue up, a group of them becomes one plan and one durable write. Reads run on
// the readers' pool against a snapshot. Every call is a task that resumes on the executor it was awaited on.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "io/executor.h"
#include "store/kv.h"
#include "store/records/layer_index.h"
#include "store/records/record_batch.h"
#include "store/records/region_record.h"

namespace atl {

/// One link of a chain, head first. `parent_limit_blocks`: how many blocks of the parent show through (design: parent limit).
struct ChainLayer {
  LayerId id;
  uint64_t parent_limit_blocks = 0;
  friend bool operator==(const ChainLayer&, const ChainLayer&) = default;
};

/// A chain whose layers are kept in the index for as long as anyone (an open resource, a walk under way) holds it.
class RetainedChain {
 public:
  RetainedChain(LayerIndex& index, std::vector<ChainLayer> layers);
  RetainedChain(const RetainedChain&) = delete;
  ~RetainedChain();
  const std::vector<ChainLayer>& layers() const { return layers_; }

 private:
  LayerIndex& index_;
  const std::vector<ChainLayer> layers_;
};

enum class Durability : uint8_t { durable, lazy };

class RecordStore {
 public:
  /// 2: small content chunks are kept here; 1 is read, and becomes 2 at the first start.
  static constexpr uint32_t format_version = 2;

  /// `committer` runs one job at a time; `readers` may run several.
  RecordStore(Kv& kv, JobSink& committer, JobSink& readers);

  /// Blocking, once before anything else: writes or checks the format version, and turns intents of a crashed run into garbage.
  Result<void> recover();

  /// All or nothing; durable when it answers (lazy: survives the process, not the power). After an error nothing of it holds.
  Task<Result<void>> commit(RecordBatch batch, Durability durability = Durability::durable);

  /// Every block's source as the head of the chain sees it; blocks without a source read as zeros.
  Task<Result<RegionRecord>> resolve(std::shared_ptr<const RetainedChain> chain, RegionIndex region);

  /// The first region in [from, end) for which a layer of the chain has a record that shows through to its head; `end` when there is
  /// none. Costs one seek for each layer, whatever the length of the range.
  Task<Result<uint32_t>> next_recorded(std::shared_ptr<const RetainedChain> chain, uint32_t from, uint32_t end);
  /// The same of the given layers (the upper ones of a chain, head first), at the instant of the snapshot. Blocking: on a thread that may.
  Result<uint32_t> next_recorded(std::span<const ChainLayer> layers, uint32_t from, uint32_t end,
                                 const KvSnapshot* snapshot);

  /// Regions >= from for which the layer has records, at most `max`, in order.
  Task<Result<std::vector<RegionIndex>>> regions(LayerId layer, RegionIndex from, uint32_t max);
  Task<Result<uint64_t>> content_references(Digest digest);
  /// The bytes of a small chunk, as long as its digest says and verified against it (`corrupt`). Nothing: it is not kept here, and a
  /// file of the data store's if it is anywhere.
  Task<Result<std::optional<std::string>>> small_content(Digest digest);
  Task<Result<std::vector<Garbage>>> garbage(uint32_t max);
  Task<Result<std::vector<DataFileId>>> garbage_files();
  /// Layers >= from that have records or left a data file behind, in order, each once; at most `max`.
  Task<Result<std::vector<LayerId>>> layers(LayerId from = LayerId::none, size_t max = SIZE_MAX);

  /// Blocking; for usage and check, on a thread that may block.
  Result<void> visit_records(LayerId layer, const std::function<void(RegionIndex, const RegionRecord&)>& visit);
  /// Likewise, for regions [first, end), at the instant of the snapshot.
  Result<void> visit_records(LayerId layer, uint32_t first, uint32_t end, const KvSnapshot* snapshot,
                             const std::function<void(RegionIndex, const RegionRecord&)>& visit);
  Kv& kv() { return kv_; }
  JobSink& readers() { return readers_; }

  LayerIndex& index() { return index_; }

  struct Counters {
    uint64_t commits = 0;  // durable writes; several batches may share one
    uint64_t records = 0;
    uint64_t resolved = 0;
    uint64_t scans = 0;  // of one layer's records
  };
  Counters counters() const;

  /// Called on the committer after a commit that made garbage.
  void on_garbage(std::function<void()> notify) { on_garbage_ = std::move(notify); }

 private:
  /// memory: what can be known without waiting, on any thread.
  enum class Reach : uint8_t { memory, disk };
  std::optional<Result<RegionRecord>> walk(const RetainedChain& chain, RegionIndex region, Reach reach);
  struct Pending : Job {
    RecordStore& store;
    RecordBatch batch;
    Durability durability;
    Executor* home = nullptr;
    std::coroutine_handle<> handle{};
    Result<void> result;
    Pending* after = nullptr;
    Pending(RecordStore& to, RecordBatch changes, Durability how)
        : store(to), batch(std::move(changes)), durability(how) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiter);
    Result<void> await_resume() { return std::move(result); }
  };
  struct Drain : Job {
    RecordStore* store = nullptr;
  };

  Result<void> visit_range(const std::string& from, const std::string& to, const KvSnapshot* snapshot,
                           const std::function<void(RegionIndex, const RegionRecord&)>& visit);
  void drain();
  static bool mixed(const Pending* group);
  Result<void> commit_group(Pending* first, bool& garbage);

  Kv& kv_;
  JobSink& committer_;
  JobSink& readers_;
  LayerIndex index_;
  std::mutex mutex_;
  Pending* first_ = nullptr;
  Pending** last_ = &first_;
  bool draining_ = false;
  Drain drain_;
  std::function<void()> on_garbage_;
  std::atomic<uint64_t> commits_{0};
  std::atomic<uint64_t> records_{0};
  std::atomic<uint64_t> resolved_{0};
  std::atomic<uint64_t> scans_{0};
};

}  // namespace atl
