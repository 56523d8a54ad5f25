// directory_lock.h: one process at a time uses a directory.
//
// The lock goes with the process however it ends, and taking it writes nothing: it works on a full and on a read-only file system.
// Both of two locks are held:
//   - flock(2) on the directory, where the file system has it;
//   - an open file description lock on the bytes of DIR/lock that SQLite locks in its databases. Atoll held an SQLite transaction on
//     this file before; so an older Atoll and this one keep each other out.
// On a read-only file system the second is a shared lock, which is enough to be kept out by whoever writes through another mount.
#pragma once

#include <string>

#include "base/result.h"

namespace atl {

class DirectoryLock {
 public:
  /// `busy`: another process, or another lock of this one, holds it. Creates DIR/lock (mode 0600) if it is missing and can be created.
  static Result<DirectoryLock> take(const std::string& directory);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  ~DirectoryLock() { release(); }
  /// Idempotent.
  void release();

 private:
  DirectoryLock() = default;
  int directory_ = -1;
  int file_ = -1;
};

}  // namespace atl
