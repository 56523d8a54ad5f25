// nbd_transmission.cc: any bytes as a request, with short headers or extended ones, judged for any export. What is accepted lies within
// the export and asks for what was offered; a filter of contexts chooses among those negotiated; the heads of replies are as long as
// they say.
#include "fuzz/target.h"
#include "nbd/protocol/handshake.h"
#include "nbd/protocol/transmission.h"

namespace atl::fuzz {
namespace {

void check_heads(const nbd::Request& request, uint32_t length) {
  nbd::ReplyHead head;
  const auto structured = [&] {
    EXPECT(head.size <= nbd::reply_head_bytes);
    nbd::WireReader reader{Bytes{head.bytes}.first(head.size)};
    EXPECT(reader.number<uint32_t>() == (request.extended ? nbd::extended_reply_magic : nbd::structured_reply_magic));
    reader.number<uint16_t>();
    reader.number<uint16_t>();
    EXPECT(reader.number<uint64_t>() == request.cookie);
    if (request.extended) EXPECT(reader.number<uint64_t>() == request.offset);
    const uint64_t says = request.extended ? reader.number<uint64_t>() : reader.number<uint32_t>();
    return std::pair{says, uint64_t{reader.left()}};
  };
  nbd::encode_data_chunk(head, request, request.offset, length, true);
  auto [says, has] = structured();
  EXPECT(says == has + length);
  nbd::encode_hole_chunk(head, request, request.offset, length, true);
  std::tie(says, has) = structured();
  EXPECT(says == has);
  nbd::encode_none_chunk(head, request);
  EXPECT(structured() == std::pair(uint64_t{0}, uint64_t{0}));
  const uint32_t descriptors = 1 + length % 4096;
  nbd::encode_status_chunk(head, request, 1, descriptors, true);
  std::tie(says, has) = structured();
  EXPECT(says == has + descriptors * (request.extended ? 16 : 8));
  const auto message = static_cast<uint16_t>(length % 4097);
  nbd::encode_error_chunk(head, request, nbd::NbdError::io, message);
  std::tie(says, has) = structured();
  EXPECT(says == has + message);
  nbd::encode_error_offset_chunk(head, request, nbd::NbdError::io, message);
  std::tie(says, has) = structured();
  EXPECT(says == has + message + 8);
}

void check_filter(nbd::Request request, const nbd::TransmissionRules& rules, Bytes payload) {
  const nbd::Verdict verdict = nbd::read_status_filter(payload, rules, request);
  if (!verdict.accepted()) return;
  EXPECT(request.contexts != 0 && request.contexts >> rules.contexts.size() == 0);
}

}  // namespace

void run(Bytes input) {
  Input in{input};
  nbd::TransmissionRules rules;
  const uint8_t choice = in.u8();
  rules.extended = (choice & 16) != 0;
  rules.structured = rules.extended || (choice & 1) != 0;
  rules.read_only = (choice & 2) != 0;
  if ((choice & 4) != 0) rules.contexts.push_back({});
  if ((choice & 8) != 0) rules.block_sizes.minimum = 4096;
  const uint64_t size_bytes = in.u64() % (max_resource_bytes + 1);
  std::array<std::byte, nbd::extended_request_bytes> bytes{};
  const Bytes given = in.take(rules.extended ? nbd::extended_request_bytes : nbd::request_bytes);
  std::copy(given.begin(), given.end(), bytes.begin());
  nbd::Request request;
  if (!nbd::decode_request(bytes.data(), rules.extended, request)) return;
  check_heads(request, std::max(1u, static_cast<uint32_t>(request.length % (64u << 20))));
  check_filter(request, rules, in.rest());
  const nbd::Verdict verdict = nbd::judge(request, rules, size_bytes);
  if (!verdict.accepted()) {
    EXPECT(verdict.message != nullptr);
    return;
  }
  if (request.command == nbd::Command::flush) return;
  EXPECT(request.offset <= size_bytes && request.length <= size_bytes - request.offset);
  EXPECT(request.offset % rules.block_sizes.minimum == 0);
  switch (request.command) {
    case nbd::Command::write:
    case nbd::Command::trim:
    case nbd::Command::write_zeroes: EXPECT(!rules.read_only); break;
    case nbd::Command::block_status: EXPECT(!rules.contexts.empty()); break;
    default: break;
  }
  if (request.command == nbd::Command::read || request.command == nbd::Command::write)
    EXPECT(request.length <= rules.block_sizes.maximum);
}

std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (uint16_t command = 0; command < 9; command++)
    for (uint16_t flags : {0, 1, 2, 4, 8, 16, 32}) {
      std::vector<std::byte> bytes;
      nbd::append_be(bytes, nbd::request_magic);
      nbd::append_be(bytes, flags);
      nbd::append_be(bytes, command);
      nbd::append_be(bytes, uint64_t{77});
      nbd::append_be(bytes, uint64_t{4096});
      nbd::append_be(bytes, uint32_t{8192});
      all.push_back(std::string{"\5\0\0\20\0\0\0\0\0", 9} + std::string{text_of(bytes)});
      bytes.clear();
      nbd::append_be(bytes, nbd::extended_request_magic);
      nbd::append_be(bytes, flags);
      nbd::append_be(bytes, command);
      nbd::append_be(bytes, uint64_t{77});
      nbd::append_be(bytes, uint64_t{4096});
      nbd::append_be(bytes, uint64_t{8192});
      nbd::append_be(bytes, uint64_t{4096});  // and a filter
      nbd::append_be(bytes, uint32_t{0});
      all.push_back(std::string{"\24\0\0\20\0\0\0\0\0", 9} + std::string{text_of(bytes)});
    }
  return all;
}

}  // namespace atl::fuzz
