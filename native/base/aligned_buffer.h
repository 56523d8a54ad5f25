// aligned_buffer.h: heap bytes aligned to a block, fit for direct I/O. (A coroutine's frame cannot hold them: GCC does not
// honour alignment beyond 16 bytes there.)
#pragma once

#include <cstdlib>
#include <memory>

#include "base/types.h"
#include "base/verify.h"

namespace atl {

class AlignedBuffer {
 public:
  /// The bytes are not initialised.
  explicit AlignedBuffer(size_t bytes)
      : data_(static_cast<std::byte*>(
            std::aligned_alloc(block_bytes, (bytes + block_bytes - 1) / block_bytes * block_bytes))),
        size_(bytes) {
    VERIFY(data_ != nullptr);
  }
  std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  MutableBytes bytes() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_;
};

}  // namespace atl
