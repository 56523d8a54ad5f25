// report_limit.h: how many reports of one kind go to the log. Clients decide how often something fails; neither the log nor the
// thread that writes it may drown in that.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

namespace atl::nbd {

/// Any thread.
class ReportLimit {
 public:
  static constexpr uint64_t window_ns = 10'000'000'000;
  static constexpr uint32_t reports_per_window = 20;

  /// Whether one may go to the log now; if so, how many did not since the last that did. `now_ns`: the clocks of different loops
  /// may be a little apart.
  std::optional<uint64_t> may_report(uint64_t now_ns) {
    const std::lock_guard lock(mutex_);
    if (now_ns >= window_end_ns_) {
      window_end_ns_ = now_ns + window_ns;
      reports_ = 0;
    }
    if (reports_ >= reports_per_window) {
      unsaid_++;
      return std::nullopt;
    }
    reports_++;
    return std::exchange(unsaid_, 0);
  }

  /// Of one that would only say again what was just said.
  void leave_unsaid() {
    const std::lock_guard lock(mutex_);
    unsaid_++;
  }

 private:
  std::mutex mutex_;
  uint64_t window_end_ns_ = 0;
  uint32_t reports_ = 0;
  uint64_t unsaid_ = 0;
};

}  // namespace atl::nbd
