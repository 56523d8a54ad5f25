// limits.h: every bound of the NBD server, in one place. docs/nbd.md repeats them.
#pragma once

#include <cstdint>

namespace atl {

struct NbdLimits {
  // Handshake
  uint32_t handshake_ms = 10'000;  // from accept to the export's name; the time our own resolver takes is not counted
  uint32_t option_bytes =
      64u << 10;                // an option's data; a longer one is read to its end, dropped, and answered ERR_TOO_BIG
  uint32_t options = 65'536;    // per handshake (qemu-nbd --list sends two for each export)
  uint32_t meta_queries = 256;  // of one LIST_META_CONTEXT or SET_META_CONTEXT

  // Connections
  uint32_t connections = 4'096;  // in all; those above are told so in the handshake
  uint32_t refusals = 64;        // how many are being told so at once; those above are closed unheard

  // Transmission
  uint32_t payload_bytes = 64u << 20;     // the largest READ or WRITE
  uint32_t piece_bytes = 1u << 20;        // larger requests are served in pieces of this size
  uint32_t connection_requests = 256;     // in flight per connection
  uint32_t connection_bytes = 32u << 20;  // of buffers per connection
  uint64_t total_bytes =
      512ull << 20;  // of buffers in all, shared evenly between the loops; each connection may have one piece above it
  uint32_t status_extents = 4'096;  // of one BLOCK_STATUS answer

  // Endings
  uint32_t send_stall_ms =
      60'000;  // a batch of replies (at most 2 MiB) that the peer does not take in this time ends the connection
  uint32_t drain_ms = 10'000;  // shutdown and disconnect wait so long for requests in flight, then cut
  uint32_t linger_ms = 1'000;  // after our last byte, for the peer's own close
};

}  // namespace atl
