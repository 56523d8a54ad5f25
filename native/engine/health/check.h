// check.h: does everything the record store says hold, and is everything that is stored known? (fsck; `atoll check`)
#pragma once

#include <vector>

#include "base/task.h"
#include "engine/health/findings.h"
#include "engine/resource/resource.h"

namespace atl {

struct CheckOptions {
  std::vector<LayerId> layers;  // those the catalog knows
  bool layers_known = true;     // false: the catalog cannot be read, and no layer is unknown to it
  bool data = false;            // also read every content chunk and compare its digest
  bool space = false;           // also tell of data files that take more space than records account for
};

struct CheckReport {
  std::vector<Finding> findings;  // at most findings_max, then one that says how many more there are
  /// Nothing that was found hinders repair() from giving back what no record mentions.
  bool trusted = true;
  uint64_t data_bytes_mentioned = 0;  // by records, of data files
  uint64_t data_bytes_allocated = 0;
  uint64_t chunks = 0;  // mentioned
  uint64_t chunk_bytes = 0;
  uint64_t chunks_verified = 0;  // with `data`
};

/// Of a store that nobody changes meanwhile. An error: the check itself could not be made (`corrupt`: the records cannot be read).
Task<Result<CheckReport>> examine(StoreAccess stores, CheckOptions options);
Task<Result<std::vector<Finding>>> check(StoreAccess stores, CheckOptions options);

/// The blocks that the layer's own record supplies. Of a record that cannot be read: none.
Task<Result<BlockSet>> record_blocks_of(StoreAccess stores, LayerId layer, RegionIndex region);

}  // namespace atl
