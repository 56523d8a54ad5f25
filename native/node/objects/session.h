// session.h: what the parts of one open engine share, and how a part becomes a JavaScript object.
#pragma once

#include <napi.h>

#include <memory>
#include <utility>
#include <vector>

#include "node/host.h"
#include "node/js_queue.h"
#include "node/objects/log.h"

namespace atl::node {

using Info = const Napi::CallbackInfo&;

/// Throws a JavaScript error with this code.
[[noreturn]] void refuse(Napi::Env env, Code code, std::string message);

/// One open engine. JavaScript thread only.
class Session {
 public:
  /// `log`: the host's.
  Session(std::shared_ptr<Host> host, std::shared_ptr<JsQueue> queue, std::shared_ptr<JsLog> log);
  ~Session();

  /// Throws a JavaScript error after shutdown.
  Host& host(Napi::Env env);
  JsQueue& queue() { return *queue_; }
  /// Keeps `what` at least as long as the host.
  void keep(std::shared_ptr<void> what) { kept_.push_back(std::move(what)); }
  /// The host, for its shutdown. Requires that there is one.
  std::shared_ptr<Host> take_host();
  const std::shared_ptr<JsQueue>& shared_queue() const { return queue_; }

 private:
  std::vector<std::shared_ptr<void>> kept_;  // goes after the host
  std::shared_ptr<Host> host_;               // null after shutdown
  std::shared_ptr<JsQueue> queue_;
};

/// Adds a method of `part` to `object`. The function shares the part.
template <auto Method, class Part>
void add_method(Napi::Object object, const char* name, const std::shared_ptr<Part>& part) {
  object.Set(name, Napi::Function::New(
                       object.Env(), [part](Info info) -> Napi::Value { return (part.get()->*Method)(info); }, name));
}

}  // namespace atl::node
