// transmission.h: one request of the transmission phase, from bytes to a verdict, and the heads of its replies; no socket, no thread.
//
// A request is judged here once: command, flags, size, alignment, range, read-only. What passes is only asserted below.
//
// Invariants
//   1. With structured replies every answer to READ is structured, errors too; other successes are simple replies, which
//      are shorter, and other errors are structured, because those carry a message. With extended headers every answer is an
//      extended chunk.
//   2. A refused request still has its payload behind it in the stream: `payload` says how much.
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "base/types.h"
#include "nbd/protocol/exports.h"
#include "nbd/protocol/protocol.h"

namespace atl::nbd {

struct Request {
  uint16_t flags = 0;
  Command command{};
  uint64_t cookie = 0;  // the protocol's "handle": echoed
  uint64_t offset = 0;
  uint64_t length = 0;   // of the range that it is about; of a WRITE's payload
  uint64_t payload = 0;  // bytes that follow the header in the stream
  bool extended = false;
  uint32_t contexts = ~0u;  // BLOCK_STATUS: bit i: the i-th negotiated context is asked for
  uint64_t begun_ns = 0;    // of the loop's clock; the reader's

  bool fua() const { return (flags & cflag_fua) != 0; }
};

/// Reads request_bytes bytes, or extended_request_bytes; false when the magic is not there: the stream is lost.
bool decode_request(const std::byte* from, bool extended, Request& request);

/// What was settled when the export was chosen.
struct TransmissionRules {
  bool structured = false;
  bool extended = false;
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

/// The payload of a BLOCK_STATUS ("64 bits, effect length; n * 32 bits, list of metadata context ids"): sets the request's length
/// and contexts.
Verdict read_status_filter(Bytes payload, const TransmissionRules& rules, Request& request);
/// More is no filter that any connection could use.
constexpr size_t status_filter_bytes_max = 8 + 4 * 32;

/// The one mapping from the engine's errors to the protocol's (proto.md "Error values").
NbdError nbd_error(Code code, Command command);

// ---- the heads of replies ----

/// The room for any head below; a message or data follows.
constexpr size_t reply_head_bytes = 48;

struct ReplyHead {
  std::array<std::byte, reply_head_bytes> bytes;
  uint32_t size = 0;
};

/// REQUIRES: no extended headers.
void encode_simple(ReplyHead& head, const Request& request, NbdError error);
/// Success with nothing to tell, of any command but READ.
void encode_done(ReplyHead& head, const Request& request);
/// OFFSET_DATA; `length` > 0 bytes of data follow.
void encode_data_chunk(ReplyHead& head, const Request& request, uint64_t offset, uint32_t length, bool done);
/// OFFSET_HOLE: `length` > 0 bytes that read as zeros; nothing follows.
void encode_hole_chunk(ReplyHead& head, const Request& request, uint64_t offset, uint32_t length, bool done);
/// NONE, always the last.
void encode_none_chunk(ReplyHead& head, const Request& request);
/// BLOCK_STATUS of one context, or BLOCK_STATUS_EXT; `descriptors` pairs of (length, flags) follow, numbers of 32 bits or of 64.
void encode_status_chunk(ReplyHead& head, const Request& request, uint32_t context_id, uint32_t descriptors, bool done);
/// ERROR, always the last; `message_bytes` <= 4096 follow.
void encode_error_chunk(ReplyHead& head, const Request& request, NbdError error, uint16_t message_bytes);
/// ERROR_OFFSET, always the last; the message follows, and behind it the 8 bytes of the offset.
void encode_error_offset_chunk(ReplyHead& head, const Request& request, NbdError error, uint16_t message_bytes);

}  // namespace atl::nbd
