#include "test/support/model_catalog.h"

#include <algorithm>

namespace atl::testing {

void ModelResource::note_change(uint64_t offset, uint64_t length) {
  if (length == 0) return;
  for (uint64_t sector = offset / sector_bytes; sector * sector_bytes < offset + length; sector++) {
    const uint64_t from = sector * sector_bytes;
    const uint64_t to = std::min<uint64_t>(from + sector_bytes, bytes.size());
    maybe[sector].emplace_back(bytes.begin() + static_cast<ptrdiff_t>(from),
                               bytes.begin() + static_cast<ptrdiff_t>(to));
  }
}

void ModelResource::put(uint64_t offset, Bytes from) {
  note_change(offset, from.size());
  std::copy(from.begin(), from.end(), bytes.begin() + static_cast<ptrdiff_t>(offset));
}

void ModelResource::zero(uint64_t offset, uint64_t length) {
  note_change(offset, length);
  std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(offset), length, std::byte{0});
}

ModelResource& ModelCatalog::add(bool read_only, uint64_t head, std::vector<std::byte> bytes) {
  const std::string id = "resource-" + std::to_string(++last_resource_);
  ModelResource& added = resources[id];
  added.id = id;
  added.read_only = read_only;
  added.head = head;
  added.bytes = std::move(bytes);
  return added;
}

ResourceSpec ModelCatalog::spec(const ModelResource& resource) const {
  return ResourceSpec{resource.id, resource.bytes.size(), resource.read_only, chain(resource.head)};
}

std::optional<ModelCatalog::Chore> ModelCatalog::next_chore(uint64_t not_before) const {
  for (auto at = layers.lower_bound(not_before); at != layers.end(); ++at) {
    const uint64_t layer = at->first;
    if (std::any_of(resources.begin(), resources.end(), [&](const auto& r) { return r.second.head == layer; }))
      continue;
    const std::vector<uint64_t> below = children(layer);
    if (below.size() <= 1) return Chore{layer, below.empty() ? 0 : below.front()};
  }
  return std::nullopt;
}

}  // namespace atl::testing
