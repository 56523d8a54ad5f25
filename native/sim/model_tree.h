// model_tree.h: the layers of the catalog in a few lines: who hangs on whom, and the chains that the engine is told.
#pragma once

#include <map>
#include <vector>

#include "store/records/record_store.h"

namespace atl::sim {

struct ModelLayer {
  uint64_t parent = 0;  // 0: none
  uint64_t limit_blocks = 0;
  bool dropping = false;  // out of the tree; the row goes when the engine has dropped the layer
};

struct ModelTree {
  std::map<uint64_t, ModelLayer> layers;
  uint64_t last_layer = 0;  // numbers are never used again

  uint64_t new_layer(uint64_t parent, uint64_t limit_blocks) {
    layers[++last_layer] = ModelLayer{parent, limit_blocks};
    return last_layer;
  }
  std::vector<ChainLayer> chain(uint64_t head) const {
    std::vector<ChainLayer> links;
    for (uint64_t at = head; at != 0; at = layers.at(at).parent)
      links.push_back({LayerId{at}, layers.at(at).limit_blocks});
    return links;
  }
  std::vector<uint64_t> children(uint64_t parent) const {
    std::vector<uint64_t> found;
    for (const auto& [id, layer] : layers)
      if (layer.parent == parent) found.push_back(id);
    return found;
  }
};

}  // namespace atl::sim
