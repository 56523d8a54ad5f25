// status_runs.h: builds the answer to a block status question: runs of bytes with equal flags, clipped to what was asked.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/block_device.h"

namespace atl {

class StatusRuns {
 public:
  StatusRuns(uint64_t offset, uint64_t length, uint32_t max_runs)
      : at_(offset), end_(offset + length), max_runs_(max_runs) {}

  /// Where the answer ends so far, a byte of the device.
  uint64_t at() const { return at_; }
  bool complete() const { return at_ == end_ || full_; }

  /// From where the answer ends up to block `end` it is `flags`. Blocks behind the question's end are left out.
  void extend(uint64_t end_block, uint64_t flags) {
    const uint64_t to = std::min(end_, end_block * block_bytes);
    if (full_ || to <= at_) return;
    if (!runs_.empty() && runs_.back().flags == flags) {
      runs_.back().length += to - at_;
    } else if (runs_.size() == max_runs_) {
      full_ = true;
      return;
    } else {
      runs_.push_back({to - at_, flags});
    }
    at_ = to;
  }

  std::vector<StatusRun> take() { return std::move(runs_); }

 private:
  uint64_t at_;
  const uint64_t end_;
  const uint32_t max_runs_;
  bool full_ = false;
  std::vector<StatusRun> runs_;
};

}  // namespace atl
