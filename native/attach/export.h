// export.h: the client's side of the handshake, as much as the kernel's client needs: a socket in the transmission phase.
//
// Only what the kernel speaks is negotiated: simple replies, no metadata.
#pragma once

#include <cstdint>

#include "attach/uri.h"
#include "base/result.h"

namespace atl::attach {

/// Closes itself.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

struct Export {
  uint64_t size_bytes = 0;
  uint16_t flags = 0;            // transmission flags
  uint32_t block_bytes_min = 1;  // what the server asks for
};

struct OpenedExport {
  Socket socket;
  Export facts;
};

/// Connects and chooses the export. Each step of the other side may take ten seconds.
Result<OpenedExport> open_export(const ExportUri& uri);

/// How large the export is now, by a connection of its own (NBD_OPT_INFO).
Result<Export> look_at_export(const ExportUri& uri);

}  // namespace atl::attach
