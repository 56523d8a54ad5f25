// addon.cc: the entry of the addon. Its types are in src/addon/contract.ts.
#include <napi.h>

#include "io/service_manager.h"
#include "nbd/server/inherited_socket.h"
#include "node/js_queue.h"
#include "node/js_values.h"
#include "node/objects/engine.h"
#include "node/objects/space_reserves.h"

namespace {

Napi::Value inherited_socket_address(const Napi::CallbackInfo& info) {
  const auto fd = static_cast<int>(atl::node::whole_number(info[0], "fd"));
  const atl::Result<std::string> address = atl::inherited_socket_address(fd);
  if (!address) throw atl::node::to_js_error(info.Env(), address.error());
  return Napi::String::New(info.Env(), *address);
}

Napi::Value notify_service_manager(const Napi::CallbackInfo& info) {
  const atl::Result<void> sent =
      atl::notify_service_manager(atl::node::text(info[0], "address"), atl::node::text(info[1], "state"));
  if (!sent) throw atl::node::to_js_error(info.Env(), sent.error());
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("openEngine", Napi::Function::New(env, atl::node::open_engine, "openEngine"));
  exports.Set("lockDirectory", Napi::Function::New(env, atl::node::lock_directory, "lockDirectory"));
  exports.Set("openSpaceReserves", Napi::Function::New(env, atl::node::open_space_reserves, "openSpaceReserves"));
  exports.Set("inheritedSocketAddress", Napi::Function::New(env, inherited_socket_address, "inheritedSocketAddress"));
  exports.Set("notifyServiceManager", Napi::Function::New(env, notify_service_manager, "notifyServiceManager"));
  return exports;
}

}  // namespace

NODE_API_MODULE(atoll, init)
