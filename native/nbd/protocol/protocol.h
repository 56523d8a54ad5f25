// protocol.h: the constants and the byte order of the NBD protocol.
//
// Source: the NBD project's doc/proto.md (docs/reference/nbd.md says which version); section names are quoted where a rule is used.
// Values of an enum class come from the wire, so any number of the underlying type may be in one.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/types.h"

namespace atl::nbd {

constexpr uint64_t init_magic = 0x4e42444d41474943;    // "NBDMAGIC"
constexpr uint64_t option_magic = 0x49484156454f5054;  // "IHAVEOPT"
constexpr uint64_t option_reply_magic = 0x0003e889045565a9;
constexpr uint32_t request_magic = 0x25609513;
constexpr uint32_t simple_reply_magic = 0x67446698;
constexpr uint32_t structured_reply_magic = 0x668e33ef;
constexpr uint32_t extended_request_magic = 0x21e41c71;
constexpr uint32_t extended_reply_magic = 0x6e8a278c;

constexpr uint32_t max_string_bytes = 4096;  // "Conventions": MUST be no longer than 4096 bytes
constexpr size_t option_header_bytes = 16;
constexpr size_t request_bytes = 28;
constexpr size_t extended_request_bytes = 32;
constexpr size_t simple_reply_bytes = 16;
constexpr size_t chunk_header_bytes = 20;

// Handshake flags (server) and client flags share their bits.
constexpr uint16_t flag_fixed_newstyle = 1 << 0;
constexpr uint16_t flag_no_zeroes = 1 << 1;

enum class Option : uint32_t {
  export_name = 1,
  abort = 2,
  list = 3,
  peek_export = 4,
  starttls = 5,
  info = 6,
  go = 7,
  structured_reply = 8,
  list_meta_context = 9,
  set_meta_context = 10,
  extended_headers = 11,
};

enum class OptionReply : uint32_t {
  ack = 1,
  server = 2,
  info = 3,
  meta_context = 4,
  err_unsup = 0x80000001,
  err_policy = 0x80000002,
  err_invalid = 0x80000003,
  err_platform = 0x80000004,
  err_tls_reqd = 0x80000005,
  err_unknown = 0x80000006,
  err_shutdown = 0x80000007,
  err_block_size_reqd = 0x80000008,
  err_too_big = 0x80000009,
  err_ext_header_reqd = 0x8000000a,
};

enum class Info : uint16_t { export_ = 0, name = 1, description = 2, block_size = 3 };

// Transmission flags.
constexpr uint16_t tflag_has_flags = 1 << 0;
constexpr uint16_t tflag_read_only = 1 << 1;
constexpr uint16_t tflag_send_flush = 1 << 2;
constexpr uint16_t tflag_send_fua = 1 << 3;
constexpr uint16_t tflag_send_trim = 1 << 5;
constexpr uint16_t tflag_send_write_zeroes = 1 << 6;
constexpr uint16_t tflag_send_df = 1 << 7;
constexpr uint16_t tflag_can_multi_conn = 1 << 8;
constexpr uint16_t tflag_send_cache = 1 << 10;
constexpr uint16_t tflag_send_fast_zero = 1 << 11;
constexpr uint16_t tflag_block_status_payload = 1 << 12;

enum class Command : uint16_t {
  read = 0,
  write = 1,
  disconnect = 2,
  flush = 3,
  trim = 4,
  cache = 5,
  write_zeroes = 6,
  block_status = 7,
};
constexpr size_t command_kinds = 8;
/// As proto.md writes it, without NBD_CMD_.
constexpr const char* command_name(Command command) {
  switch (command) {
    case Command::read: return "READ";
    case Command::write: return "WRITE";
    case Command::disconnect: return "DISC";
    case Command::flush: return "FLUSH";
    case Command::trim: return "TRIM";
    case Command::cache: return "CACHE";
    case Command::write_zeroes: return "WRITE_ZEROES";
    case Command::block_status: return "BLOCK_STATUS";
  }
  return "an unknown command";
}

constexpr uint16_t cflag_fua = 1 << 0;
constexpr uint16_t cflag_no_hole = 1 << 1;
constexpr uint16_t cflag_df = 1 << 2;
constexpr uint16_t cflag_req_one = 1 << 3;
constexpr uint16_t cflag_fast_zero = 1 << 4;
constexpr uint16_t cflag_payload_len = 1 << 5;

enum class Chunk : uint16_t {
  none = 0,
  offset_data = 1,
  offset_hole = 2,
  block_status = 5,
  block_status_ext = 6,
  error = 0x8001,
  error_offset = 0x8002,
};
constexpr uint16_t chunk_done = 1 << 0;

enum class NbdError : uint32_t {
  none = 0,
  perm = 1,
  io = 5,
  nomem = 12,
  inval = 22,
  nospc = 28,
  overflow = 75,
  notsup = 95,
  shutdown = 108,
};

// base:allocation
constexpr std::string_view base_namespace = "base:";
constexpr std::string_view base_allocation = "base:allocation";
constexpr uint32_t state_hole = 1 << 0;
constexpr uint32_t state_zero = 1 << 1;

// ---- byte order ----

/// Between the machine's order and network order; its own inverse.
template <class T>
constexpr T network_order(T value) {
  static_assert(std::is_unsigned_v<T>);
  if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(value));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(value));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(value));
}

template <class T>
T load_be(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return network_order(value);
}

/// Writes numbers one after another; the caller has made the room.
class Encoder {
 public:
  explicit Encoder(std::byte* at) : begin_(at), at_(at) {}
  template <class T>
  Encoder& put(T value) {
    if constexpr (std::is_enum_v<T>) {
      return put(static_cast<std::underlying_type_t<T>>(value));
    } else {
      const T ordered = network_order(value);
      std::memcpy(at_, &ordered, sizeof ordered);
      at_ += sizeof ordered;
      return *this;
    }
  }
  Encoder& text(std::string_view bytes) {
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
    return *this;
  }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  std::byte* begin_;
  std::byte* at_;
};

/// Appends to a growing buffer (the handshake; the transmission phase encodes into fixed room).
template <class T>
void append_be(std::vector<std::byte>& out, T value) {
  using Number = typename std::conditional_t<std::is_enum_v<T>, std::underlying_type<T>, std::type_identity<T>>::type;
  const size_t at = out.size();
  out.resize(at + sizeof(Number));
  Encoder(out.data() + at).put(value);
}
inline void append_text(std::vector<std::byte>& out, std::string_view text) {
  const size_t at = out.size();
  out.resize(at + text.size());
  Encoder(out.data() + at).text(text);
}

/// Reads numbers and strings from received bytes. A read past the end makes it !ok() and answers zeros from then on.
class WireReader {
 public:
  explicit WireReader(Bytes bytes) : left_(bytes) {}
  bool ok() const { return ok_; }
  size_t left() const { return left_.size(); }
  template <class T>
  T number() {
    if (left_.size() < sizeof(T)) return fail(), T{0};
    const T value = load_be<T>(left_.data());
    left_ = left_.subspan(sizeof(T));
    return value;
  }
  std::string_view text(size_t bytes) {
    if (left_.size() < bytes) return fail(), std::string_view{};
    const std::string_view view(reinterpret_cast<const char*>(left_.data()), bytes);
    left_ = left_.subspan(bytes);
    return view;
  }

 private:
  void fail() {
    ok_ = false;
    left_ = {};
  }
  Bytes left_;
  bool ok_ = true;
};

/// "Conventions": UTF-8, no NUL, at most 4096 bytes. (native/nbd/protocol/text.cc)
bool valid_string(std::string_view text);

}  // namespace atl::nbd
