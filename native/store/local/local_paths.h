// local_paths.h: what the local store's files are called (docs/internals/format.md).
//
//   data/<2 hex>/<16 hex>.<segment>   the data file's number; the directory is its last two digits, which consecutive
//                                     numbers spread evenly; a segment's bytes begin at segment * segment_bytes
//   content/<2 hex>/<62 hex>          the chunk's SHA-256
//   content/new/<number>              chunks being written; those a crash left behind go at the next start
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace atl {

/// One file of a data file.
struct SegmentName {
  DataFileId file = DataFileId::none;
  uint64_t segment = 0;
  friend bool operator==(const SegmentName&, const SegmentName&) = default;
};

class LocalPaths {
 public:
  explicit LocalPaths(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string data() const { return root_ + "/data"; }
  std::string content() const { return root_ + "/content"; }
  std::string new_content() const { return root_ + "/content/new"; }
  std::string data_directory(DataFileId file) const;
  std::string content_directory(const Digest& digest) const;
  std::string segment(const SegmentName& name) const;
  std::string content(const Digest& digest) const;
  /// segment() from root() on, for people.
  static std::string segment_within_root(const SegmentName& name);

  /// The name of one of the 256 directories of data() and content(): two hexadecimal digits.
  static std::string spread(uint8_t of);
  /// What a file's name in data_directory() says; none when it is not one of ours.
  static std::optional<SegmentName> parse_segment(std::string_view name);
  static std::optional<Digest> parse_content(std::string_view directory, std::string_view name);

 private:
  std::string root_;
};

}  // namespace atl
