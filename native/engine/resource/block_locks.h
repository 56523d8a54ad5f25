// block_locks.h: keeps read-modify-writes of a block apart from every other write to it (I4), and trims likewise.
//
// Writes of whole blocks share a block with each other (a client that races with itself gets either order); a
// read-modify-write and a trim exclude them. Nearly all traffic is shared: then taking and giving back is two pointer writes.
#pragma once

#include <cstdint>

#include "base/async.h"
#include "base/mutation.h"

namespace atl {

class BlockLocks {
 public:
  /// A claim on blocks [first, end) of the resource; lives in the frame of the write.
  class Claim {
   public:
    Claim(BlockLocks& locks, uint64_t first, uint64_t end, bool exclusive)
        : locks_(locks), first_(first), end_(end), exclusive_(exclusive) {}
    Claim(const Claim&) = delete;
    ~Claim() {
      if (held_) locks_.release(*this);
    }

   private:
    friend class BlockLocks;
    BlockLocks& locks_;
    uint64_t first_;
    uint64_t end_;
    bool exclusive_;
    bool held_ = false;
    Claim* previous_ = nullptr;
    Claim* next_ = nullptr;
  };

  bool try_acquire(Claim& claim) {
    if (mutated(Mutation::no_block_locks)) return true;
    if (claim.exclusive_ || exclusive_held_ > 0)
      for (const Claim* held = held_; held != nullptr; held = held->next_)
        if (held->first_ < claim.end_ && claim.first_ < held->end_ && (held->exclusive_ || claim.exclusive_))
          return false;
    claim.held_ = true;
    claim.next_ = held_;
    if (held_ != nullptr) held_->previous_ = &claim;
    held_ = &claim;
    if (claim.exclusive_) exclusive_held_++;
    return true;
  }

  /// To be awaited after try_acquire failed; then try again.
  Waiters::Wait changed() { return waiters_.wait(); }

 private:
  void release(Claim& claim) {
    if (claim.previous_ != nullptr)
      claim.previous_->next_ = claim.next_;
    else
      held_ = claim.next_;
    if (claim.next_ != nullptr) claim.next_->previous_ = claim.previous_;
    claim.held_ = false;
    if (claim.exclusive_) exclusive_held_--;
    if (!waiters_.empty()) waiters_.wake_all();
  }

  Claim* held_ = nullptr;
  uint32_t exclusive_held_ = 0;
  Waiters waiters_;
};

}  // namespace atl
