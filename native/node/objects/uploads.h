// uploads.h: uploads as JavaScript sees them (src/addon/contract/uploads.ts).
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "node/objects/session.h"

namespace atl::node {

class JsUploads : public std::enable_shared_from_this<JsUploads> {
 public:
  explicit JsUploads(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  static Napi::Object make_object(Napi::Env env, const std::shared_ptr<JsUploads>& part);
  /// True while an upload is in flight.
  bool busy() const { return !uploads_.empty() || whole_uploads_ > 0; }

 private:
  Napi::Value start(Info info);
  Napi::Value write(Info info);
  Napi::Value finish(Info info);
  Napi::Value whole(Info info);
  Napi::Value abort(Info info);
  /// The upload whose handle is the first argument.
  std::shared_ptr<Ingest> upload(Info info);

  const std::shared_ptr<Session> session_;
  std::unordered_map<uint32_t, std::shared_ptr<Ingest>> uploads_;  // by handle
  uint32_t next_handle_ = 1;
  uint32_t whole_uploads_ = 0;  // in flight, without a handle
};

}  // namespace atl::node
