#include "io/reactor.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace atl {
namespace {

// Between two looks at the kernel: small enough that a request never waits long behind jobs, large enough that the system
// call of a turn is shared by many.
constexpr int batch_jobs = 128;

}  // namespace

Reactor::~Reactor() {
  VERIFY(queue_.empty() && ready_.empty());  // a job that will never run is a task that will never end
  ::close(wake_fd_);
}

void Reactor::post(Job& job) {
  if (queue_.push(job)) wake();
}

void Reactor::wake() {
  const uint64_t one = 1;
  VERIFY(::write(wake_fd_, &one, sizeof one) == sizeof one);
}

void Reactor::take_wakes() {
  uint64_t writes = 0;
  if (::read(wake_fd_, &writes, sizeof writes) == sizeof writes) wakes_owed_ -= static_cast<int64_t>(writes);
}

void Reactor::stop() {
  if (!stopping_.exchange(true, std::memory_order_acq_rel)) wake();
}

uint64_t Reactor::now_ns() const {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void Reactor::post_after(Job& job, uint64_t delay_ns) {
  VERIFY(on_thread());
  const uint64_t now = now_ns();
  const uint64_t due = delay_ns < forever - now ? now + delay_ns : forever;
  timers_.push_back(Timer{due, timers_set_++, &job});
  std::push_heap(timers_.begin(), timers_.end());
}

void Reactor::submit(Op& op) {
  VERIFY(on_thread());
  in_flight_++;
  page_cache_.begun(op);
  const int32_t result = page_cache_.attempt(op);
  if (result != PageCacheIo::not_here) return finish(op, result);
  begin(op);
}

void Reactor::resume_op(Job& job) noexcept {
  Op& op = static_cast<Op&>(job);
  Reactor& self = static_cast<Reactor&>(op.loop);
  self.in_flight_--;
  self.page_cache_.ended(op);
  op.handle.resume();
}

void Reactor::finish(Op& op, int32_t result) {
  op.result = result;
  op.run = resume_op;
  ready_.push(op);
}

void Reactor::finish_from_thread(Op& op, int32_t result) {
  op.result = result;
  op.run = resume_op;
  op.loop.post(op);
}

void Reactor::take_posted() {
  const bool slept = std::exchange(asleep_, false);
  JobList posted = queue_.take();
  if (slept && !posted.empty()) wakes_owed_++;  // the first of them found the queue asleep
  ready_.append(posted);
  if (!stop_seen_ && stopping()) {
    stop_seen_ = true;
    wakes_owed_++;
  }
}

void Reactor::take_timers() {
  if (timers_.empty()) return;
  const uint64_t now = stop_seen_ ? forever : now_ns();
  while (!timers_.empty() && timers_.front().due_ns <= now) {
    ready_.push(*timers_.front().job);
    std::pop_heap(timers_.begin(), timers_.end());
    timers_.pop_back();
  }
}

void Reactor::run_batch() {
  for (int i = 0; i < batch_jobs; i++) {
    Job* job = ready_.pop();
    if (job == nullptr) return;
    job->run(*job);  // the node may be gone afterwards
  }
}

bool Reactor::done() {
  // The stop is looked at before the queue: what was posted before stop() is seen.
  return stop_seen_ && in_flight_ == 0 && ready_.empty() && timers_.empty() && queue_.empty();
}

uint64_t Reactor::next_wait() {
  if (!ready_.empty() || (stop_seen_ && !timers_.empty())) return no_wait;
  uint64_t wait = forever;
  if (!timers_.empty() && timers_.front().due_ns != forever) {
    const uint64_t now = now_ns();
    const uint64_t due = timers_.front().due_ns;
    if (due <= now) return no_wait;
    wait = due - now;
  }
  if (!queue_.sleep()) return no_wait;
  asleep_ = true;
  return wait;
}

void Reactor::run() {
  VERIFY(current() == nullptr && !ran_);
  ran_ = true;
  set_current(this);
  on_start();
  for (;;) {
    take_posted();
    take_timers();
    run_batch();
    if (done()) break;
    poll(next_wait());
  }
  while (wakes_owed_ > 0) poll(forever);
  set_current(nullptr);
}

}  // namespace atl
