// source.h: where a block's bytes come from.
#pragma once

#include <cstdint>
#include <string>

#include "base/block_set.h"
#include "base/types.h"

namespace atl {

enum class SourceKind : uint8_t {
  none = 0,          // nothing here: the parent decides (in a record: never stored)
  zero = 1,          // zeros, whatever the parent says
  private_data = 2,  // block b of region r lies at offset r * region_bytes + b * block_bytes of `file`
  content = 3,       // block b lies at b * block_bytes of the chunk; bytes at or past `length` are zeros
  inline_bytes = 4,  // as content, the bytes themselves in the record
};

struct Source {
  SourceKind kind = SourceKind::none;
  uint32_t length = 0;                 // content: bytes of the chunk, 1..region_bytes
  DataFileId file = DataFileId::none;  // private_data
  Digest digest{};                     // content
  std::string inline_bytes;            // inline_bytes: 1..inline_bytes_max

  static Source none() { return {}; }
  static Source zero() {
    Source source;
    source.kind = SourceKind::zero;
    return source;
  }
  static Source private_data(DataFileId file) {
    Source source;
    source.kind = SourceKind::private_data;
    source.file = file;
    return source;
  }
  static Source content(const Digest& digest, uint32_t length) {
    Source source;
    source.kind = SourceKind::content;
    source.digest = digest;
    source.length = length;
    return source;
  }
  static Source inlined(std::string bytes) {
    Source source;
    source.kind = SourceKind::inline_bytes;
    source.inline_bytes = std::move(bytes);
    return source;
  }
  friend bool operator==(const Source&, const Source&) = default;
};

/// An object this small is kept in its record; a file of its own would cost a 4 KiB block and an inode.
constexpr uint32_t inline_bytes_max = 2048;

/// A chunk this small is kept in the record store and not in a file of its own: it becomes durable with the record that refers to it,
/// in one shared write, where a file costs two syncs and an inode. Larger ones would be copied too often by compactions.
constexpr uint32_t small_content_max = 16 << 10;

struct SourcedBlocks {
  Source source;
  BlockSet blocks;
  friend bool operator==(const SourcedBlocks&, const SourcedBlocks&) = default;
};

}  // namespace atl
