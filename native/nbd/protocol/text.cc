// text.cc: what the protocol calls a string.
#include "nbd/protocol/protocol.h"

namespace atl::nbd {
namespace {

/// The length of the well-formed UTF-8 sequence at the start of `text` (RFC 3629), 0 when there is none.
size_t utf8_sequence(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = at(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  uint8_t low = 0x80, high = 0xbf;  // of the second byte: excludes overlong forms, surrogates, and beyond U+10FFFF
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (text.size() < length || at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < length; i++)
    if ((at(i) & 0xc0) != 0x80) return 0;
  return length;
}

}  // namespace

bool valid_string(std::string_view text) {
  if (text.size() > max_string_bytes) return false;
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    if (length == 0 || text[0] == '\0') return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace atl::nbd
