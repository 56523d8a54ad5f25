// inherited_socket.h: listening sockets that the process was started with, as a service manager passes them
// (sd_listen_fds(3)). Others have them too: what is done to one must not end it for them.
#pragma once

#include <string>

#include "base/result.h"

namespace atl {

/// Makes the descriptor close-on-exec and answers its address, as "HOST:PORT" or "unix:PATH". `invalid`, with the reason, for
/// all but listening stream sockets of TCP, and of unix sockets that have a file (whose permissions guard them).
Result<std::string> inherited_socket_address(int fd);

}  // namespace atl
