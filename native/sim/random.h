// random.h: the simulator's dice. One seed, one sequence, on every machine (std::uniform_int_distribution promises that to nobody).
#pragma once

#include <cstdint>

#include "base/verify.h"

namespace atl::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  /// SplitMix64.
  uint64_t next() {
    uint64_t word = state_ += 0x9e3779b97f4a7c15u;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
  }
  /// 0 … bound - 1. The bias is below 2^-32 for all bounds that tests use.
  uint64_t below(uint64_t bound) {
    VERIFY(bound > 0);
    return next() % bound;
  }
  bool one_in(uint64_t n) { return below(n) == 0; }
  /// A generator of its own, so that what one part draws does not move the others.
  Random fork() { return Random{next()}; }

 private:
  uint64_t state_;
};

}  // namespace atl::sim
