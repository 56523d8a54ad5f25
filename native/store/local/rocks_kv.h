// rocks_kv.h: Kv on RocksDB.
//
// Invariants
//   1. A durable write answers after fdatasync of the write-ahead log, which carries every earlier write with it.
//   2. After any failure but "no space" nothing is written any more until the map is opened again (I6): what the log holds is
//      in doubt, and only replaying it tells.
//   3. After "no space" the next write first brings the map back to a known state (a new log, everything in memory flushed);
//      while that fails, for want of space, the answer stays no_space.
//   4. A snapshot is released before its Kv is destroyed.
//   5. RocksDB writes no log file of its own (rocks_log.h).
//   6. A write that meets a full file system draws on the space reserve before it answers no_space.
//
// Why point-in-time recovery: a power cut may tear or reorder what was written to the log after its last sync. This mode keeps all up to
// the first record that is not whole; a sync covers the log's whole prefix, so no durable write is ever behind such a record.
// The stricter modes refuse to start over a torn tail of lazy writes, which is not damage but the usual end of a power cut. For the same reason
// logs are not recycled: RocksDB 7 recovers recycled logs only by skipping whatever looks damaged, durable or not.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "base/log_line.h"
#include "store/kv.h"
#include "store/space_reserve.h"

namespace rocksdb {
class DB;
class Status;
class WriteBatch;
struct WriteOptions;
}  // namespace rocksdb

namespace atl {

struct RocksKvOptions {
  bool read_only = false;                   // for check: takes no lock and writes nothing; fails when nothing is there
  uint64_t write_buffer_bytes = 64u << 20;  // of all memtables together
  uint64_t cache_bytes = 64u << 20;         // blocks, indexes and filters of tables
  int max_open_files = 512;
  /// What settle() answered once: a map that ends before it is `corrupt`, for its log was lost or cut short.
  uint64_t reach_min = 0;
  LogLine log{};                    // RocksDB's warnings and errors
  SpaceReserve* reserve = nullptr;  // outlives the map; null: none
};

class RocksKv final : public Kv {
 public:
  /// Creates the map when there is none. `busy`: another process has it open. `corrupt`: RocksDB says so.
  static Result<std::unique_ptr<RocksKv>> open(const std::string& directory, const RocksKvOptions& options = {});
  ~RocksKv() override;

  Result<std::optional<std::string>> get(std::string_view key, const KvSnapshot* snapshot) override;
  std::optional<Result<std::optional<std::string>>> get_in_memory(std::string_view key,
                                                                  const KvSnapshot* snapshot) override;
  Result<void> scan(std::string_view from, std::string_view to, const KvSnapshot* snapshot,
                    const std::function<bool(std::string_view key, std::string_view value)>& visit) override;
  std::unique_ptr<KvSnapshot> snapshot() override;
  Result<void> write(const std::vector<KvMutation>& mutations, bool durable) override;
  Result<uint64_t> settle() override;
  Result<void> write_without_reserve(const std::vector<KvMutation>& mutations, bool durable) override;
  bool low_on_space() const override { return reserve_ != nullptr && reserve_->low(); }

 private:
  using Flag = std::shared_ptr<std::atomic<bool>>;

  RocksKv(std::unique_ptr<rocksdb::DB> db, const RocksKvOptions& options, Flag out_of_space);
  Result<void> recover_space();
  Result<void> may_write();
  Result<void> commit(const rocksdb::WriteOptions& options, rocksdb::WriteBatch& batch);
  Error write_failure(const rocksdb::Status& status);
  bool memtable_is_empty();
  rocksdb::Status fill_empty_memtable();
  uint64_t current_log();
  void set_failed(const std::string& cause);

  const Flag out_of_space_;  // RocksDB takes no writes, or has stopped its background work; its threads set it
  std::unique_ptr<rocksdb::DB> db_;
  const bool read_only_;
  SpaceReserve* const reserve_;
  std::mutex recovering_;
  std::mutex filling_;                 // held from a change that is in no log to the next one that is
  std::atomic<uint64_t> full_log_{0};  // the log that the last write without space went to; 0: none
  std::mutex failing_;
  std::string first_failure_;  // guarded by failing_
  std::atomic<bool> failed_{false};
};

}  // namespace atl
