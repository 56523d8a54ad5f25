// read_bytes.h: reads of resources into JavaScript buffers, by leases and by read handles.
#pragma once

#include <napi.h>

#include <memory>

#include "node/objects/session.h"

namespace atl::node {

/// Returns a promise of a Buffer with bytes of `from`. The second and the third argument of the call are offset and length.
Napi::Value read_bytes(Info info, JsQueue& queue, const std::shared_ptr<Resource>& from);

}  // namespace atl::node
