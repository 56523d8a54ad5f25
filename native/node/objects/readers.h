// readers.h: read handles as JavaScript sees them (src/addon/contract/readers.ts).
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "node/objects/session.h"

namespace atl::node {

class JsReaders {
 public:
  explicit JsReaders(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  static Napi::Object make_object(Napi::Env env, const std::shared_ptr<JsReaders>& part);
  /// Ends all of them. Calls in flight complete.
  void end_all() { handles_.clear(); }

 private:
  Napi::Value begin(Info info);
  Napi::Value read(Info info);
  Napi::Value send(Info info);
  Napi::Value end(Info info);
  Napi::Value cancel_send(Info info);
  Napi::Value send_began(Info info);
  Napi::Value send_waited_ms(Info info);
  /// The resource whose read handle is the first argument.
  std::shared_ptr<Resource> resource(Info info);

  const std::shared_ptr<Session> session_;
  std::unordered_map<uint32_t, std::shared_ptr<Resource>> handles_;
  uint32_t next_handle_ = 1;
};

}  // namespace atl::node
