// busy_poll.h: whether a loop looks for its next answer for a while before it sleeps.
//
// Why: to be woken costs far more than a request. On a virtual machine with an idle core a client that sends a request at a time
// over a unix socket got 20 000 reads a second from a loop that sleeps, 46 000 from one that looks first, with the same processor
// time for each: the waking had cost it, and not only the loop but the client too, which has to do it.
//
// Rules
//   1. Only waits for others are worth it (clients, other threads): a disk takes longer than the window.
//   2. It is done as long as most waits end within the window. How long waits last is measured whether it is done or not, so that an
//      idle loop sleeps at once, and a busy one learns that looking has become worthwhile.
#pragma once

#include <cstdint>

namespace atl {

class BusyPoll {
 public:
  static constexpr uint64_t usual_window_ns = 50'000;

  /// `window_ns`: how long to look at most; 0: never.
  explicit BusyPoll(uint64_t window_ns) : window_ns_(window_ns) {}

  uint64_t window_ns() const { return window_ns_; }
  bool worthwhile() const { return short_waits_ >= whole / 4; }
  /// A wait ended after so long.
  void waited(uint64_t ns) {
    if (ns <= window_ns_)
      short_waits_ += (whole - short_waits_) / memory;
    else
      short_waits_ -= short_waits_ / memory;
  }

 private:
  static constexpr uint32_t whole = 1 << 16;
  static constexpr uint32_t memory = 8;  // waits after which one has lost most of its weight

  uint64_t window_ns_;
  uint32_t short_waits_ = 0;  // their share of the last waits, of `whole`
};

}  // namespace atl
