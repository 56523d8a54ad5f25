// executor.h: where tasks run. A JobSink takes jobs from any thread; an Executor is one thread (or, in the simulator, one
// step machine) that runs them in order; a BlockingPool (blocking_pool.h) runs them on threads that may block.
//
// A task moves by `co_await sink.schedule()`: what follows runs there. To do blocking work and come back:
//   Executor& home = Executor::here();
//   co_await pool.schedule();  ...blocking...  co_await home.schedule();
#pragma once

#include <coroutine>
#include <cstdint>
#include <utility>

#include "base/task.h"
#include "base/verify.h"

namespace atl {

/// Intrusive: the poster owns the node until run() is called, and the node may be gone when run() returns.
struct Job {
  void (*run)(Job&) noexcept = nullptr;
  Job* next = nullptr;
};

class JobSink {
 public:
  virtual ~JobSink() = default;
  /// Thread-safe; never runs the job before it returns.
  virtual void post(Job& job) = 0;

  struct Hop : Job {
    JobSink& sink;
    std::coroutine_handle<> handle{};
    explicit Hop(JobSink& to) : sink(to) {
      run = [](Job& job) noexcept { static_cast<Hop&>(job).handle.resume(); };
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiter) noexcept {
      handle = awaiter;
      sink.post(*this);
    }
    void await_resume() const noexcept {}
  };

  /// Continue on this sink (always through its queue, so it is also the way to yield).
  Hop schedule() { return Hop{*this}; }
};

class Executor : public JobSink {
 public:
  /// The executor whose thread this is; null on any other thread.
  static Executor* current() { return current_; }
  static Executor& here() {
    VERIFY(current_ != nullptr);
    return *current_;
  }
  bool on_thread() const { return current_ == this; }

  /// Monotonic; the simulator's own clock there.
  virtual uint64_t now_ns() const = 0;
  /// Runs the job on this executor at or after now_ns() + delay_ns. Only from its own thread.
  virtual void post_after(Job& job, uint64_t delay_ns) = 0;

  struct Sleep : Job {
    Executor& executor;
    uint64_t delay_ns;
    std::coroutine_handle<> handle{};
    Sleep(Executor& on, uint64_t delay) : executor(on), delay_ns(delay) {
      run = [](Job& job) noexcept { static_cast<Sleep&>(job).handle.resume(); };
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiter) noexcept {
      handle = awaiter;
      executor.post_after(*this, delay_ns);
    }
    void await_resume() const noexcept {}
  };
  Sleep sleep_ns(uint64_t delay_ns) { return Sleep{*this, delay_ns}; }

 protected:
  /// Set by run() of an implementation for the time it owns the thread.
  static void set_current(Executor* executor) { current_ = executor; }

 private:
  static inline thread_local Executor* current_ = nullptr;
};

/// Runs a task on another executor and comes back to the caller's with its result.
template <class T>
Task<T> run_on(Executor& target, Task<T> task) {
  Executor& home = Executor::here();
  if (&target == &home) co_return co_await task;
  co_await target.schedule();
  if constexpr (std::is_void_v<T>) {
    co_await task;
    co_await home.schedule();
  } else {
    T value = co_await task;
    co_await home.schedule();
    co_return value;
  }
}

/// A fire-and-forget start from any thread: the task runs on `target`.
inline void spawn_on(JobSink& target, Task<void> task) {
  struct Start {
    static Task<void> run(JobSink* sink, Task<void> task) {
      co_await sink->schedule();
      co_await task;
    }
  };
  spawn(Start::run(&target, std::move(task)));
}

}  // namespace atl
