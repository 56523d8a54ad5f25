#include "sim/machine.h"

#include <algorithm>

namespace atl::sim {
namespace {

constexpr uint64_t job_ns_max = 2000;

}  // namespace

uint64_t SimExecutor::now_ns() const { return machine_.now_ns(); }

void SimExecutor::post_after(Job& job, uint64_t delay_ns) {
  VERIFY(on_thread());
  machine_.timers_.emplace(machine_.now_ns_ + delay_ns, Machine::Timer{this, &job});
}

void SimExecutor::step() {
  Job* job = jobs_.front();
  jobs_.pop_front();
  set_current(this);
  job->run(*job);
  set_current(nullptr);
}

void SimPool::step() {
  const auto at = static_cast<std::ptrdiff_t>(machine_.random().below(std::min<size_t>(threads_, jobs_.size())));
  Job* job = jobs_[static_cast<size_t>(at)];
  jobs_.erase(jobs_.begin() + at);
  job->run(*job);
}

Machine::~Machine() {
  VERIFY(timers_.empty());
  for (const auto& executor : executors_) VERIFY(executor->jobs_.empty());
  for (const auto& pool : pools_) VERIFY(pool->jobs_.empty());
}

SimExecutor& Machine::add_executor() {
  executors_.push_back(std::unique_ptr<SimExecutor>{new SimExecutor{*this}});
  return *executors_.back();
}

SimPool& Machine::add_pool(uint32_t threads) {
  pools_.push_back(std::unique_ptr<SimPool>{new SimPool{*this, threads}});
  return *pools_.back();
}

bool Machine::step() {
  while (!timers_.empty() && timers_.begin()->first <= now_ns_) {
    const Timer timer = timers_.begin()->second;
    timers_.erase(timers_.begin());
    timer.executor->post(*timer.job);
  }
  size_t ready = 0;
  for (const auto& executor : executors_) ready += !executor->jobs_.empty();
  for (const auto& pool : pools_) ready += !pool->jobs_.empty();
  if (ready == 0) {
    if (timers_.empty()) return false;
    now_ns_ = timers_.begin()->first;
    return true;
  }
  now_ns_ += random_.below(job_ns_max);
  uint64_t chosen = random_.below(ready);
  for (const auto& executor : executors_)
    if (!executor->jobs_.empty() && chosen-- == 0) {
      executor->step();
      return true;
    }
  for (const auto& pool : pools_)
    if (!pool->jobs_.empty() && chosen-- == 0) {
      pool->step();
      return true;
    }
  return true;
}

void Machine::run_until_idle(uint64_t steps_max) {
  for (uint64_t steps = 0; step(); steps++) VERIFY(steps < steps_max);
}

void Machine::run(SimExecutor& executor, Task<void> task) {
  struct Mark {
    static Task<void> run(Task<void> inner, bool* over) {
      co_await inner;
      *over = true;
    }
  };
  bool done = false;
  spawn_on(executor, Mark::run(std::move(task), &done));
  while (!done) VERIFY(step());
}

}  // namespace atl::sim
