// limits.h: every bound of the NBD server, in one place. docs/reference/nbd.md repeats them.
#pragma once

#include <cstdint>

namespace atl {

struct NbdLimits {
  // ---- Handshake ----
  /// From accept to the export's name. The time that our own resolver takes is not counted.
  uint32_t handshake_ms = 10'000;
  /// An option's data. A longer one is read to its end, dropped, and answered ERR_TOO_BIG.
  uint32_t option_bytes = 64u << 10;
  /// Options of one handshake (qemu-nbd --list sends two for each export).
  uint32_t options = 65'536;
  /// Queries of one LIST_META_CONTEXT or SET_META_CONTEXT.
  uint32_t meta_queries = 256;
  /// Contexts that one connection may select.
  uint32_t meta_contexts = 16;

  // ---- Connections ----
  /// In all. Those above are told so when they ask for an export.
  uint32_t connections = 4'096;
  /// Of these, only for operators' sockets; at most a quarter.
  uint32_t operator_reserve = 64;
  /// Tenants' connections that have chosen one export. QEMU opens up to 16, nbdcopy as many as its options say.
  uint32_t export_connections = 64;
  /// And the exports of one project.
  uint32_t project_connections = 2'048;
  /// Handshakes of one client's address. The oldest is closed for a newer one.
  uint32_t address_handshakes = 1'024;
  /// How many are being told so at once; those above this are closed unheard.
  uint32_t refusals = 64;
  /// A connection that has nothing in flight and asks for nothing for so long is closed in order. 0: never.
  uint32_t idle_ms = 0;

  /// Exports without a connection whose counters are kept (about 1 KiB each); who had one longest ago is forgotten first.
  uint32_t idle_exports = 1'024;

  /// A peer over TCP that answers nothing for so long, not even the kernel's own questions, is gone.
  uint32_t peer_timeout_ms = 90'000;

  // ---- Transmission ----
  /// The largest READ or WRITE.
  uint32_t payload_bytes = 64u << 20;
  /// Larger requests are served in pieces of this size.
  uint32_t piece_bytes = 1u << 20;
  /// READs (or pieces of them) from this size on are sent by the kernel straight out of the page cache, where all of it is there and
  /// the connection is not encrypted; of smaller ones many leave in one system call, so that copying them is quicker on some machines
  /// (32 KiB: docs/notes/performance.md).
  uint32_t lend_bytes = 64u << 10;
  /// In flight per connection; a connection with more to say is not listened to until there is room.
  uint32_t connection_requests = 256;
  /// Buffers per connection.
  uint32_t connection_bytes = 32u << 20;
  /// Buffers in all, shared evenly between the loops. Beside it each connection may hold one piece.
  uint64_t total_bytes = uint64_t{512} << 20;
  /// TRIM, WRITE_ZEROES and CACHE of more than this are done in steps: others have their turn between them, a snapshot does not
  /// wait for more than one, and a client that has left is noticed.
  uint64_t range_step_bytes = uint64_t{256} << 20;
  /// The steps in which one BLOCK_STATUS answer is put together, each a bounded amount of work of the device (16 GiB of data, any length of
  /// nothing), with turns of others between them. The client asks on where the answer ends.
  uint32_t status_steps = 16;
  /// Extents in one BLOCK_STATUS answer, shared evenly between its contexts.
  uint32_t status_extents = 4'096;

  // ---- Endings ----
  /// A peer that does not take a batch of replies (at most 2 MiB, or one reply) in this time is cut off.
  uint32_t send_stall_ms = 60'000;
  /// Shutdown and disconnect wait so long for requests in flight, then cut.
  uint32_t drain_ms = 10'000;
  /// After our last byte, for the peer's own close.
  uint32_t linger_ms = 1'000;
};

}  // namespace atl
