// diff.h: which blocks of a resource may differ from what another one, of common ancestry, has in the same place.
#pragma once

#include "engine/resource/resource.h"

namespace atl {

/// Runs from `offset` on, flags 1: may differ, 0: equal; lengths as those of BlockDevice::status, over `of`'s bytes. What `base`
/// does not have counts as zeros. From records alone: a block that was written is reported though its bytes may be equal,
/// never the reverse. Both must stay open, and changes that come meanwhile may or may not be in it.
/// `invalid`: they have no layer in common.
Task<Result<std::vector<StatusRun>>> diff(Resource& of, Resource& base, uint64_t offset, uint64_t length,
                                          uint32_t max_runs);

}  // namespace atl
