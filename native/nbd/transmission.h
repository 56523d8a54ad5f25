// transmission.h: one request of the transmission phase, from bytes to a verdict, and the heads of its replies; no socket, no thread.
//
// A request is judged here once: command, flags, size, alignment, range, read-only. What passes is only asserted below.
//
// Invariants
//   1. With structured replies every answer to READ is structured, errors too; other successes are simple replies, which
//      are shorter, and other errors are structured, because those carry a message.
//   2. A refused WRITE still has its payload behind it in the stream: payload_bytes() says how much.
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "base/types.h"
#include "nbd/exports.h"
#include "nbd/protocol.h"

namespace atl::nbd {

struct Request {
  uint16_t flags = 0;
  Command command{};
  uint64_t cookie = 0;  // the protocol's "handle": echoed
  uint64_t offset = 0;
  uint32_t length = 0;

  bool fua() const { return (flags & cflag_fua) != 0; }
  /// What follows the request in the stream.
  uint32_t payload_bytes() const { return command == Command::write ? length : 0; }
};

/// Reads request_bytes bytes; false when the magic is not there: the stream is lost.
bool decode_request(const std::byte* from, Request& request);

/// What was settled when the export was chosen.
struct TransmissionRules {
  bool structured = false;
  std::vector<SelectedContext> contexts;
  bool read_only = false;
  BlockSizes block_sizes{};
};

struct Verdict {
  NbdError error = NbdError::none;
  const char* message = "";
  bool accepted() const { return error == NbdError::none; }
};

/// Accepted requests lie within [0, size_bytes) and mean what their command says. DISC is the caller's.
Verdict judge(const Request& request, const TransmissionRules& rules, uint64_t size_bytes);

/// The one mapping from the engine's errors to the protocol's (proto.md "Error values").
NbdError nbd_error(Code code, Command command);

// ---- the heads of replies ----

/// The room for any head below; a message or data follows.
constexpr size_t reply_head_bytes = 48;

struct ReplyHead {
  std::array<std::byte, reply_head_bytes> bytes;
  uint32_t size = 0;
};

void encode_simple(ReplyHead& head, uint64_t cookie, NbdError error);
/// OFFSET_DATA; `length` > 0 bytes of data follow.
void encode_data_chunk(ReplyHead& head, uint64_t cookie, uint64_t offset, uint32_t length, bool done);
/// OFFSET_HOLE: `length` > 0 bytes that read as zeros; nothing follows.
void encode_hole_chunk(ReplyHead& head, uint64_t cookie, uint64_t offset, uint32_t length, bool done);
/// NONE, always the last.
void encode_none_chunk(ReplyHead& head, uint64_t cookie);
/// BLOCK_STATUS of one context; `descriptors` pairs of (length, flags) follow.
void encode_status_chunk(ReplyHead& head, uint64_t cookie, uint32_t context_id, uint32_t descriptors, bool done);
/// ERROR, always the last; `message_bytes` <= 4096 follow.
void encode_error_chunk(ReplyHead& head, uint64_t cookie, NbdError error, uint16_t message_bytes);
/// ERROR_OFFSET, always the last; the message follows, and behind it the 8 bytes of `offset` (encode_error_offset_tail).
void encode_error_offset_chunk(ReplyHead& head, uint64_t cookie, NbdError error, uint16_t message_bytes);

}  // namespace atl::nbd
