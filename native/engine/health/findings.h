// findings.h: what check says. src/core/health/damage.ts has the same kinds, with the words for operators; docs/internals/reliability.md shows them.
#pragma once

#include <string>
#include <vector>

#include "base/block_set.h"
#include "base/types.h"

namespace atl {

enum class FindingKind : uint8_t {
  // records
  record_unreadable,
  key_unknown,
  blocks_shared,  // two records say that one block of a data file is theirs
  layer_unknown,
  // reference counts and garbage
  count_unreadable,
  count_low,
  count_high,
  garbage_unreadable,
  garbage_in_use,
  // data files
  file_missing,
  file_short,
  file_unmentioned,
  space_unaccounted,
  // content chunks
  chunk_length,  // records disagree
  chunk_missing,
  chunk_corrupt,
  chunk_unreadable,
  chunk_unmentioned,
  // of the list itself
  more,
};

/// As it crosses to JavaScript: "record_unreadable".
const char* kind_name(FindingKind kind);

/// Blocks of one layer's record. Whoever has the layer in its chain sees them, unless a nearer layer supplies them.
struct Place {
  LayerId layer;
  RegionIndex region;
  BlockSet blocks;
};

struct Finding {
  FindingKind kind{};
  /// Data is damaged or in danger; otherwise space is lost, or something is odd, and no data.
  bool fatal = false;
  std::string message;
  LayerId layer = LayerId::none;  // whose data, when it is one layer's
  std::vector<Place> places;      // whose bytes are damaged; at most places_max
};

constexpr size_t findings_max = 1000;
constexpr size_t places_max = 256;

/// Keeps the first findings_max; counts all.
class FindingList {
 public:
  void add(Finding finding) {
    if (finding.fatal) fatal_++;
    if (found_.size() < findings_max)
      found_.push_back(std::move(finding));
    else
      left_out_++;
  }
  void fatal(FindingKind kind, std::string message, LayerId layer = LayerId::none, std::vector<Place> places = {}) {
    add({kind, true, std::move(message), layer, std::move(places)});
  }
  void odd(FindingKind kind, std::string message, LayerId layer = LayerId::none) {
    add({kind, false, std::move(message), layer, {}});
  }

  std::vector<Finding>& all() { return found_; }
  /// The list, ended by a note when there were more.
  std::vector<Finding> take() {
    if (left_out_ > 0)
      found_.push_back(
          {FindingKind::more, fatal_ > 0, std::to_string(left_out_) + " more findings", LayerId::none, {}});
    return std::move(found_);
  }

 private:
  std::vector<Finding> found_;
  size_t left_out_ = 0;
  size_t fatal_ = 0;
};

}  // namespace atl
