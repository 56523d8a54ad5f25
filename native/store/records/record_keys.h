// record_keys.h: the keys of the record store (docs/internals/format.md, "Records"). Numbers are big-endian, so that byte order is
// numeric order and one layer's regions lie side by side.
//
//   r <layer:8> <region:4>   region record
//   f <file:8>               how many records mention the data file (u64, little-endian)
//   c <digest:32>            the same for a content chunk
//   s <digest:32>            the bytes of a small content chunk (source.h, small_content_max)
//   gp <file:8> <region:4>   garbage: blocks of the file to punch (bitmap, 128 bytes)
//   gf <file:8>              garbage: file to remove
//   gc <digest:32>           garbage: chunk to drop
//   if <file:8>, ic <digest:32>   intents: this may exist without a record; looked at once, at start
//   v                        format version (u32, little-endian)
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/block_set.h"
#include "base/result.h"
#include "base/types.h"

namespace atl::keys {

std::string record(LayerId layer, RegionIndex region);
std::string file_refs(DataFileId file);
std::string content_refs(const Digest& digest);
std::string small_content(const Digest& digest);
std::string garbage_punch(DataFileId file, RegionIndex region);
std::string garbage_file(DataFileId file);
std::string garbage_content(const Digest& digest);
std::string intent_file(DataFileId file);
std::string intent_content(const Digest& digest);
std::string version();

/// The first key after all keys that start with `prefix`.
std::string after(std::string_view prefix);

struct RecordKey {
  LayerId layer;
  RegionIndex region;
};
/// Parsers answer nothing for a key that is not theirs in every byte.
std::optional<RecordKey> parse_record(std::string_view key);
std::optional<DataFileId> parse_file(std::string_view prefix, std::string_view key);
std::optional<Digest> parse_digest(std::string_view prefix, std::string_view key);
struct PunchKey {
  DataFileId file;
  RegionIndex region;
};
std::optional<PunchKey> parse_garbage_punch(std::string_view key);

/// For people: what is wrong with the record there; and which count it is.
Error damaged_record(const RecordKey& at, const Error& what);
std::string describe_count(std::string_view key);

std::string encode_count(uint64_t count);
std::optional<uint64_t> decode_count(std::string_view value);
std::string encode_blocks(const BlockSet& blocks);
std::optional<BlockSet> decode_blocks(std::string_view value);

}  // namespace atl::keys
