#include "node/objects/log.h"

#include <time.h>

#include <optional>

#include "node/js_values.h"

namespace atl::node {
namespace {

uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
  }
  return "error";
}

}  // namespace

JsLog::JsLog(std::shared_ptr<JsQueue> queue, const Napi::Value& log) : queue_(std::move(queue)) {
  if (log.IsFunction()) log_ = Napi::Persistent(log.As<Napi::Function>());
}

LogLine JsLog::line() {
  if (log_.IsEmpty()) return {};
  return [this](LogLevel level, std::string message) { post(level, std::move(message)); };
}

void JsLog::post(LogLevel level, std::string message) {
  if (waiting_.load(std::memory_order_relaxed) >= waiting_max) return limit_.leave_unsaid();
  const std::optional<uint64_t> suppressed = limit_.may_report(now_ns());
  if (!suppressed) return;
  waiting_.fetch_add(1, std::memory_order_relaxed);
  queue_->post_run([this, level, message = std::move(message), count = *suppressed](Napi::Env env) {
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    log_.Value().Call(
        {Napi::String::New(env, level_name(level)), Napi::String::New(env, message), number_value(env, count)});
  });
}

}  // namespace atl::node
