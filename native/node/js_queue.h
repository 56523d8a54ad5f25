// js_queue.h: how native threads reach the JavaScript thread, and how a task becomes a promise.
//
// A pending promise keeps the process alive; an idle engine does not.
#pragma once

#include <napi.h>

#include <memory>
#include <utility>

#include "base/result.h"
#include "io/executor.h"

namespace atl::node {

class JsQueue {
 public:
  explicit JsQueue(Napi::Env env);
  /// On the JavaScript thread, after everything that posts has stopped.
  void close();

  class Call {
   public:
    virtual ~Call() = default;
    /// On the JavaScript thread, inside a handle scope. The call is deleted afterwards.
    virtual void run(Napi::Env env) = 0;
  };
  /// From any thread. The call is dropped when the environment is going down.
  void post(std::unique_ptr<Call> call);

  template <class Run>
  void post_run(Run run) {
    struct Running final : Call {
      Run body;
      explicit Running(Run what) : body(std::move(what)) {}
      void run(Napi::Env env) override { body(env); }
    };
    post(std::make_unique<Running>(std::move(run)));
  }

  // JavaScript thread only: what is awaited keeps the process alive.
  void begin(Napi::Env env);
  void end(Napi::Env env);

 private:
  napi_threadsafe_function function_ = nullptr;
  uint64_t pending_ = 0;
};

/// An Error with `code` (base/result.h) and the message.
Napi::Error to_js_error(Napi::Env env, const Error& error);

namespace detail {

/// `convert` may hold JavaScript references: it must end on the JavaScript thread, so it travels along. By its address, for a move of it may
/// leave copies behind (of what it has captured from a const variable), which would end on this thread.
template <class T, class Convert>
Task<void> drive(Task<Result<T>> task, JsQueue* queue, Napi::Promise::Deferred deferred,
                 std::unique_ptr<Convert> convert) {
  Result<T> result = co_await task;
  queue->post_run([queue, deferred, result = std::move(result), convert = std::move(convert)](Napi::Env env) mutable {
    if (!result)
      deferred.Reject(to_js_error(env, result.error()).Value());
    else if constexpr (std::is_void_v<T>)
      deferred.Resolve((*convert)(env));
    else
      deferred.Resolve((*convert)(env, *result));
    queue->end(env);
  });
}

}  // namespace detail

/// Runs the task on `executor`; the promise resolves to convert(env, value), or convert(env) for Result<void>.
template <class T, class Convert>
Napi::Value promise_of(Napi::Env env, JsQueue& queue, Executor& executor, Task<Result<T>> task, Convert convert) {
  Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  queue.begin(env);
  auto boxed = std::make_unique<Convert>(std::move(convert));
  spawn_on(executor, detail::drive<T, Convert>(std::move(task), &queue, deferred, std::move(boxed)));
  return deferred.Promise();
}

inline Napi::Value promise_of(Napi::Env env, JsQueue& queue, Executor& executor, Task<Result<void>> task) {
  return promise_of<void>(env, queue, executor, std::move(task),
                          [](Napi::Env e) -> Napi::Value { return e.Undefined(); });
}

}  // namespace atl::node
