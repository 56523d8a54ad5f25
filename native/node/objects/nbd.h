// nbd.h: the NBD server as JavaScript sees it (src/addon/contract/nbd.ts).
#pragma once

#include <napi.h>

#include <memory>

#include "node/objects/session.h"

namespace atl::node {

class JsNbd {
 public:
  explicit JsNbd(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  static Napi::Object make_object(Napi::Env env, const std::shared_ptr<JsNbd>& part);

 private:
  Napi::Value configure(Info info);
  Napi::Value set_tls(Info info);
  Napi::Value listen(Info info);
  Napi::Value disconnect(Info info);
  Napi::Value reconnect(Info info);
  Napi::Value export_counters(Info info);

  const std::shared_ptr<Session> session_;
};

}  // namespace atl::node
