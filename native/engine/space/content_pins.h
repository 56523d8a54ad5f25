// content_pins.h: keeps a content chunk from being dropped between the moment an upload decides to use it and the moment its
// reference is durable; and lets one of several uploads of the same chunk write it while the others wait. Knows which chunks were bad
// when they were last read, so that an upload of the same bytes writes them anew instead of relying on them.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "base/async.h"
#include "base/mutation.h"
#include "base/types.h"

namespace atl {

/// Used on one executor only.
class ContentPins {
 public:
  /// Waits while the chunk is being dropped.
  Task<void> pin(Digest digest) {
    while (dropping_.contains(digest)) co_await changed_.wait();
    pins_[digest]++;
  }
  void unpin(const Digest& digest) {
    auto found = pins_.find(digest);
    VERIFY(found != pins_.end());
    if (--found->second == 0) pins_.erase(found);
  }

  /// False: somebody is about to refer to the chunk. True: nobody can until end_drop().
  bool begin_drop(const Digest& digest) {
    if (pins_.contains(digest) && !mutated(Mutation::drop_pinned_content)) return false;
    return dropping_.emplace(digest, true).second;
  }
  void end_drop(const Digest& digest) {
    dropping_.erase(digest);
    changed_.wake_all();
  }

  /// One writer at a time for each chunk: false after waiting for another one (look again whether the chunk is there now).
  Task<bool> begin_put(Digest digest) {
    if (putting_.emplace(digest, true).second) co_return true;
    while (putting_.contains(digest)) co_await changed_.wait();
    co_return false;
  }
  void end_put(const Digest& digest) {
    putting_.erase(digest);
    changed_.wake_all();
  }

  /// The chunk is damaged on the disk. Of more than bad_max the others are forgotten: uploads rely on them, as before they were read.
  static constexpr size_t bad_max = 1 << 16;
  void mark_bad(const Digest& digest) {
    if (bad_.size() < bad_max) bad_.insert(digest);
  }
  void mark_good(const Digest& digest) { bad_.erase(digest); }
  bool is_bad(const Digest& digest) const { return bad_.contains(digest); }

 private:
  std::unordered_set<Digest> bad_;
  std::unordered_map<Digest, uint32_t> pins_;
  std::unordered_map<Digest, bool> dropping_;
  std::unordered_map<Digest, bool> putting_;
  Waiters changed_;
};

}  // namespace atl
