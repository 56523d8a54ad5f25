#include "store/local/rocks_kv.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/transaction_log.h>
#include <rocksdb/write_batch.h>

#include <algorithm>

#include "store/local/rocks_log.h"
#include "store/local_directory.h"

namespace atl {
namespace {

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& text) { return {text.data(), text.size()}; }

Error error_of(const rocksdb::Status& status, const std::string& what) {
  Code code = Code::io;
  if (status.IsNoSpace()) code = Code::no_space;
  if (status.IsCorruption()) code = Code::corrupt;
  return Error{code, "records: " + what + ": " + status.ToString()};
}

class RocksSnapshot final : public KvSnapshot {
 public:
  explicit RocksSnapshot(rocksdb::DB& db) : db_(db), snapshot_(db.GetSnapshot()) {}
  ~RocksSnapshot() override { db_.ReleaseSnapshot(snapshot_); }
  const rocksdb::Snapshot* get() const { return snapshot_; }

 private:
  rocksdb::DB& db_;
  const rocksdb::Snapshot* snapshot_;
};

rocksdb::ReadOptions read_options(const KvSnapshot* snapshot) {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  if (snapshot != nullptr) options.snapshot = static_cast<const RocksSnapshot*>(snapshot)->get();
  return options;
}

rocksdb::CompressionType compression() {
  const std::vector<rocksdb::CompressionType> built_in = rocksdb::GetSupportedCompressions();
  const bool lz4 = std::find(built_in.begin(), built_in.end(), rocksdb::kLZ4Compression) != built_in.end();
  return lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
}

// RocksDB would look for space by itself, every five seconds, and refuse a Resume() meanwhile. Ours comes with the next write.
class NoOwnRecovery final : public rocksdb::EventListener {
 public:
  explicit NoOwnRecovery(std::shared_ptr<std::atomic<bool>> out_of_space) : out_of_space_(std::move(out_of_space)) {}
  /// A compaction that finds no space fails no write, but RocksDB stops flushing and compacting until it is resumed.
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    if (error->IsNoSpace()) *out_of_space_ = true;
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* by_itself) override {
    *by_itself = false;
  }

 private:
  const std::shared_ptr<std::atomic<bool>> out_of_space_;
};

rocksdb::Options rocks_options(const RocksKvOptions& from, const std::shared_ptr<std::atomic<bool>>& out_of_space) {
  rocksdb::Options options;
  options.create_if_missing = !from.read_only;
  options.paranoid_checks = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.track_and_verify_wals_in_manifest = true;  // a lost log is damage, not an early end

  options.listeners.push_back(std::make_shared<NoOwnRecovery>(out_of_space));

  // Memory: the memtables' budget, the cache's, and nothing mapped.
  options.db_write_buffer_size = from.write_buffer_bytes;
  options.write_buffer_size = from.write_buffer_bytes / 4;
  options.max_write_buffer_number = 4;
  options.max_total_wal_size = from.write_buffer_bytes;
  options.max_open_files = from.max_open_files;
  options.allow_mmap_reads = false;
  options.allow_mmap_writes = false;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(from.cache_bytes);
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = compression();
  options.level_compaction_dynamic_level_bytes = true;
  options.max_background_jobs = 2;
  options.bytes_per_sync = 1 << 20;  // tables go to the disk as they are written, so that no log sync waits for them

  options.info_log = rocks_logger(from.log);
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  // What is in no log is worth nothing (fill_empty_memtable).
  options.avoid_flush_during_shutdown = true;
  // While no compaction finds space, deletions must get through all the same.
  options.level0_stop_writes_trigger = 1000;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_manifest_file_size = 16 << 20;
  // Each log would first get 18 MiB in a row, for which a fragmented file system looks long; it grows as well without.
  options.allow_fallocate = false;
  options.skip_stats_update_on_db_open = true;  // start-up must not read every table
  return options;
}

}  // namespace

RocksKv::RocksKv(std::unique_ptr<rocksdb::DB> db, const RocksKvOptions& options, Flag out_of_space)
    : out_of_space_(std::move(out_of_space)),
      db_(std::move(db)),
      read_only_(options.read_only),
      reserve_(options.reserve) {}

RocksKv::~RocksKv() = default;

Result<std::unique_ptr<RocksKv>> RocksKv::open(const std::string& directory, const RocksKvOptions& options) {
  // RocksDB would do it too, and complain that it had to.
  if (!options.read_only)
    if (Result<void> made = make_directory(directory); !made) return std::move(made.error());
  auto out_of_space = std::make_shared<std::atomic<bool>>(false);
  const auto open = [&](rocksdb::DB** db) {
    const rocksdb::Options from = rocks_options(options, out_of_space);
    return options.read_only ? rocksdb::DB::OpenForReadOnly(from, directory, db)
                             : rocksdb::DB::Open(from, directory, db);
  };
  rocksdb::DB* db = nullptr;
  rocksdb::Status status = open(&db);
  while (status.IsNoSpace() && options.reserve != nullptr && options.reserve->release()) status = open(&db);
  if (status.ok()) {
    std::unique_ptr<RocksKv> kv{new RocksKv{std::unique_ptr<rocksdb::DB>{db}, options, std::move(out_of_space)}};
    // RocksDB takes a log that is cut short, or was never listed, for the usual end of a power cut.
    const uint64_t reach = db->GetLatestSequenceNumber();
    if (reach < options.reach_min)
      return Error{Code::corrupt, "records: " + directory + " ends at change " + std::to_string(reach) +
                                      ", and changes up to " + std::to_string(options.reach_min) +
                                      " were durable: its log is missing or cut short"};
    if (!options.read_only)
      if (Result<void> removed = remove_rocks_log_files(directory); !removed) return std::move(removed.error());
    return kv;
  }
  // RocksDB has no code of its own for it; both messages (this process, another one) name its lock file.
  if (status.IsIOError() && status.ToString().find(directory + "/LOCK") != std::string::npos &&
      status.ToString().find("lock") != std::string::npos)
    return Error{Code::busy, "records: " + directory + " is in use by another process (" + status.ToString() + ")"};
  return error_of(status, "opening " + directory);
}

Result<std::optional<std::string>> RocksKv::get(std::string_view key, const KvSnapshot* snapshot) {
  std::string value;
  const rocksdb::Status status = db_->Get(read_options(snapshot), slice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>{};
  if (!status.ok()) return error_of(status, "get");
  return std::optional<std::string>{std::move(value)};
}

std::optional<Result<std::optional<std::string>>> RocksKv::get_in_memory(std::string_view key,
                                                                         const KvSnapshot* snapshot) {
  rocksdb::ReadOptions options = read_options(snapshot);
  options.read_tier = rocksdb::kBlockCacheTier;
  std::string value;
  const rocksdb::Status status = db_->Get(options, slice(key), &value);
  if (status.IsIncomplete()) return std::nullopt;
  if (status.IsNotFound()) return std::optional<std::string>{};
  if (!status.ok()) return Result<std::optional<std::string>>{error_of(status, "get")};
  return std::optional<std::string>{std::move(value)};
}

Result<void> RocksKv::scan(std::string_view from, std::string_view to, const KvSnapshot* snapshot,
                           const std::function<bool(std::string_view key, std::string_view value)>& visit) {
  rocksdb::ReadOptions options = read_options(snapshot);
  const rocksdb::Slice end = slice(to);
  if (!to.empty()) options.iterate_upper_bound = &end;
  const std::unique_ptr<rocksdb::Iterator> at{db_->NewIterator(options)};
  for (at->Seek(slice(from)); at->Valid(); at->Next())
    if (!visit(view(at->key()), view(at->value()))) return {};
  if (!at->status().ok()) return error_of(at->status(), "scan");
  return {};
}

std::unique_ptr<KvSnapshot> RocksKv::snapshot() { return std::make_unique<RocksSnapshot>(*db_); }

Result<void> RocksKv::recover_space() {
  const std::scoped_lock lock{recovering_};
  if (!out_of_space_->exchange(false)) return {};
  const rocksdb::Status status = db_->Resume();
  if (!status.ok()) {
    *out_of_space_ = true;
    return error_of(status, "recovering from a full file system");
  }
  const uint64_t full_log = full_log_.exchange(0);
  if (full_log != 0 && current_log() == full_log) {
    // It would be appended to again, which RocksDB answers by an assertion. The next start begins a new one.
    const Error failure{Code::io, "records: write: no new log was begun after one met a full file system"};
    set_failed(failure.message);
    return failure;
  }
  return {};
}

void RocksKv::set_failed(const std::string& cause) {
  const std::scoped_lock lock{failing_};
  if (!failed_) first_failure_ = cause;
  failed_ = true;
}

uint64_t RocksKv::current_log() {
  std::unique_ptr<rocksdb::LogFile> log;
  return db_->GetCurrentWalFile(&log).ok() && log ? log->LogNumber() : 0;
}

bool RocksKv::memtable_is_empty() {
  uint64_t entries = 0;
  return db_->GetIntProperty(rocksdb::DB::Properties::kNumEntriesActiveMemTable, &entries) && entries == 0;
}

/// Resume() begins a new log only where there is something in memory to be flushed. A log that a write failed on must not be appended
/// to again, so a deletion of nothing comes before the first write to an empty memtable. It is in no log, and need not be.
rocksdb::Status RocksKv::fill_empty_memtable() {
  if (!memtable_is_empty()) return rocksdb::Status::OK();
  rocksdb::WriteBatch nothing;
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  const rocksdb::Status added = nothing.Delete("\xff");
  return added.ok() ? db_->Write(options, &nothing) : added;
}

Result<void> RocksKv::may_write() {
  if (read_only_) return Error{Code::read_only, "records: opened for reading only"};
  if (failed_) {
    const std::scoped_lock lock{failing_};
    return Error{Code::io,
                 "records: nothing is written until they are opened again (a restart), since a write failed (" +
                     first_failure_ + ")"};
  }
  return *out_of_space_ ? recover_space() : Result<void>{};
}

Error RocksKv::write_failure(const rocksdb::Status& status) {
  Error failure = error_of(status, "write");
  if (status.IsNoSpace()) {
    full_log_ = current_log();
    *out_of_space_ = true;
  } else if (status.IsIncomplete() && *out_of_space_) {
    // It waited for room among the tables, which no compaction could make.
    failure.code = Code::no_space;
  } else {
    set_failed(failure.message);
  }
  return failure;
}

Result<void> RocksKv::write(const std::vector<KvMutation>& mutations, bool durable) {
  for (;;) {
    Result<void> written = write_without_reserve(mutations, durable);
    if (written || written.error().code != Code::no_space) return written;
    if (reserve_ == nullptr || !reserve_->release()) return written;
  }
}

Result<void> RocksKv::write_without_reserve(const std::vector<KvMutation>& mutations, bool durable) {
  if (Result<void> may = may_write(); !may) return may;

  rocksdb::WriteBatch batch;
  for (const KvMutation& mutation : mutations) {
    const rocksdb::Status added =
        mutation.value ? batch.Put(slice(mutation.key), slice(*mutation.value)) : batch.Delete(slice(mutation.key));
    if (!added.ok()) return error_of(added, "batch");
  }
  rocksdb::WriteOptions options;
  options.sync = durable;
  if (!memtable_is_empty()) return commit(options, batch);
  const std::scoped_lock lock{filling_};
  if (const rocksdb::Status filled = fill_empty_memtable(); !filled.ok()) return write_failure(filled);
  return commit(options, batch);
}

Result<void> RocksKv::commit(const rocksdb::WriteOptions& options, rocksdb::WriteBatch& batch) {
  const rocksdb::Status status = db_->Write(options, &batch);
  if (status.ok()) return {};
  return write_failure(status);
}

Result<uint64_t> RocksKv::settle() {
  if (read_only_) return db_->GetLatestSequenceNumber();
  // What is in no log (fill_empty_memtable()) counts as a change: the answer must not end with it, for a crash takes it back.
  const std::scoped_lock lock{filling_};
  if (Result<void> may = may_write(); !may) return std::move(may.error());
  const uint64_t reach = db_->GetLatestSequenceNumber();
  const rocksdb::Status status = db_->SyncWAL();
  if (!status.ok()) return write_failure(status);
  return reach;
}

}  // namespace atl
