// model_catalog.h: the catalog's part of the design in a few lines, for the engine's property tests: the layer tree
// (sim/model_tree.h, which the simulator of crashes uses too), which layers are to be dropped or merged, and the plain bytes of
// every resource.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/resource/resource.h"
#include "sim/model_tree.h"

namespace atl::testing {

constexpr uint32_t sector_bytes = 512;

struct ModelResource {
  std::string id;
  bool read_only = false;
  uint64_t head = 0;
  std::vector<std::byte> bytes;
  /// What each sector may read as after a crash, besides what `bytes` says: its values since the last flush.
  std::unordered_map<uint64_t, std::vector<std::vector<std::byte>>> maybe;
  bool open = false;

  void note_change(uint64_t offset, uint64_t length);
  void put(uint64_t offset, Bytes from);
  void zero(uint64_t offset, uint64_t length);
  void flushed() { maybe.clear(); }
};

using sim::ModelLayer;

class ModelCatalog : public sim::ModelTree {
 public:
  std::map<std::string, ModelResource> resources;

  ModelResource& add(bool read_only, uint64_t head, std::vector<std::byte> bytes);
  ResourceSpec spec(const ModelResource& resource) const;

  struct Chore {
    uint64_t layer;
    uint64_t child;  // 0: drop the layer; else merge it into this child
  };
  /// A layer on which no resource stands and that has at most one child.
  std::optional<Chore> next_chore(uint64_t not_before) const;

 private:
  uint64_t last_resource_ = 0;
};

}  // namespace atl::testing
