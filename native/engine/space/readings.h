// readings.h: read-only resources, each opened for one reader: without a trip to another thread, for most are read once.
//
// Rules
//   1. A reading has its own map, on a home of its own turn: readers of one object share no thread. Nothing but content that never
//      changes is behind it, so none needs to know of another, nor of a lease on the same resource.
//   2. While it lasts its layers are in use like those of any open resource: they are not dropped, and it is told of a merge.
//   3. It ends when its last owner lets go of it, on whatever thread; tasks that read or send are owners too.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "engine/resource/resource.h"
#include "engine/space/reclaimer.h"

namespace atl {

class Readings {
 public:
  Readings(StoreAccess stores, std::vector<Home> homes) : stores_(stores), homes_(std::move(homes)) {}
  ~Readings() { VERIFY(open_.empty()); }
  Readings(const Readings&) = delete;

  // From any thread.
  /// `invalid`: the spec breaks a rule, or the resource is not read-only.
  Result<std::shared_ptr<Resource>> begin(ResourceSpec spec);
  bool has(const std::string& id) const;
  size_t count() const;
  /// The id of one that has the layer in its chain.
  std::optional<std::string> one_on(LayerId layer) const;

  /// Takes `parent` out of the chains that have it right below `child`, and answers whose they are: each is to be told, on its home.
  std::vector<std::shared_ptr<Resource>> unlink(LayerId parent, LayerId child, uint64_t child_limit_blocks);

  // On the first home.
  /// Waits until none is left. One caller at a time.
  Task<void> ended();

 private:
  struct Open {
    std::shared_ptr<Resource> resource;
    std::vector<ChainLayer> layers;
  };
  void end(std::list<Open>::iterator open);

  StoreAccess stores_;
  const std::vector<Home> homes_;
  mutable std::mutex mutex_;  // guards what follows, but for ended_
  std::list<Open> open_;
  size_t next_home_ = 0;
  bool awaited_ = false;
  Waiters ended_;
};

/// Takes `parent` out of a chain that has it right below `child`. False: it does not.
bool unlink_from(std::vector<ChainLayer>& layers, LayerId parent, LayerId child, uint64_t child_limit_blocks);

}  // namespace atl
