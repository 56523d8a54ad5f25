// frame_pool.h: free lists of coroutine frames, one set per thread, by size class.
#pragma once

#include <cstddef>

namespace atl {

class FramePool {
 public:
  static void* allocate(size_t bytes);
  /// `bytes` is the size that was asked for.
  static void release(void* frame, size_t bytes) noexcept;
};

}  // namespace atl
