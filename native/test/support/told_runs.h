// told_runs.h: judging the answers to block status questions.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "engine/block_device.h"

namespace atl::testing {

/// The runs cover all bytes, neighbours differ, and `holds(byte, flags)` is true of each.
template <class Holds>
void expect_told(uint64_t bytes, const std::vector<StatusRun>& runs, Holds holds) {
  uint64_t at = 0;
  for (size_t i = 0; i < runs.size(); i++) {
    REQUIRE(runs[i].length > 0);
    REQUIRE(at + runs[i].length <= bytes);
    if (i > 0) REQUIRE(runs[i].flags != runs[i - 1].flags);
    for (const uint64_t end = at + runs[i].length; at < end; at++)
      if (!holds(at, runs[i].flags)) FAIL("byte " << at << " is told wrongly: " << runs[i].flags);
  }
  REQUIRE(at == bytes);
}

}  // namespace atl::testing
