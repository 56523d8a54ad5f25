// nbd_wire.h: building and reading NBD messages in tests.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "nbd/protocol/protocol.h"

namespace atl::nbd::test {

/// Bytes in network order.
struct Wire {
  std::vector<std::byte> bytes;

  Wire& u16(uint16_t value) { return append_be(bytes, value), *this; }
  Wire& u32(uint32_t value) { return append_be(bytes, value), *this; }
  Wire& u64(uint64_t value) { return append_be(bytes, value), *this; }
  Wire& text(std::string_view value) { return append_text(bytes, value), *this; }
  /// With its length before it.
  Wire& string(std::string_view value) { return u32(static_cast<uint32_t>(value.size())).text(value); }
  Wire& append(Bytes more) { return bytes.insert(bytes.end(), more.begin(), more.end()), *this; }

  Wire& option(Option option, const Wire& data) {
    u64(option_magic).u32(static_cast<uint32_t>(option)).u32(static_cast<uint32_t>(data.bytes.size()));
    return append(data.bytes);
  }
  Wire& request(Command command, uint64_t cookie, uint64_t offset, uint32_t length, uint16_t flags = 0) {
    return u32(request_magic).u16(flags).u16(static_cast<uint16_t>(command)).u64(cookie).u64(offset).u32(length);
  }
};

struct OptionAnswer {
  OptionReply type{};
  std::vector<std::byte> data;
  /// The data from `skip` on, as text.
  std::string text(size_t skip) const {
    return {reinterpret_cast<const char*>(data.data()) + skip, data.size() - skip};
  }
};

/// Takes option replies apart; the bytes must be whole replies.
inline std::vector<OptionAnswer> option_answers(Bytes bytes) {
  std::vector<OptionAnswer> answers;
  WireReader reader(bytes);
  while (reader.left() > 0) {
    CHECK(reader.number<uint64_t>() == option_reply_magic);
    reader.number<uint32_t>();
    OptionAnswer answer;
    answer.type = OptionReply{reader.number<uint32_t>()};
    const std::string_view data = reader.text(reader.number<uint32_t>());
    REQUIRE(reader.ok());
    append_text(answer.data, data);
    answers.push_back(std::move(answer));
  }
  return answers;
}

}  // namespace atl::nbd::test
