// layers.h: layers as JavaScript sees them (src/addon/contract/layers.ts).
#pragma once

#include <napi.h>

#include <memory>

#include "node/objects/session.h"

namespace atl::node {

class JsLayers {
 public:
  explicit JsLayers(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  static Napi::Object make_object(Napi::Env env, const std::shared_ptr<JsLayers>& part);

 private:
  Napi::Value drop(Info info);
  Napi::Value merge_step(Info info);
  Napi::Value unlink(Info info);
  Napi::Value list(Info info);

  const std::shared_ptr<Session> session_;
};

}  // namespace atl::node
