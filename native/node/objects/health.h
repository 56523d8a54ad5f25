// health.h: the health of the store as JavaScript sees it (src/addon/contract/health.ts): check, repair, scrub.
#pragma once

#include <napi.h>

#include <memory>

#include "node/objects/session.h"

namespace atl::node {

class JsHealth {
 public:
  explicit JsHealth(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  static Napi::Object make_object(Napi::Env env, const std::shared_ptr<JsHealth>& part);

 private:
  Napi::Value check(Info info);
  Napi::Value repair(Info info);
  Napi::Value recover(Info info);
  Napi::Value scrub(Info info);
  Napi::Value chunk_places(Info info);
  Napi::Value mark_bad(Info info);
  Napi::Value record_blocks(Info info);
  Napi::Value records_reach(Info info);
  Napi::Value presence(Info info);
  Napi::Value reclaimed(Info info);

  const std::shared_ptr<Session> session_;
};

}  // namespace atl::node
