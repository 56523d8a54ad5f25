// chunk_buffers.h: the memory that chunks of uploads are gathered in. Some buffers are kept for those who come next: fresh memory has to be
// found and cleared by the kernel, page by page.
#pragma once

#include <mutex>
#include <vector>

#include "base/aligned_buffer.h"

namespace atl {

/// From any thread.
class ChunkBuffers {
 public:
  /// Of region_bytes each. All uploads together keep no more than these when they stand still.
  static constexpr size_t kept_max = 8;

  AlignedBuffer take() {
    {
      const std::scoped_lock lock{mutex_};
      if (!kept_.empty()) {
        AlignedBuffer buffer = std::move(kept_.back());  // the one used last: it may be in a processor's cache
        kept_.pop_back();
        return buffer;
      }
    }
    return AlignedBuffer{region_bytes};
  }

  void give_back(AlignedBuffer buffer) {
    const std::scoped_lock lock{mutex_};
    if (kept_.size() < kept_max) kept_.push_back(std::move(buffer));
  }

 private:
  std::mutex mutex_;
  std::vector<AlignedBuffer> kept_;
};

}  // namespace atl
