// addon.cc: the addon's one entry. Its types are src/engine/native.ts.
#include <napi.h>

#include "node/js_engine.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  atl::node::JsEngine::define(env);
  exports.Set("openEngine", Napi::Function::New(env, atl::node::JsEngine::open_engine, "openEngine"));
  return exports;
}

}  // namespace

NODE_API_MODULE(atoll, init)
