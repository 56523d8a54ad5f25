// local_files.h: the descriptors that the local store keeps open, and what is known of the durability of each file.
//
// Invariants
//   1. At most `max_open` descriptors are open, but for those in use: one in use is never closed.
//   2. A file with unsynced changes is synced before its descriptor is closed: a failure of its writeback is reported to those
//      who hold the descriptor, and must not get lost.
//   3. No lock is held across a system call.
//
// All of it may be called from any thread. Locks are per shard and short; insert() and shed() close files and may block.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <coroutine>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/types.h"
#include "io/executor.h"
#include "store/local/local_paths.h"

namespace atl {

/// A segment of a data file, or a content chunk. Ordered so that the segments of a data file are neighbours.
struct FileKey {
  bool content = false;
  std::array<uint64_t, 4> words{};

  static FileKey of(const SegmentName& name) { return {false, {number(name.file), name.segment, 0, 0}}; }
  static FileKey of(const Digest& digest);
  friend auto operator<=>(const FileKey&, const FileKey&) = default;
};

/// One at a time among tasks of any executors: those who wait do not block their threads.
class TaskTurn {
 public:
  TaskTurn() = default;
  TaskTurn(const TaskTurn&) = delete;
  ~TaskTurn() { VERIFY(!taken_ && first_ == nullptr); }

  struct Take : Job {
    TaskTurn& turn;
    Executor* home = nullptr;
    std::coroutine_handle<> handle{};
    Take* after = nullptr;
    explicit Take(TaskTurn& of) : turn(of) {}
    bool await_ready() const noexcept { return turn.try_take(); }
    bool await_suspend(std::coroutine_handle<> awaiter);
    void await_resume() const noexcept {}
  };

  Take take() { return Take{*this}; }
  bool try_take();
  /// The longest waiting task has the turn next, on its own executor.
  void give_back();

 private:
  std::mutex mutex_;
  bool taken_ = false;
  Take* first_ = nullptr;
  Take** last_ = &first_;
};

class OpenFile {
 public:
  OpenFile(const FileKey& key, int fd) : key_(key), fd_(fd) {}
  OpenFile(const OpenFile&) = delete;
  ~OpenFile();

  const FileKey& key() const { return key_; }
  int fd() const { return fd_; }

  /// To be called when a change has ended, before its caller hears of it. A change still under way at a sync is not of that sync.
  void changed() { changes_.fetch_add(1, std::memory_order_release); }
  uint64_t changes() const { return changes_.load(std::memory_order_acquire); }
  /// All changes up to this count are durable.
  void synced(uint64_t changes) { synced_.store(changes, std::memory_order_release); }
  bool dirty() const { return changes() > std::max<uint64_t>(synced_.load(std::memory_order_acquire), 1); }
  /// As dirty(), or never synced since it was opened: an earlier process may have left changes in the page cache.
  bool needs_sync() const { return changes() > synced_.load(std::memory_order_acquire); }

  /// Syncs take turns: the kernel reports a failed writeback to one of those who ask, and that one must be heard by all.
  TaskTurn sync_turn;
  /// Whether the directory's entry for this file is known to be durable. Guarded by sync_turn.
  bool entry_durable = false;

 private:
  friend class DescriptorCache;
  friend class FileRef;

  const FileKey key_;
  const int fd_;
  std::atomic<uint64_t> changes_{1};
  std::atomic<uint64_t> synced_{0};
  std::atomic<uint32_t> references_{1};  // the cache's, and one for each FileRef
  OpenFile* newer_ = nullptr;            // the shard's list by last use, under its lock
  OpenFile* older_ = nullptr;
};

/// Keeps a file open.
class FileRef {
 public:
  FileRef() = default;
  explicit FileRef(OpenFile& file) : file_(&file) { file.references_.fetch_add(1, std::memory_order_relaxed); }
  FileRef(FileRef&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
  FileRef& operator=(FileRef&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~FileRef() {
    if (file_ != nullptr) release(*file_);
  }
  explicit operator bool() const { return file_ != nullptr; }
  OpenFile* operator->() const { return file_; }
  OpenFile& operator*() const { return *file_; }

 private:
  friend class DescriptorCache;
  static void release(OpenFile& file) {
    if (file.references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete &file;
  }
  OpenFile* file_ = nullptr;
};

class DescriptorCache {
 public:
  /// Blocking: makes a dirty file durable before it is closed; called with the file's sync_turn. False: keep it open.
  using SyncBeforeClose = std::function<bool(OpenFile&)>;

  DescriptorCache(uint32_t max_open, SyncBeforeClose sync);
  /// Nothing may be in use.
  ~DescriptorCache();

  /// Empty when it is not open.
  FileRef find(const FileKey& key);
  /// Takes the descriptor over; where another thread was quicker, that one's file is the answer and this one is closed.
  FileRef insert(const FileKey& key, int fd);
  /// Closes up to `count` files that are not in use; answers how many.
  uint32_t shed(uint32_t count);
  /// The open segments of a data file, in order.
  std::vector<FileRef> segments(DataFileId file);
  /// Forgets the open segments of a data file, or a chunk, without syncing; they are closed when nobody uses them.
  void forget(DataFileId file);
  void forget(const Digest& digest);

  uint32_t open_count() const { return open_count_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t shard_count = 16;
  struct Shard {
    std::mutex mutex;
    std::map<FileKey, OpenFile*> files;
    OpenFile* newest = nullptr;
    OpenFile* oldest = nullptr;
  };

  // All segments of a data file are in one shard.
  Shard& shard_of(const FileKey& key);
  void use(Shard& shard, OpenFile& file);
  void unlink(Shard& shard, OpenFile& file);
  FileRef take_out(Shard& shard, OpenFile& file);
  void forget_range(const FileKey& first, const FileKey& last);
  bool evict_from(Shard& shard);

  const uint32_t max_open_;
  const SyncBeforeClose sync_;
  std::array<Shard, shard_count> shards_;
  std::atomic<uint32_t> open_count_{0};
  std::atomic<uint32_t> next_victim_{0};
};

}  // namespace atl
