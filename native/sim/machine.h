// machine.h: a deterministic step machine: executors and pools as queues, a virtual clock, and one die that says who is next.
//
// Rules
//   1. One thread runs everything, one job after another; a seed gives one interleaving, always the same.
//   2. Within one executor jobs run in the order of posting, as on a real loop; which executor or pool goes next is drawn. A pool of
//      n threads may finish its oldest n jobs in any order.
//   3. Time passes when a job runs (a little) and when nothing can run (up to the next timer). No wall clock is looked at.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/executor.h"
#include "sim/random.h"

namespace atl::sim {

class Machine;

/// A simulated reactor.
class SimExecutor final : public Executor {
 public:
  void post(Job& job) override { jobs_.push_back(&job); }
  uint64_t now_ns() const override;
  void post_after(Job& job, uint64_t delay_ns) override;

 private:
  friend class Machine;
  explicit SimExecutor(Machine& machine) : machine_(machine) {}
  void step();

  Machine& machine_;
  std::deque<Job*> jobs_;
};

/// A simulated BlockingPool.
class SimPool final : public JobSink {
 public:
  void post(Job& job) override { jobs_.push_back(&job); }

 private:
  friend class Machine;
  SimPool(Machine& machine, uint32_t threads) : machine_(machine), threads_(threads) {}
  void step();

  Machine& machine_;
  const uint32_t threads_;
  std::deque<Job*> jobs_;
};

class Machine {
 public:
  explicit Machine(uint64_t seed) : random_(seed) {}
  Machine(const Machine&) = delete;
  /// Nothing may wait to be run.
  ~Machine();

  /// They live as long as the machine.
  SimExecutor& add_executor();
  SimPool& add_pool(uint32_t threads = 1);

  uint64_t now_ns() const { return now_ns_; }
  Random& random() { return random_; }

  /// Runs one job, or moves the clock to the next timer; false when there is neither.
  bool step();
  /// Runs until nothing is left. Aborts after `steps_max`, which means tasks that wake each other for ever.
  void run_until_idle(uint64_t steps_max = 50'000'000);

  /// Runs the task on the executor to its end, and whatever else is ready meanwhile. It must not wait for something outside.
  template <class T>
  T run(SimExecutor& executor, Task<T> task) {
    std::optional<T> answer;
    spawn_on(executor, into(std::move(task), &answer));
    while (!answer) VERIFY(step());
    return std::move(*answer);
  }
  void run(SimExecutor& executor, Task<void> task);

 private:
  friend class SimExecutor;
  template <class T>
  static Task<void> into(Task<T> task, std::optional<T>* answer) {
    T value = co_await task;
    answer->emplace(std::move(value));
  }
  struct Timer {
    SimExecutor* executor;
    Job* job;
  };

  Random random_;
  uint64_t now_ns_ = 0;
  std::vector<std::unique_ptr<SimExecutor>> executors_;
  std::vector<std::unique_ptr<SimPool>> pools_;
  std::multimap<uint64_t, Timer> timers_;  // by due time; those due together in the order in which they were set
};

}  // namespace atl::sim
