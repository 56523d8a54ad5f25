// addon.cc: the addon's one entry. Its types are src/engine/native.ts.
#include <napi.h>

#include "nbd/inherited_socket.h"
#include "node/js_engine.h"
#include "node/js_queue.h"
#include "node/js_values.h"

namespace {

Napi::Value inherited_socket_address(const Napi::CallbackInfo& info) {
  const auto fd = static_cast<int>(atl::node::whole_number(info[0], "fd"));
  const atl::Result<std::string> address = atl::inherited_socket_address(fd);
  if (!address) throw atl::node::to_js_error(info.Env(), address.error());
  return Napi::String::New(info.Env(), *address);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  atl::node::JsEngine::define(env);
  exports.Set("openEngine", Napi::Function::New(env, atl::node::JsEngine::open_engine, "openEngine"));
  exports.Set("inheritedSocketAddress", Napi::Function::New(env, inherited_socket_address, "inheritedSocketAddress"));
  return exports;
}

}  // namespace

NODE_API_MODULE(atoll, init)
