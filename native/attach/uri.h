// uri.h: where an export is: "nbd://HOST[:PORT]/NAME" or "nbd+unix:///NAME?socket=PATH" (the NBD project's doc/uri.md).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace atl::attach {

struct ExportUri {
  std::string host;  // empty: a unix socket
  std::string port;
  std::string socket_path;
  std::string name;
};

/// `invalid` for what is no such URI, `unsupported` for TLS: the kernel's client sends and receives in the clear.
Result<ExportUri> parse_uri(std::string_view text);

}  // namespace atl::attach
