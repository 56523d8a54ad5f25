// space_reserve.h: space on a file system that only the catalog, the records and deletions may use, so that a full file system can
// always be emptied again.
//
// A file of allocated blocks, DIR/reserve, holds it against everybody: tenants' writes, and foreign files on the same file system.
// What must always work and meets ENOSPC calls release(), which gives a part of the file up, and tries again. From then on, low()
// is true and everything that makes the store grow for a tenant is refused, until there is room to allocate the whole file again.
//
// Invariants
//   1. low() is false only while the whole reserve is allocated.
//   2. low() is true before the first block is given up: nobody who asks first takes what was given up for others.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log_line.h"
#include "base/result.h"

namespace atl {

/// The reserve of one file system. Thread-safe; everything but low() blocks.
class SpaceReserve {
 public:
  /// The parts in which it is given up. Each holds a group of commits of the catalog, or a part of the records' memory.
  static constexpr uint64_t parts = 4;

  /// `target_bytes`: how much to hold, not 0.
  SpaceReserve(std::string path, uint64_t target_bytes, LogLine log);
  SpaceReserve(const SpaceReserve&) = delete;
  ~SpaceReserve();

  uint64_t target_bytes() const { return target_bytes_; }
  uint64_t held_bytes() const;
  bool low() const { return low_.load(std::memory_order_relaxed); }
  /// It is low, and less than half a part is free.
  bool nearly_used_up() const;

  /// Opens what an earlier run left, and allocates the rest if there is room.
  void open();
  /// Before the catalog and the records are opened, which both need space for it: where less than the reserve is free, all parts but
  /// one are given up.
  void prepare_start();
  /// For one who met ENOSPC: gives up a part. False: nothing is left to be given up, trying again is pointless.
  bool release();
  /// Allocates what is missing, if a part more than that is free.
  void restore();
  /// No line is logged any more.
  void silence();

 private:
  bool give_up_to(uint64_t bytes);
  bool allocate();
  bool open_file();
  void log(LogLevel level, std::string message);

  const std::string path_;
  const uint64_t target_bytes_;
  mutable std::mutex mutex_;
  LogLine log_;              // guarded by mutex_
  int fd_ = -1;              // guarded by mutex_; -1: not even the file could be created
  uint64_t held_bytes_ = 0;  // guarded by mutex_
  std::atomic<bool> low_{true};
};

/// Those of all file systems that a data directory spreads over, and the thread that restores them.
class SpaceReserves {
 public:
  /// At most this part of a file system is held.
  static constexpr uint64_t fraction_of_file_system = 8;

  /// Blocking. One reserve for each file system that the directories are on, held in the first of them that is on it. Directories
  /// that do not exist are passed over. `bytes_each` 0: none, and files of earlier runs are removed.
  static Result<std::unique_ptr<SpaceReserves>> open(const std::vector<std::string>& directories, uint64_t bytes_each,
                                                     LogLine log);
  ~SpaceReserves();

  /// The reserve of the file system that the path is on, or would be once it is created; null when there is none.
  SpaceReserve* on(const std::string& path) const;
  void prepare_start();
  /// From now on what was given up is allocated again as soon as there is room.
  void keep();
  /// Ends that, and the log. Idempotent.
  void stop();

 private:
  SpaceReserves() = default;
  void run();

  struct Held {
    uint64_t device;
    std::unique_ptr<SpaceReserve> reserve;
  };
  std::vector<Held> held_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread keeper_;
};

}  // namespace atl
