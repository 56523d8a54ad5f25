// local_directory.h: directories of the local store: making, listing, and making their entries durable. All blocking.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"

namespace atl {

/// Creates the directory unless it is there; durable once its parent is synced.
Result<void> make_directory(const std::string& path);
/// Calls visit with each name but "." and "..". `not_found` when there is no such directory.
Result<void> list_directory(const std::string& path, const std::function<void(std::string_view)>& visit);
Result<void> sync_directory(const std::string& path);

/// Makes the entries of one directory durable; those who ask at the same time share one fsync.
class DirectorySync {
 public:
  /// All changes of entries made before this call are durable when it answers.
  Result<void> sync(const std::string& path);
  /// An entry changed; to be called after the change. What earlier processes changed counts as one change.
  void changed();

 private:
  std::mutex counting_;
  uint64_t changes_ = 1;
  std::mutex syncing_;
  uint64_t synced_ = 0;
};

}  // namespace atl
