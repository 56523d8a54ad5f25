// space_reserves.h: what JavaScript needs of a data directory before the engine is opened: its lock, and its space reserves.
#pragma once

#include <napi.h>

#include "store/space_reserve.h"

namespace atl::node {

/// `lockDirectory(path)`: a function that gives the lock back. Throws with the code `busy`.
Napi::Value lock_directory(const Napi::CallbackInfo& info);

/// `openSpaceReserves({ directories, bytes, log })`: an object, NativeSpaceReserves of src/addon/contract.ts.
Napi::Value open_space_reserves(const Napi::CallbackInfo& info);

/// Of such an object; null for undefined.
std::shared_ptr<SpaceReserves> space_reserves_of(const Napi::Value& value);

}  // namespace atl::node
