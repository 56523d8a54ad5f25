// resources.h: resources as JavaScript sees them (src/addon/contract/resources.ts): leases, input and output, quiesce and resume.
#pragma once

#include <napi.h>

#include <memory>

#include "node/objects/session.h"

namespace atl::node {

class JsResources {
 public:
  explicit JsResources(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  static Napi::Object make_object(Napi::Env env, const std::shared_ptr<JsResources>& part);

 private:
  Napi::Value open(Info info);
  Napi::Value close(Info info);
  Napi::Value is_open(Info info);
  Napi::Value read(Info info);
  Napi::Value write(Info info);
  Napi::Value write_zeroes(Info info);
  Napi::Value flush(Info info);
  Napi::Value diff(Info info);
  Napi::Value quiesce(Info info);
  Napi::Value resume(Info info);
  /// The open resource that the first argument names.
  std::shared_ptr<Resource> resource(Info info);

  const std::shared_ptr<Session> session_;
};

}  // namespace atl::node
