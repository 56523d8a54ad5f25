// job_queue.h: intrusive FIFO lists of jobs: JobList for one thread, JobQueue from many threads to one.
//
// JobQueue invariants
//   1. Jobs come out in the order in which they went in, whichever thread posted them.
//   2. A consumer announces that it will sleep; of all who post until it takes again exactly one is told to wake it. Posting to
//      a consumer that is awake is one atomic operation and no system call.
#pragma once

#include <atomic>

#include "io/executor.h"

namespace atl {

class JobList {
 public:
  bool empty() const { return first_ == nullptr; }

  void push(Job& job) {
    job.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &job;
    last_ = &job;
  }

  void push_front(Job& job) {
    if (first_ == nullptr) last_ = &job;
    job.next = first_;
    first_ = &job;
  }

  /// The oldest job, or null.
  Job* pop() {
    Job* job = first_;
    if (job != nullptr) first_ = job->next;
    return job;
  }

  /// Moves all of the other list behind this one's.
  void append(JobList other) {
    if (other.first_ == nullptr) return;
    (first_ == nullptr ? first_ : last_->next) = other.first_;
    last_ = other.last_;
  }

 private:
  Job* first_ = nullptr;
  Job* last_ = nullptr;  // meaningful only when there is a first
};

class JobQueue {
 public:
  JobQueue() = default;
  JobQueue(const JobQueue&) = delete;

  /// Any thread. True: the consumer sleeps, and the caller must wake it.
  bool push(Job& job) {
    Job* newest = newest_.load(std::memory_order_relaxed);
    do {
      job.next = newest == &asleep_ ? nullptr : newest;
    } while (!newest_.compare_exchange_weak(newest, &job, std::memory_order_release, std::memory_order_relaxed));
    return newest == &asleep_;  // the job itself may be gone by now
  }

  /// Consumer only: everything posted so far, oldest first. Ends a sleep.
  JobList take() {
    JobList list;
    if (newest_.load(std::memory_order_relaxed) == nullptr) return list;
    Job* job = newest_.exchange(nullptr, std::memory_order_acquire);
    if (job == &asleep_) return list;
    while (job != nullptr) {
      Job* older = job->next;
      list.push_front(*job);
      job = older;
    }
    return list;
  }

  /// Consumer only: announces a sleep; false when there is something to take instead.
  bool sleep() {
    Job* expected = nullptr;
    return newest_.compare_exchange_strong(expected, &asleep_, std::memory_order_acq_rel);
  }

  /// Consumer only.
  bool empty() const {
    Job* newest = newest_.load(std::memory_order_acquire);
    return newest == nullptr || newest == &asleep_;
  }

 private:
  std::atomic<Job*> newest_{nullptr};
  Job asleep_;  // never run: its address says that the consumer sleeps
};

}  // namespace atl
