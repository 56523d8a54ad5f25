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

/// One of the directories that files are spread over. It is there while it has entries: made by the first, removed after the last,
/// so that an empty store takes no space.
class SpreadDirectory {
 public:
  /// Calls create(), which answers 0 or an errno, and where the directory turns out to be missing makes it and calls again.
  /// Answers what create() did.
  int create_entry(const std::string& path, const std::function<int()>& create);
  /// An entry is gone.
  void removed_entry() { changed(); }
  /// All changes of entries made before this call are durable when it answers, and the directory's own in its parent. Those who ask at the
  /// same time share one fsync. What an earlier process did counts as a change.
  Result<void> sync(const std::string& path);
  void remove_if_empty(const std::string& path);

 private:
  void changed();

  std::mutex counting_;
  uint64_t changes_ = 1;
  bool made_ = true;  // its entry in the parent may not be durable
  std::mutex syncing_;
  uint64_t synced_ = 0;
};

}  // namespace atl
