// engine.h: an open engine as JavaScript sees it (src/addon/contract.ts): its life cycle, and its parts.
#pragma once

#include <napi.h>

namespace atl::node {

/// `openEngine(options)` of the addon: a promise of a NativeEngine.
Napi::Value open_engine(const Napi::CallbackInfo& info);

}  // namespace atl::node
