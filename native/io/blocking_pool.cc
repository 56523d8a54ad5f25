#include "io/blocking_pool.h"

#include <sys/resource.h>
#include <unistd.h>

#include "io/thread.h"

namespace atl {

Result<std::unique_ptr<BlockingPool>> BlockingPool::create(const std::string& name, uint32_t threads, int nice) {
  VERIFY(threads >= 1);
  std::unique_ptr<BlockingPool> pool{new BlockingPool};
  for (uint32_t i = 0; i < threads; i++) {
    // The number must survive the kernel's limit of 15 bytes, or all threads of a pool look alike.
    const std::string suffix = "-" + std::to_string(i);
    Result<std::thread> thread = start_thread(name.substr(0, 15 - suffix.size()) + suffix, [raw = pool.get(), nice] {
      // Of this thread alone, as Linux has it. Where it is refused the work is done all the same.
      if (nice > 0) (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), nice);
      raw->work();
    });
    if (!thread) return std::move(thread.error());
    pool->threads_.push_back(std::move(*thread));
  }
  return pool;
}

BlockingPool::~BlockingPool() {
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
    wake_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  VERIFY(jobs_.empty());
}

void BlockingPool::post(Job& job) {
  std::lock_guard lock(mutex_);
  jobs_.push(job);
  // Under the lock: once it is released the job may run, end the last user of this pool and so the pool itself.
  if (idle_ > 0) wake_.notify_one();
}

void BlockingPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (Job* job = jobs_.pop()) {
      lock.unlock();
      job->run(*job);  // the node may be gone afterwards
      lock.lock();
      continue;
    }
    if (draining_) return;
    idle_++;
    wake_.wait(lock);
    idle_--;
  }
}

}  // namespace atl
