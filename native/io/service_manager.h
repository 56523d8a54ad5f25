// service_manager.h: what a service tells its service manager of itself (sd_notify(3)): lines of NAME=VALUE in one datagram.
#pragma once

#include <string>

#include "base/result.h"

namespace atl {

/// `address`: NOTIFY_SOCKET, the path of a unix datagram socket, or "@NAME" in the abstract namespace. Waits for at most a
/// second for room in the receiver's queue. `invalid`: it is no such address.
Result<void> notify_service_manager(const std::string& address, const std::string& state);

}  // namespace atl
