// log.h: lines of native code in the log of the program, which JavaScript writes.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "base/log_line.h"
#include "nbd/server/report_limit.h"
#include "node/js_queue.h"

namespace atl::node {

/// Lines are dropped, and counted, when there are too many in a short time or JavaScript does not keep up. Lives and dies on the
/// JavaScript thread, after everything that logs has stopped.
class JsLog {
 public:
  /// `log`: (level, message, suppressed) => void, or undefined: lines are dropped.
  JsLog(std::shared_ptr<JsQueue> queue, const Napi::Value& log);

  /// For native code; it must not be called after the log has gone.
  LogLine line();

 private:
  static constexpr uint32_t waiting_max = 64;

  void post(LogLevel level, std::string message);

  const std::shared_ptr<JsQueue> queue_;
  Napi::FunctionReference log_;
  nbd::ReportLimit limit_;
  std::atomic<uint32_t> waiting_{0};
};

}  // namespace atl::node
