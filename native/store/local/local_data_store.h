// local_data_store.h: DataStore on a local file system: sparse files (local_paths.h says which).
//
// Invariants
//   1. Reads, writes and syncs run on the calling reactor's own loop; what may block otherwise (opening, unlinking, listing) on a pool
//      of this store's own.
//   2. sync() answers when the file's bytes and its directory's entry are durable; a file without changes since the last sync
//      costs nothing. A change still under way at a sync is left to the next one.
//   3. After a failed sync the data file refuses changes and syncs (I6) until reopen() or remove().
//   4. While a space reserve is low, nothing is written that needs new space; what is allocated is overwritten as ever.
//   5. A content chunk is written under another name and renamed once it is durable: it is there whole or not at all.
//
// Direct mode concerns data files. Content chunks are always read through the page cache: they are what many resources share (the blocks
// of one image under all of its volumes), and they never change. They are written straight to the device wherever they have no
// holes and the file system can: an upload neither waits for write-back nor drives from the cache what others read.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/blocking_pool.h"
#include "store/data_store.h"
#include "store/local/local_files.h"
#include "store/local/local_paths.h"
#include "store/local_directory.h"
#include "store/space_reserve.h"

namespace atl {

struct LocalDataStoreOptions {
  bool direct = false;
  bool read_only = false;  // for check: creates and cleans up nothing
  uint64_t segment_bytes =
      uint64_t{1} << 40;  // part of the format; other values are for tests. A multiple of region_bytes or less than it
  uint32_t max_open_files = 0;  // 0: two fifths of the process's limit, at most 65536
  uint32_t blocking_threads = 4;
  std::vector<SpaceReserve*> reserves{};  // of its file systems, and the records'; they outlive the store
};

class LocalDataStore final : public DataStore {
 public:
  /// Blocking. Creates the directories where they are missing. `unsupported`: no direct I/O on this file system.
  static Result<std::unique_ptr<LocalDataStore>> open(const std::string& directory,
                                                      const LocalDataStoreOptions& options);
  /// No call may be under way.
  ~LocalDataStore() override;

  uint32_t write_alignment() const override { return alignment_; }

  Task<Result<void>> read(DataFileId file, uint64_t offset, MutableBytes into) override;
  std::optional<FileRange> locate(DataFileId file, uint64_t offset, uint64_t length) override;
  Task<Result<void>> write(DataFileId file, uint64_t offset, Bytes from) override;
  Task<Result<void>> punch(DataFileId file, uint64_t offset, uint64_t length) override;
  Task<Result<void>> write_zeroes(DataFileId file, uint64_t offset, uint64_t length) override;
  Task<Result<void>> sync(DataFileId file) override;
  Task<Result<void>> reopen(DataFileId file) override;
  Task<Result<void>> remove(DataFileId file) override;
  Task<Result<bool>> shrink(DataFileId file) override;
  Task<Result<uint64_t>> allocated_bytes(DataFileId file) override;
  Task<Result<std::vector<Span>>> spans(DataFileId file) override;

  Task<Result<void>> put_content(const Digest& digest, Bytes bytes) override;
  Task<Result<void>> replace_content(const Digest& digest, Bytes bytes) override;
  Task<Result<void>> read_content(const Digest& digest, uint64_t offset, MutableBytes into) override;
  std::optional<FileRange> locate_content(const Digest& digest, uint64_t offset) override;
  void count_sent(uint64_t bytes) override { counts_.bytes_read.fetch_add(bytes, std::memory_order_relaxed); }
  Task<Result<std::optional<FileRange>>> open_content(const Digest& digest, uint64_t length) override;
  Task<Result<uint64_t>> reread_content(const Digest& digest, MutableBytes into, JobSink& threads) override;
  Task<Result<void>> drop_content(const Digest& digest) override;
  Task<Result<void>> sync_drops() override;
  Task<Result<uint64_t>> content_bytes(const Digest& digest) override;

  Task<Result<void>> list_files(std::function<void(DataFileId)> visit) override;
  Task<Result<void>> list_content(std::function<void(const Digest&)> visit) override;

  Counters counters() const override;

  /// Descriptors held open now.
  uint32_t open_files() const { return files_.open_count(); }

 private:
  enum class IfAbsent : uint8_t { create, leave };
  struct Piece {
    SegmentName name;
    uint64_t offset;  // in the segment
    uint64_t length;
  };

  LocalDataStore(const std::string& directory, const LocalDataStoreOptions& options,
                 std::unique_ptr<BlockingPool> pool);

  Result<void> prepare();
  Result<void> probe_direct() const;

  static FileRange range_in(FileRef open, uint64_t offset);
  Piece first_piece(DataFileId file, uint64_t offset, uint64_t length) const;
  /// Opens it unless it is open; an empty answer where it is absent and shall be left so.
  Task<Result<FileRef>> segment(SegmentName name, IfAbsent absent);
  Task<Result<FileRef>> open_segment(SegmentName name, IfAbsent absent);
  Task<Result<FileRef>> chunk(Digest digest);
  /// A descriptor, or -errno; for writing too unless the store is for reading only. Blocking.
  int open_file(const std::string& path, int flags);
  /// The same, the flags saying what for.
  int open_with(const std::string& path, int flags);

  bool low_on_space() const;
  /// Whether the piece, of an open file or of none, can be written to without a block more.
  Task<bool> is_allocated(const FileRef& at, Piece piece);
  /// For a call that frees space and met ENOSPC: true if there is some now.
  bool release_reserve();

  Result<void> may_change(DataFileId file) const;
  /// The refusal, in words that say what failed first.
  Result<void> not_failed(DataFileId file) const;
  void set_failed(DataFileId file, const Error& cause);
  void forgive(DataFileId file);

  Task<Result<void>> sync_segment(DataFileId file, OpenFile& segment);
  bool sync_before_close(OpenFile& file);
  SpreadDirectory& data_directory_of(DataFileId file) { return data_directories_[number(file) & 255]; }

  // local_content.cc
  Result<void> sync_content_entry(const Digest& digest);
  enum class Existing : uint8_t { keep, replace };
  Task<Result<void>> write_content(const Digest& digest, Bytes bytes, Existing existing);
  Result<int> begin_content(const Digest& digest, uint64_t length, const std::string& path, Existing existing);
  Result<uint64_t> reread(const Digest& digest, MutableBytes into);
  Result<void> publish_content(const Digest& digest, const std::string& path);
  Result<bool> shrink_now(DataFileId file);
  /// The segments there are, by their directory. Blocking.
  Result<std::vector<SegmentName>> list_segments(DataFileId file);

  const LocalPaths paths_;
  const LocalDataStoreOptions options_;
  const uint32_t alignment_;

  mutable std::mutex failed_mutex_;
  std::unordered_map<DataFileId, std::string> failed_files_;  // what its first failure said
  std::atomic<size_t> failed_count_{0};                       // looked at without the lock: none, nearly always
  std::atomic<bool> can_punch_{true};
  std::atomic<bool> can_zero_{true};
  std::atomic<uint64_t> next_new_content_{0};

  struct {
    std::atomic<uint64_t> bytes_written{0};
    std::atomic<uint64_t> bytes_read{0};
    std::atomic<uint64_t> content_bytes_written{0};
    std::atomic<uint64_t> syncs{0};
    std::atomic<uint64_t> bytes_punched{0};
  } counts_;

  std::array<SpreadDirectory, 256> data_directories_;
  std::array<SpreadDirectory, 256> content_directories_;
  DescriptorCache files_;
  std::unique_ptr<BlockingPool> pool_;
};

}  // namespace atl
