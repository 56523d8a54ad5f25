// async.h: waiting among tasks of one executor: Waiters (a queue of suspended tasks) and when_all.
//
// Nothing here is thread-safe: all parties run on the same executor.
#pragma once

#include <coroutine>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/task.h"

namespace atl {

/// Tasks that wait for a condition of their owner. The waker makes the condition true, then wakes; a woken task
/// looks at the condition again (others may have run first).
class Waiters {
 public:
  Waiters() = default;
  Waiters(const Waiters&) = delete;
  ~Waiters() { VERIFY(first_ == nullptr); }

  struct Wait {
    Waiters& queue;
    std::coroutine_handle<> handle{};
    Wait* next = nullptr;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiter) noexcept {
      handle = awaiter;
      *queue.last_ = this;
      queue.last_ = &next;
    }
    void await_resume() const noexcept {}
  };

  Wait wait() { return Wait{*this}; }
  bool empty() const { return first_ == nullptr; }

  /// Resumes everyone who waits now, in order; those who wait again meanwhile stay for the next call.
  void wake_all() {
    Wait* at = std::exchange(first_, nullptr);
    last_ = &first_;
    while (at != nullptr) {
      Wait* next = at->next;  // the node dies with its frame's suspension
      at->handle.resume();
      at = next;
    }
  }

 private:
  Wait* first_ = nullptr;
  Wait** last_ = &first_;
};

/// Runs tasks concurrently and ends when all have ended; the first error (in order of the tasks) wins.
inline Task<Result<void>> when_all(std::vector<Task<Result<void>>> tasks) {
  struct State {
    size_t left;
    std::coroutine_handle<> waiter{};
    std::vector<Result<void>> results;
  } state{tasks.size() + 1, {}, {}};
  state.results.resize(tasks.size());
  struct Runner {
    static Task<void> run(Task<Result<void>> task, State* state, size_t at) {
      state->results[at] = co_await task;
      if (--state->left == 0) state->waiter.resume();
    }
  };
  struct Last {
    State& state;
    bool await_ready() const noexcept { return --state.left == 0; }
    void await_suspend(std::coroutine_handle<> handle) noexcept { state.waiter = handle; }
    void await_resume() const noexcept {}
  };
  for (size_t i = 0; i < tasks.size(); i++) spawn(Runner::run(std::move(tasks[i]), &state, i));
  co_await Last{state};
  for (Result<void>& result : state.results)
    if (!result) co_return std::move(result);
  co_return Result<void>{};
}

}  // namespace atl
