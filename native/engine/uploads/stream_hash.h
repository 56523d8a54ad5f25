// stream_hash.h: the hash of a whole stream, computed on a thread of a pool while the stream comes in.
//
// Invariants
//   1. Bytes are hashed in the order in which they were fed, by one job at a time; it goes on with what was fed meanwhile.
//   2. The job shares the state: whoever fed and waited may be gone before it ends.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "io/executor.h"
#include "store/hashing.h"

namespace atl {

class StreamHash {
 public:
  StreamHash(HashKind kind, JobSink& pool) : pool_(pool), state_(std::make_shared<State>(kind)) {}

  /// From any thread, one call at a time. The bytes must stay until passed() has answered for them.
  void feed(Bytes bytes);
  /// Hashes them before it returns, on the calling thread: for so few that another's wake-up would cost more. All that was fed before
  /// has passed.
  Result<void> add(Bytes bytes);
  /// Answers on the calling executor when the first `count` bytes of the stream are hashed, or hashing failed.
  Task<Result<void>> passed(uint64_t count);
  /// Lower-case hexadecimal digits. All that was fed has passed.
  Result<std::string> finish_hex();

 private:
  struct State;
  /// A task that waits in passed().
  struct Passing : Job {
    State& state;
    const uint64_t count;
    Executor* home = nullptr;
    std::coroutine_handle<> handle{};
    Passing* after = nullptr;
    Passing(State& of, uint64_t bytes) : state(of), count(bytes) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> awaiter);
    void await_resume() const noexcept {}
  };
  struct State {
    explicit State(HashKind kind) : hash(kind) {}
    bool has_passed(uint64_t count) const { return passed >= count || !result; }
    /// Those whom nothing keeps any more. Under the lock.
    Passing* take_passed();

    RunningHash hash;  // the job's while it runs
    std::mutex mutex;  // guards all below
    std::deque<Bytes> fed;
    uint64_t passed = 0;
    Result<void> result;
    bool running = false;
    Passing* waiting = nullptr;
  };
  static Task<void> run(std::shared_ptr<State> state, JobSink* pool);

  JobSink& pool_;
  std::shared_ptr<State> state_;
};

}  // namespace atl
