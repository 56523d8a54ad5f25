// busy_poll.h: whether a loop looks for its next answer for a while before it sleeps.
//
// Why: to be woken costs far more than a request. On a virtual machine with an idle core a client that sends a request at a time
// over a unix socket got 20 000 reads a second from a loop that sleeps, 46 000 from one that looks first, with the same processor
// time for each: the waking had cost it, and not only the loop but the client too, which has to do it.
//
// Rules
//   1. For clients and other threads a loop looks for one window. For a disk, which takes longer than that, it looks for two windows for each
//      request that is with it, up to eight: the more there are the sooner the next answer comes, and the less each pays for the looking.
//   2. What a kernel worker does (writes into the page cache, syncs) is waited for asleep: it needs the processor itself.
//   3. It is done as long as most waits end within the window. How long waits last is measured whether it is done or not, so that an
//      idle loop sleeps at once, and a busy one learns that looking has become worthwhile.
#pragma once

#include <algorithm>
#include <cstdint>

namespace atl {

class BusyPoll {
 public:
  static constexpr uint64_t usual_window_ns = 50'000;

  bool worthwhile() const { return short_waits_ >= whole / 4; }
  /// A wait for which there would have been a window of `window_ns` ended after `ns`.
  void waited(uint64_t ns, uint64_t window_ns) {
    if (ns <= window_ns)
      short_waits_ += (whole - short_waits_) / memory;
    else
      short_waits_ -= short_waits_ / memory;
  }

 private:
  static constexpr uint32_t whole = 1 << 16;
  static constexpr uint32_t memory = 8;  // waits after which one has lost most of its weight

  uint32_t short_waits_ = 0;  // their share of the last waits, of `whole`
};

/// How long to look for the answer of a disk that has so many requests, where one window is so long.
inline uint64_t disk_window_ns(uint64_t requests, uint64_t window_ns) {
  return std::min<uint64_t>(2 * requests, 8) * window_ns;
}

}  // namespace atl
