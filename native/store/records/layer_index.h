// layer_index.h: which regions each open layer may have records for, so that a walk skips layers that have nothing to say.
//
// Invariants
//   1. A set bit means "may have a record", a clear bit "has none": bits are set before a commit makes the record visible and
//      never cleared while the layer is retained.
//   2. A walker takes its snapshot of the records first and asks here second. What a merge moves down after that snapshot is
//      then still found in the parent's record of the snapshot, whatever these bits say.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "store/kv.h"

namespace atl {

class LayerIndex {
 public:
  explicit LayerIndex(Kv& kv) : kv_(kv) {}

  /// Counted; the pages of a layer live while anyone retains it.
  void retain(LayerId layer);
  void release(LayerId layer);

  /// Blocks on the first question about a page (16 GiB of a layer), which is read by one scan.
  Result<bool> may_have(LayerId layer, RegionIndex region, const KvSnapshot* snapshot);

  /// Around each write of records: before it becomes visible, and after.
  void commit_begins(std::vector<std::pair<LayerId, RegionIndex>> records);
  void commit_ended();

 private:
  static constexpr uint32_t regions_per_page = 4096;
  struct Page {
    bool loaded = false;
    std::array<uint64_t, regions_per_page / 64> bits{};
    void set(uint32_t at) { bits[at / 64] |= uint64_t{1} << (at % 64); }
    bool test(uint32_t at) const { return (bits[at / 64] >> (at % 64)) & 1; }
  };
  struct Layer {
    uint32_t retained = 0;
    std::unordered_map<uint32_t, Page> pages;
  };

  Kv& kv_;
  std::mutex mutex_;
  std::unordered_map<LayerId, Layer> layers_;
  std::vector<std::pair<LayerId, RegionIndex>> committing_;
};

}  // namespace atl
