#include "node/objects/session.h"

#include <tuple>

namespace atl::node {

void refuse(Napi::Env env, Code code, std::string message) { throw to_js_error(env, Error{code, std::move(message)}); }

Session::Session(std::shared_ptr<Host> host, std::shared_ptr<JsQueue> queue, std::shared_ptr<JsLog> log)
    : host_(std::move(host)), queue_(std::move(queue)) {
  keep(std::move(log));
}

Session::~Session() {
  // Collected (or the process ends) without a shutdown: the host's threads may be in the middle of anything, and what was flushed is
  // durable. Stopping them here could hang; leaking them is safe.
  if (host_) new std::tuple{std::move(host_), queue_, std::move(kept_)};
}

Host& Session::host(Napi::Env env) {
  if (!host_) refuse(env, Code::shutdown, "the engine was shut down");
  return *host_;
}

std::shared_ptr<Host> Session::take_host() {
  VERIFY(host_ != nullptr);
  return std::move(host_);
}

}  // namespace atl::node
