// options.h: the command line of `atoll-attach`.
#pragma once

#include <optional>
#include <string>

#include "attach/device_state.h"
#include "base/result.h"

namespace atl::attach {

/// Exit codes: 0, done; 1, it failed; 2, the command line is wrong.
constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

struct Options {
  enum class Task { attach, resume, resize, detach, list, help, version } task = Task::attach;
  bool foreground = false;
  bool force = false;
  std::optional<uint32_t> index;  // of the device; none: a free one
  DeviceState state;              // of the device to be attached
};

/// The text of --help.
extern const char* const usage;

/// Returns what the arguments ask for, or `invalid` with the argument that is wrong.
Result<Options> options_from(int argc, char** argv);

}  // namespace atl::attach
