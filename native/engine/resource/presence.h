// presence.h: are the data files and chunks that the records mention there at all? A look at a few of each, which costs the same for a
// store of any size: for directories that are empty, or not this store's. check.h looks at all of them.
#pragma once

#include "base/task.h"
#include "engine/resource/resource.h"

namespace atl {

struct Presence {
  // Looked at, and those of them that are there.
  uint32_t files = 0;
  uint32_t files_there = 0;
  uint32_t chunks = 0;  // that are files: not those of small content
  uint32_t chunks_there = 0;
};

Task<Result<Presence>> presence_of(StoreAccess stores);

}  // namespace atl
