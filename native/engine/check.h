// check.h: does everything the record store says hold, and is everything that is stored known? (fsck; `atoll check`)
#pragma once

#include <string>
#include <vector>

#include "base/task.h"
#include "engine/resource.h"

namespace atl {

struct Finding {
  bool fatal = false;  // data is damaged or in danger; otherwise space is lost, or something is odd, and no data
  std::string message;
  LayerId layer = LayerId::none;  // whose data, when it is one layer's
};

struct CheckOptions {
  std::vector<LayerId> layers;  // those the catalog knows
  bool data = false;            // also read every content chunk and compare its digest
};

/// Of a store that nobody uses. An error: the check itself could not be made. At most `findings_max` findings, then a note that there are more.
Task<Result<std::vector<Finding>>> check(StoreAccess stores, CheckOptions options);
constexpr size_t findings_max = 1000;

}  // namespace atl
