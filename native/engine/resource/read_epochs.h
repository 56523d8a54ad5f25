// read_epochs.h: lets the reclaimer wait until every read that began before now has ended, so that space which such a read
// may still be fetching from is not punched under it.
#pragma once

#include <array>
#include <cstdint>

#include "base/async.h"

namespace atl {

/// One for each executor; used on it only.
class ReadEpochs {
 public:
  class Reading {
   public:
    explicit Reading(ReadEpochs& epochs) : epochs_(epochs), epoch_(epochs.current_) { epochs_.reading_[epoch_]++; }
    Reading(const Reading&) = delete;
    ~Reading() {
      if (--epochs_.reading_[epoch_] == 0 && epoch_ != epochs_.current_) epochs_.drained_.wake_all();
    }

   private:
    ReadEpochs& epochs_;
    uint32_t epoch_;
  };

  /// Ends when all reads that were under way have ended. One caller at a time.
  Task<void> drain() {
    const uint32_t old = current_;
    VERIFY(reading_[1 - old] == 0);
    current_ = 1 - old;
    while (reading_[old] > 0) co_await drained_.wait();
  }

 private:
  uint32_t current_ = 0;
  std::array<uint64_t, 2> reading_{};
  Waiters drained_;
};

}  // namespace atl
