#include "nbd/server/buffer_pool.h"

#include <bit>
#include <new>

namespace atl::nbd {
namespace {
constexpr std::align_val_t alignment{4096};
}

BufferPool::~BufferPool() {
  VERIFY(charged_ == 0 && first_ == nullptr);
  for (Free* at : free_)
    while (at != nullptr) {
      Free* next = at->next;
      ::operator delete(at, alignment);
      at = next;
    }
}

size_t BufferPool::class_of(size_t bytes) {
  if (bytes <= smallest_bytes) return 0;
  return static_cast<size_t>(std::bit_width(bytes - 1)) - 12;
}

Buffer BufferPool::take(size_t bytes) {
  const size_t at = class_of(bytes);
  if (at >= classes) {
    const size_t capacity = (bytes + smallest_bytes - 1) / smallest_bytes * smallest_bytes;
    return Buffer{this, static_cast<std::byte*>(::operator new(capacity, alignment)), capacity};
  }
  const size_t capacity = smallest_bytes << at;
  if (Free* free = free_[at]) {
    free_[at] = free->next;
    kept_ -= capacity;
    return Buffer{this, reinterpret_cast<std::byte*>(free), capacity};
  }
  return Buffer{this, static_cast<std::byte*>(::operator new(capacity, alignment)), capacity};
}

void BufferPool::give_back(std::byte* data, size_t capacity) {
  const size_t at = class_of(capacity);
  if (at >= classes || kept_ + capacity > kept_bytes_max) {
    ::operator delete(data, alignment);
    return;
  }
  free_[at] = new (data) Free{free_[at]};
  kept_ += capacity;
}

void BufferPool::serve_waiters() {
  // The whole queue, because the guaranteed go ahead of the others. Those whose own account is full do not hold up the
  // rest; the first who waits for room in all does.
  bool room = true;
  for (Charge** at = &first_; *at != nullptr;) {
    Charge& waiter = **at;
    if ((room || guaranteed(waiter.account, waiter.bytes)) && charge_if_fits(waiter.account, waiter.bytes)) {
      *at = waiter.later;
      if (*at == nullptr) last_ = at;
      Executor::here().post(waiter);
      continue;
    }
    if (charged_ + waiter.bytes > limit_) room = false;
    at = &waiter.later;
  }
}

}  // namespace atl::nbd
