#include "base/frame_pool.h"

#include <array>
#include <new>

namespace atl {
namespace {

constexpr size_t class_bytes = 128;
constexpr size_t classes = 32;           // frames up to 4 KiB are pooled
constexpr size_t kept_per_class = 1024;  // bounds what an idle thread holds: 1024 x 4 KiB at the most per class

struct Free {
  Free* next;
};

struct Lists {
  std::array<Free*, classes> head{};
  std::array<size_t, classes> count{};
  bool alive = true;
  ~Lists() {
    alive = false;
    for (Free* free : head)
      while (free != nullptr) {
        Free* next = free->next;
        ::operator delete(free);
        free = next;
      }
  }
};

thread_local Lists lists;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// The sanitizers must see each frame's life: no reuse behind their back.
constexpr bool pooled = false;
#else
constexpr bool pooled = true;
#endif

}  // namespace

void* FramePool::allocate(size_t bytes) {
  const size_t at = (bytes + class_bytes - 1) / class_bytes;
  if (!pooled || at >= classes) return ::operator new(bytes);
  if (Free* frame = lists.head[at]) {
    lists.head[at] = frame->next;
    lists.count[at]--;
    return frame;
  }
  return ::operator new(at* class_bytes);
}

void FramePool::release(void* frame, size_t bytes) noexcept {
  const size_t at = (bytes + class_bytes - 1) / class_bytes;
  if (!pooled || at >= classes || !lists.alive || lists.count[at] >= kept_per_class) {
    ::operator delete(frame);
    return;
  }
  lists.head[at] = new (frame) Free{lists.head[at]};
  lists.count[at]++;
}

}  // namespace atl
