// busy_pool.h: a pool whose threads have no time until the test says so: work that was posted waits, and other things happen first.
#pragma once

#include "io/job_queue.h"

namespace atl::testing {

/// While `busy`, jobs are held until release().
class BusyPool final : public JobSink {
 public:
  explicit BusyPool(JobSink& free) : free_(free) {}
  void post(Job& job) override {
    if (busy)
      held_.push(job);
    else
      free_.post(job);
  }
  void release() {
    busy = false;
    while (Job* job = held_.pop()) free_.post(*job);
  }
  bool holds_any() const { return !held_.empty(); }
  bool busy = false;

 private:
  JobSink& free_;
  JobList held_;
};

}  // namespace atl::testing
