#include "nbd/protocol/transmission.h"

namespace atl::nbd {
namespace {

/// The flags that mean something with this command; FUA is legal with all of them ("the server MUST accept all commands
/// with this bit set").
uint16_t legal_flags(Command command, bool structured, bool extended) {
  const uint16_t payload = extended ? cflag_payload_len : 0;
  switch (command) {
    case Command::write: return cflag_fua | payload;
    case Command::read: return structured ? cflag_fua | cflag_df : cflag_fua;
    case Command::write_zeroes: return cflag_fua | cflag_no_hole | cflag_fast_zero;
    case Command::block_status: return cflag_fua | cflag_req_one | payload;
    default: return cflag_fua;
  }
}

bool changes_data(Command command) {
  return command == Command::write || command == Command::trim || command == Command::write_zeroes;
}

/// "write past the end → ENOSPC", reads, trims and queries → EINVAL.
NbdError past_end(Command command) {
  return command == Command::write || command == Command::write_zeroes ? NbdError::nospc : NbdError::inval;
}

}  // namespace

bool decode_request(const std::byte* from, bool extended, Request& request) {
  if (load_be<uint32_t>(from) != (extended ? extended_request_magic : request_magic)) return false;
  request.flags = load_be<uint16_t>(from + 4);
  request.command = Command{load_be<uint16_t>(from + 6)};
  request.cookie = load_be<uint64_t>(from + 8);
  request.offset = load_be<uint64_t>(from + 16);
  request.length = extended ? load_be<uint64_t>(from + 24) : load_be<uint32_t>(from + 24);
  request.extended = extended;
  // With extended headers a client MUST set PAYLOAD_LEN on a WRITE, but QEMU (8.2 and later) never does, and sends the payload
  // all the same. Taking its word for it would parse the payload as requests.
  const bool carries = request.command == Command::write || (extended && (request.flags & cflag_payload_len) != 0);
  request.payload = carries ? request.length : 0;
  return true;
}

Verdict judge(const Request& request, const TransmissionRules& rules, uint64_t size_bytes) {
  const Command command = request.command;
  if (static_cast<uint16_t>(command) >= command_kinds || command == Command::disconnect)
    return {NbdError::inval, "unknown command"};
  if (rules.read_only && changes_data(command)) return {NbdError::perm, "the export is read-only"};
  if ((request.flags & ~legal_flags(command, rules.structured, rules.extended)) != 0)
    return {NbdError::inval, "a flag that this command does not have or that was not offered"};

  if (command == Command::flush) {
    if (request.offset != 0 || request.length != 0)
      return {NbdError::inval, "offset and length of a flush must be zero"};
    return {};
  }
  // Only payloads are limited: TRIM, WRITE_ZEROES, CACHE and BLOCK_STATUS cost the same whatever their length.
  if ((command == Command::read || command == Command::write) && request.length > rules.block_sizes.maximum) {
    if ((request.flags & cflag_df) != 0) return {NbdError::overflow, "too long for an answer in one piece"};
    return {NbdError::inval, "longer than the maximum block size"};
  }
  // Not offset + length, which can wrap around.
  if (request.offset > size_bytes || request.length > size_bytes - request.offset)
    return {past_end(command), "beyond the end of the export"};
  const uint64_t mask = rules.block_sizes.minimum - 1;
  if (((request.offset | request.length) & mask) != 0)
    return {NbdError::inval, "not aligned to the minimum block size"};

  if (command == Command::block_status) {
    if (rules.contexts.empty()) return {NbdError::inval, "no metadata context was negotiated"};
    if (request.length == 0) return {NbdError::inval, "a block status of nothing"};
  }
  // Zeroes as a record are fast; keeping the space allocated means writing it.
  if (command == Command::write_zeroes && (request.flags & cflag_fast_zero) != 0 &&
      (request.flags & cflag_no_hole) != 0)
    return {NbdError::notsup, "zeroes that keep their space are not faster than a write"};
  return {};
}

Verdict read_status_filter(Bytes payload, const TransmissionRules& rules, Request& request) {
  if (payload.size() < 12 || payload.size() % 4 != 0)
    return {NbdError::inval, "the payload must be an effect length and one or more context ids"};
  WireReader reader(payload);
  request.length = reader.number<uint64_t>();
  request.contexts = 0;
  while (reader.left() > 0) {
    const auto id = reader.number<uint32_t>();
    uint32_t bit = 0;
    for (size_t i = 0; i < rules.contexts.size(); i++)
      if (rules.contexts[i].id == id) bit = 1u << i;
    if (bit == 0) return {NbdError::inval, "a context id that was not negotiated"};
    if ((request.contexts & bit) != 0) return {NbdError::inval, "a context id that is there twice"};
    request.contexts |= bit;
  }
  return {};
}

NbdError nbd_error(Code code, Command command) {
  switch (code) {
    case Code::invalid: return NbdError::inval;
    case Code::unsupported: return NbdError::inval;  // ENOTSUP is for FAST_ZERO alone
    case Code::read_only: return NbdError::perm;
    case Code::out_of_range: return past_end(command);
    case Code::no_space:
    case Code::too_large: return NbdError::nospc;  // "map the EDQUOT and EFBIG errors to NBD_ENOSPC"
    case Code::shutdown: return NbdError::shutdown;
    case Code::not_found:
    case Code::exists:
    case Code::io:
    case Code::corrupt:
    case Code::busy:
    case Code::cancelled: return NbdError::io;
  }
  return NbdError::io;
}

void encode_simple(ReplyHead& head, const Request& request, NbdError error) {
  VERIFY(!request.extended);
  Encoder encoder(head.bytes.data());
  encoder.put(simple_reply_magic).put(error).put(request.cookie);
  head.size = static_cast<uint32_t>(encoder.size());
}

void encode_done(ReplyHead& head, const Request& request) {
  if (request.extended)
    encode_none_chunk(head, request);
  else
    encode_simple(head, request, NbdError::none);
}

namespace {

Encoder begin_chunk(ReplyHead& head, const Request& request, Chunk type, bool done, uint32_t payload) {
  Encoder encoder(head.bytes.data());
  encoder.put(request.extended ? extended_reply_magic : structured_reply_magic);
  encoder.put(done ? chunk_done : uint16_t{0}).put(type).put(request.cookie);
  if (request.extended)
    encoder.put(request.offset).put(uint64_t{payload});
  else
    encoder.put(payload);
  return encoder;
}

}  // namespace

void encode_data_chunk(ReplyHead& head, const Request& request, uint64_t offset, uint32_t length, bool done) {
  VERIFY(length > 0);
  Encoder encoder = begin_chunk(head, request, Chunk::offset_data, done, 8 + length);
  head.size = static_cast<uint32_t>(encoder.put(offset).size());
}

void encode_hole_chunk(ReplyHead& head, const Request& request, uint64_t offset, uint32_t length, bool done) {
  VERIFY(length > 0);
  Encoder encoder = begin_chunk(head, request, Chunk::offset_hole, done, 12);
  head.size = static_cast<uint32_t>(encoder.put(offset).put(length).size());
}

void encode_none_chunk(ReplyHead& head, const Request& request) {
  head.size = static_cast<uint32_t>(begin_chunk(head, request, Chunk::none, true, 0).size());
}

void encode_status_chunk(ReplyHead& head, const Request& request, uint32_t context_id, uint32_t descriptors,
                         bool done) {
  VERIFY(descriptors > 0);
  if (request.extended) {
    Encoder encoder = begin_chunk(head, request, Chunk::block_status_ext, done, 8 + descriptors * 16);
    head.size = static_cast<uint32_t>(encoder.put(context_id).put(descriptors).size());
    return;
  }
  Encoder encoder = begin_chunk(head, request, Chunk::block_status, done, 4 + descriptors * 8);
  head.size = static_cast<uint32_t>(encoder.put(context_id).size());
}

void encode_error_chunk(ReplyHead& head, const Request& request, NbdError error, uint16_t message_bytes) {
  Encoder encoder = begin_chunk(head, request, Chunk::error, true, 6u + message_bytes);
  head.size = static_cast<uint32_t>(encoder.put(error).put(message_bytes).size());
}

void encode_error_offset_chunk(ReplyHead& head, const Request& request, NbdError error, uint16_t message_bytes) {
  Encoder encoder = begin_chunk(head, request, Chunk::error_offset, true, 14u + message_bytes);
  head.size = static_cast<uint32_t>(encoder.put(error).put(message_bytes).size());
}

}  // namespace atl::nbd
