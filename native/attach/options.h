// options.h: the command line of `atoll-attach`.
#pragma once

#include <optional>
#include <string>

#include "attach/netlink.h"
#include "attach/uri.h"
#include "base/result.h"

namespace atl::attach {

/// Exit codes: 0, done; 1, it failed; 2, the command line is wrong.
constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

struct Options {
  enum class Task { attach, resize, detach, help, version } task = Task::attach;
  uint32_t connections = 1;
  bool foreground = false;
  bool force = false;
  ExportUri uri;
  DeviceSettings device;
};

/// The text of --help.
extern const char* const usage;

/// Returns what the arguments ask for, or `invalid` with the argument that is wrong.
Result<Options> options_from(int argc, char** argv);

}  // namespace atl::attach
