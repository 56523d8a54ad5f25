#include "store/records/record_keys.h"

#include <cstring>

namespace atl::keys {
namespace {

template <class T>
void put_big(std::string& out, T value) {
  for (int shift = static_cast<int>(sizeof(T) * 8) - 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift & 0xff));
}

uint64_t read_big(std::string_view bytes) {
  uint64_t value = 0;
  for (char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

std::string with_file(std::string_view prefix, DataFileId file) {
  std::string key{prefix};
  put_big(key, number(file));
  return key;
}

std::string with_digest(std::string_view prefix, const Digest& digest) {
  std::string key{prefix};
  key.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  return key;
}

}  // namespace

std::string record(LayerId layer, RegionIndex region) {
  std::string key{"r"};
  put_big(key, number(layer));
  put_big(key, number(region));
  return key;
}
std::string file_refs(DataFileId file) { return with_file("f", file); }
std::string content_refs(const Digest& digest) { return with_digest("c", digest); }
std::string small_content(const Digest& digest) { return with_digest("s", digest); }
std::string garbage_punch(DataFileId file, RegionIndex region) {
  std::string key = with_file("gp", file);
  put_big(key, number(region));
  return key;
}
std::string garbage_file(DataFileId file) { return with_file("gf", file); }
std::string garbage_content(const Digest& digest) { return with_digest("gc", digest); }
std::string intent_file(DataFileId file) { return with_file("if", file); }
std::string intent_content(const Digest& digest) { return with_digest("ic", digest); }
std::string version() { return "v"; }

std::string after(std::string_view prefix) {
  std::string key{prefix};
  while (!key.empty() && static_cast<uint8_t>(key.back()) == 0xff) key.pop_back();
  if (!key.empty()) key.back() = static_cast<char>(static_cast<uint8_t>(key.back()) + 1);
  return key;
}

std::optional<RecordKey> parse_record(std::string_view key) {
  if (key.size() != 13 || key[0] != 'r') return std::nullopt;
  return RecordKey{LayerId{read_big(key.substr(1, 8))}, RegionIndex{static_cast<uint32_t>(read_big(key.substr(9)))}};
}

std::optional<DataFileId> parse_file(std::string_view prefix, std::string_view key) {
  if (key.size() != prefix.size() + 8 || !key.starts_with(prefix)) return std::nullopt;
  return DataFileId{read_big(key.substr(prefix.size()))};
}

std::optional<Digest> parse_digest(std::string_view prefix, std::string_view key) {
  Digest digest;
  if (key.size() != prefix.size() + digest.bytes.size() || !key.starts_with(prefix)) return std::nullopt;
  std::memcpy(digest.bytes.data(), key.data() + prefix.size(), digest.bytes.size());
  return digest;
}

std::optional<PunchKey> parse_garbage_punch(std::string_view key) {
  if (key.size() != 14 || !key.starts_with("gp")) return std::nullopt;
  return PunchKey{DataFileId{read_big(key.substr(2, 8))}, RegionIndex{static_cast<uint32_t>(read_big(key.substr(10)))}};
}

Error damaged_record(const RecordKey& at, const Error& what) {
  return Error{Code::corrupt, what.message + " (layer " + std::to_string(number(at.layer)) + ", region " +
                                  std::to_string(number(at.region)) + ")"};
}

std::string describe_count(std::string_view key) {
  if (const auto file = parse_file("f", key))
    return "the reference count of data file " + std::to_string(number(*file));
  if (const auto digest = parse_digest("c", key)) return "the reference count of content " + digest->hex();
  return "a reference count";
}

std::string encode_count(uint64_t count) {
  std::string value;
  for (int i = 0; i < 8; i++) value.push_back(static_cast<char>(count >> (8 * i) & 0xff));
  return value;
}

std::optional<uint64_t> decode_count(std::string_view value) {
  if (value.size() != 8) return std::nullopt;
  uint64_t count = 0;
  for (int i = 7; i >= 0; i--) count = count << 8 | static_cast<uint8_t>(value[static_cast<size_t>(i)]);
  return count;
}

std::string encode_blocks(const BlockSet& blocks) {
  std::string value;
  for (uint64_t word : blocks.raw()) value += encode_count(word);
  return value;
}

std::optional<BlockSet> decode_blocks(std::string_view value) {
  BlockSet blocks;
  if (value.size() != blocks_per_region / 8) return std::nullopt;
  for (uint32_t i = 0; i < BlockSet::words; i++) blocks.raw()[i] = *decode_count(value.substr(i * 8, 8));
  return blocks;
}

}  // namespace atl::keys
