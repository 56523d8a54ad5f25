// on_pool.h: blocking work on another thread, from a task.
#pragma once

#include <type_traits>

#include "base/task.h"
#include "io/executor.h"

namespace atl {

/// Calls `block` on the pool and comes back to the calling executor with its answer.
template <class Block>
Task<std::invoke_result_t<Block&>> on_pool(JobSink& pool, Block block) {
  Executor& home = Executor::here();
  co_await pool.schedule();
  std::invoke_result_t<Block&> answer = block();
  co_await home.schedule();
  co_return answer;
}

}  // namespace atl
