#include "node/js_queue.h"

namespace atl::node {

JsQueue::JsQueue(Napi::Env env) {
  const Napi::String name = Napi::String::New(env, "atoll");
  const auto call_js = [](napi_env in, napi_value, void*, void* data) {
    std::unique_ptr<Call> call{static_cast<Call*>(data)};
    if (in == nullptr) {
      // The environment is going down. The call may hold JavaScript references, which can no longer be freed: let it be.
      (void)call.release();
      return;
    }
    const Napi::HandleScope scope{in};
    call->run(Napi::Env{in});
  };
  const napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                                             nullptr, call_js, &function_);
  VERIFY(status == napi_ok);
  VERIFY(napi_unref_threadsafe_function(env, function_) == napi_ok);
}

void JsQueue::close() {
  if (function_ != nullptr) napi_release_threadsafe_function(function_, napi_tsfn_release);
  function_ = nullptr;
}

void JsQueue::post(std::unique_ptr<Call> call) {
  // Taken, or the environment is closing: then the call may hold JavaScript references, which only that thread may free.
  (void)napi_call_threadsafe_function(function_, call.release(), napi_tsfn_nonblocking);
}

void JsQueue::begin(Napi::Env env) {
  if (pending_++ == 0) VERIFY(napi_ref_threadsafe_function(env, function_) == napi_ok);
}

void JsQueue::end(Napi::Env env) {
  VERIFY(pending_ > 0);
  if (--pending_ == 0 && function_ != nullptr) napi_unref_threadsafe_function(env, function_);
}

Napi::Error to_js_error(Napi::Env env, const Error& error) {
  Napi::Error js = Napi::Error::New(env, error.message);
  js.Value().Set("code", Napi::String::New(env, code_name(error.code)));
  return js;
}

}  // namespace atl::node
