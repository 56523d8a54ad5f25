#include "store/local/local_paths.h"

#include <charconv>

namespace atl {
namespace {

constexpr char digits[] = "0123456789abcdef";

std::string hex16(uint64_t number) {
  std::string text(16, '0');
  for (size_t at = 16; number != 0; number >>= 4) text[--at] = digits[number & 15];
  return text;
}

/// All of `text`, as it would be written (no sign, no leading zeros beyond `width`).
std::optional<uint64_t> parse_number(std::string_view text, int base) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, base);
  if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

}  // namespace

std::string LocalPaths::spread(uint8_t of) { return {digits[of >> 4], digits[of & 15]}; }

std::string LocalPaths::data_directory(DataFileId file) const {
  return data() + "/" + spread(static_cast<uint8_t>(number(file) & 255));
}

std::string LocalPaths::content_directory(const Digest& digest) const {
  return content() + "/" + spread(digest.bytes[0]);
}

std::string LocalPaths::segment(const SegmentName& name) const { return root_ + "/" + segment_within_root(name); }

std::string LocalPaths::segment_within_root(const SegmentName& name) {
  return "data/" + spread(static_cast<uint8_t>(number(name.file) & 255)) + "/" + hex16(number(name.file)) + "." +
         std::to_string(name.segment);
}

std::string LocalPaths::content(const Digest& digest) const {
  return content_directory(digest) + "/" + digest.hex().substr(2);
}

std::optional<SegmentName> LocalPaths::parse_segment(std::string_view name) {
  if (name.size() < 18 || name[16] != '.') return std::nullopt;
  const auto file = parse_number(name.substr(0, 16), 16);
  const auto segment = parse_number(name.substr(17), 10);
  if (!file || !segment) return std::nullopt;
  if (hex16(*file) != name.substr(0, 16) || std::to_string(*segment) != name.substr(17)) return std::nullopt;
  return SegmentName{DataFileId{*file}, *segment};
}

std::optional<Digest> LocalPaths::parse_content(std::string_view directory, std::string_view name) {
  if (directory.size() != 2 || name.size() != 62) return std::nullopt;
  return Digest::parse(std::string{directory} + std::string{name});
}

}  // namespace atl
