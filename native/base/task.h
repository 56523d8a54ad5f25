// task.h: Task<T>, a lazily started coroutine that belongs to one executor.
//
// Rules
//   1. A task starts when it is awaited (or spawned) and resumes its awaiter by symmetric transfer: deep chains use no stack.
//      GCC makes that a jump from -O2 on, but a call under ASan and TSan: there, some ten thousand awaits that are answered at
//      once, without one real suspension between them, fill the stack.
//   2. A task runs wholly on the executor on which it was started; awaitables resume on that same executor.
//   3. Frames come from a free list of the thread (frame_pool.h): no call of malloc per request in steady state. A frame may be
//      freed on another thread than the one it came from; it then joins that thread's list.
//   4. No exceptions: a failure is a Result. An exception that reaches a task aborts.
//   5. Never pass a reference to a temporary into a coroutine that outlives the full expression. Lambdas that are
//      coroutines capture nothing; they take parameters (by value) instead.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/frame_pool.h"
#include "base/verify.h"

namespace atl {

template <class T>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation;

  static void* operator new(size_t bytes) { return FramePool::allocate(bytes); }
  static void operator delete(void* frame, size_t bytes) { FramePool::release(frame, bytes); }

  std::suspend_always initial_suspend() noexcept { return {}; }
  struct Final {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      auto next = handle.promise().continuation;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { VERIFY(!"exception in a task"); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
    handle_.promise().continuation = awaiter;
    return handle_;
  }
  T await_resume() {
    if constexpr (!std::is_void_v<T>) {
      VERIFY(handle_.promise().value.has_value());
      return std::move(*handle_.promise().value);
    }
  }

 private:
  Handle handle_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() {
  return Task<T>{std::coroutine_handle<Promise<T>>::from_promise(*this)};
}
inline Task<void> detail::Promise<void>::get_return_object() {
  return Task<void>{std::coroutine_handle<Promise<void>>::from_promise(*this)};
}

namespace detail {

struct Detached {
  struct promise_type {
    static void* operator new(size_t bytes) { return FramePool::allocate(bytes); }
    static void operator delete(void* frame, size_t bytes) { FramePool::release(frame, bytes); }
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { VERIFY(!"exception in a spawned task"); }
  };
};

inline Detached run_detached(Task<void> task) { co_await task; }

}  // namespace detail

/// Starts a task at once on the calling executor and forgets it; it frees itself at its end.
inline void spawn(Task<void> task) { detail::run_detached(std::move(task)); }

}  // namespace atl
