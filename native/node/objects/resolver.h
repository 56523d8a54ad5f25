// resolver.h: asks TypeScript which export is behind a name. The one place where a connection waits for JavaScript; its
// reactor goes on meanwhile.
#pragma once

#include <napi.h>

#include "engine/engine.h"
#include "nbd/protocol/exports.h"
#include "node/js_queue.h"

namespace atl::node {

/// What JavaScript calls it.
const char* door_name(Door door);

class JsResolver final : public ExportResolver {
 public:
  JsResolver(JsQueue& queue, Napi::Object callbacks);

  /// Before the first connection.
  void serve(Engine& engine) { engine_ = &engine; }

  /// The tenants' names are canonical; the operator's are looked up.
  Task<Result<std::string>> canonical_name(Door door, std::string name) override;
  Task<Result<std::optional<OpenExport>>> open(Door door, std::string name) override;
  Task<Result<std::vector<std::string>>> list(Door door) override;
  void tls_failed(const TlsFailure& failure) override;
  void request_failed(const RequestFailure& failure) override;
  Task<Result<std::vector<MetaContext>>> contexts(Door door, std::string name, MetaQueries queries) override;

 private:
  JsQueue& queue_;
  Engine* engine_ = nullptr;
  Napi::FunctionReference find_;  // used on the JavaScript thread only
  Napi::FunctionReference open_;
  Napi::FunctionReference list_;
  Napi::FunctionReference tls_failed_;
  Napi::FunctionReference request_failed_;
  Napi::FunctionReference contexts_;
};

}  // namespace atl::node
