// nbd_options.cc: options that are whole by their magic and length, so that what is fuzzed is what lies inside: names, infos,
// metadata-context queries. Besides what nbd_handshake.cc asks for: each option has exactly one last answer.
#include "fuzz/handshake_player.h"

namespace atl::fuzz {
namespace {

/// Each option of the input is: number:1, shape:1, length:2, data.
std::vector<std::byte> wire(Input& in, size_t& options) {
  std::vector<std::byte> bytes;
  nbd::append_be(bytes, uint32_t{nbd::flag_fixed_newstyle | nbd::flag_no_zeroes});
  for (options = 0; !in.at_end() && options < 40; options++) {
    const uint32_t number = in.u8() % 13;
    const uint8_t shape = in.u8();
    const Bytes data = in.take(in.u16() % 600);
    std::vector<std::byte> inner;
    if (shape % 4 == 0) {
      inner.assign(data.begin(), data.end());
    } else {
      // A name with its length, a count, and then strings with theirs.
      Input parts{data};
      const Bytes name = parts.take(shape / 4 % 8);
      nbd::append_be(inner, static_cast<uint32_t>(name.size()));
      inner.insert(inner.end(), name.begin(), name.end());
      const uint32_t count = shape / 32;
      if (shape % 4 == 1)
        nbd::append_be(inner, static_cast<uint16_t>(count));
      else
        nbd::append_be(inner, count);
      for (uint32_t i = 0; i < count && !parts.at_end(); i++) {
        if (shape % 4 == 1) {
          nbd::append_be(inner, parts.u16());
          continue;
        }
        const Bytes query = parts.take(parts.u8() % 64);
        nbd::append_be(inner, static_cast<uint32_t>(query.size()));
        inner.insert(inner.end(), query.begin(), query.end());
      }
    }
    nbd::append_be(bytes, nbd::option_magic);
    nbd::append_be(bytes, number);
    nbd::append_be(bytes, static_cast<uint32_t>(inner.size()));
    bytes.insert(bytes.end(), inner.begin(), inner.end());
  }
  return bytes;
}

/// Answers that end an option: an ACK or an error.
size_t last_answers(const std::vector<std::byte>& output, size_t greeting_bytes) {
  nbd::WireReader reader{Bytes{output}.subspan(greeting_bytes)};
  size_t last = 0;
  while (reader.left() > 0) {
    EXPECT(reader.number<uint64_t>() == nbd::option_reply_magic);
    reader.number<uint32_t>();
    const auto type = reader.number<uint32_t>();
    reader.text(reader.number<uint32_t>());
    EXPECT(reader.ok());
    if (type == static_cast<uint32_t>(nbd::OptionReply::ack) || (type & 0x80000000u) != 0) last++;
  }
  return last;
}

}  // namespace

void run(Bytes input) {
  Input in{input};
  const auto tls = static_cast<TlsMode>(in.u8() % 3);
  size_t options = 0;
  const std::vector<std::byte> bytes = wire(in, options);
  check_handshake(bytes, tls);
  const Seen seen = play(bytes, SIZE_MAX, tls);
  if (seen.state != nbd::Handshake::State::negotiating) return;
  EXPECT(seen.consumed == bytes.size());
  EXPECT(last_answers(seen.output, 18) == options);
}

std::vector<std::string> seeds() {
  const std::string off{"\0", 1};
  const std::string structured{"\10\0\0\0", 4};
  const std::string query = std::string{"\17", 1} + "base:allocation";
  std::vector<std::string> all;
  for (char number = 0; number < 13; number++) all.push_back(off + number + std::string{"\0\0\0", 3});
  // SET_META_CONTEXT (10) of one query for the name "disk": shape 2 + 4 * 4 + 32 * 1.
  all.push_back(off + structured + std::string{"\12\62\24\0", 4} + "disk" + query + std::string{"\7\21\4\0", 4} +
                "disk");
  all.push_back(off + structured + std::string{"\11\62\13\0", 4} + "disk" + std::string{"\6", 1} + "atoll:");
  all.push_back(off + std::string{"\6\61\10\0", 4} + "disk" + std::string{"\3\0\1\0", 4});
  return all;
}

}  // namespace atl::fuzz
