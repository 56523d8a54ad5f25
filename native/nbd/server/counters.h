// counters.h: what the server counts. Each loop counts for itself (one writer, relaxed atomics: no locked instruction on
// the hot path); readers add up.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "nbd/protocol/protocol.h"

namespace atl {

/// Sums at one moment; all but `connections` only grow.
struct NbdCounters {
  uint64_t connections = 0;  // now open
  uint64_t accepted = 0;
  uint64_t refused = 0;                                 // over the limit on connections
  uint64_t handshakes_failed = 0;                       // ended before an export was chosen, ABORT included
  std::array<uint64_t, nbd::command_kinds> requests{};  // by nbd::Command; refused ones included
  uint64_t errors = 0;                                  // requests answered with an error
  uint64_t bytes_read = 0;                              // payload of successful READs
  uint64_t bytes_written = 0;                           // payload of successful WRITEs
};

namespace nbd {

class Counter {
 public:
  /// From its one writer.
  void add(uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct alignas(64) LoopCounters {
  Counter accepted, refused, handshakes_failed, errors, bytes_read, bytes_written;
  std::array<Counter, command_kinds> requests;
};

}  // namespace nbd
}  // namespace atl
