// export.h: the client's side of the handshake, as much as the kernel's client needs: a socket in the transmission phase. With
// TLS it is one end of a pair, and a pump passes on what goes between the other end and the server.
//
// Only what the kernel speaks is negotiated: simple replies, no metadata.
#pragma once

#include <cstdint>
#include <memory>

#include "attach/socket.h"
#include "attach/tls_pump.h"
#include "attach/uri.h"
#include "base/result.h"

namespace atl::attach {

struct Export {
  uint64_t size_bytes = 0;
  uint16_t flags = 0;            // transmission flags
  uint32_t block_bytes_min = 1;  // what the server asks for
};

struct OpenedExport {
  Socket socket;  // the kernel's end
  Export facts;
  std::unique_ptr<TlsPump> pump;  // between the socket and the server, with TLS
};

/// Connects and chooses the export, in at most 30 seconds after the connection is there.
Result<OpenedExport> open_export(const ExportUri& uri);

/// How large the export is now, by a connection of its own (NBD_OPT_INFO).
Result<Export> look_at_export(const ExportUri& uri);

}  // namespace atl::attach
