// log_line.h: how native code hands lines to the log of the program that it is part of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace atl {

enum class LogLevel : uint8_t { info, warn, error };

/// Called on any thread. Must not wait, and may drop lines. Empty: nobody reads them.
using LogLine = std::function<void(LogLevel level, std::string message)>;

}  // namespace atl
