#include "store/records/layer_index.h"

#include "store/records/record_keys.h"

namespace atl {

void LayerIndex::retain(LayerId layer) {
  const std::scoped_lock lock{mutex_};
  Layer& entry = layers_[layer];
  entry.retained++;
  // A commit that began before anyone cared about this layer may become visible after our first snapshot.
  for (const auto& [of, region] : committing_)
    if (of == layer) entry.pages[number(region) / regions_per_page].set(number(region) % regions_per_page);
}

void LayerIndex::release(LayerId layer) {
  const std::scoped_lock lock{mutex_};
  auto found = layers_.find(layer);
  VERIFY(found != layers_.end() && found->second.retained > 0);
  if (--found->second.retained == 0) layers_.erase(found);
}

Result<bool> LayerIndex::may_have(LayerId layer, RegionIndex region, const KvSnapshot* snapshot) {
  const uint32_t page_at = number(region) / regions_per_page;
  const uint32_t bit = number(region) % regions_per_page;
  {
    const std::scoped_lock lock{mutex_};
    auto found = layers_.find(layer);
    VERIFY(found != layers_.end());
    const Page& page = found->second.pages[page_at];
    if (page.loaded) return page.test(bit);
  }
  Page scanned;
  const RegionIndex first{page_at * regions_per_page};
  const uint64_t end = uint64_t{page_at + 1} * regions_per_page;
  const std::string to = end > UINT32_MAX ? keys::record(LayerId{number(layer) + 1}, RegionIndex{0})
                                          : keys::record(layer, RegionIndex{static_cast<uint32_t>(end)});
  Result<void> read = kv_.scan(keys::record(layer, first), to, snapshot, [&](std::string_view key, std::string_view) {
    if (auto record = keys::parse_record(key)) scanned.set(number(record->region) - number(first));
    return true;
  });
  if (!read) return read.error();
  const std::scoped_lock lock{mutex_};
  auto found = layers_.find(layer);
  VERIFY(found != layers_.end());
  Page& page = found->second.pages[page_at];  // commits may have set bits in it meanwhile: they stay
  for (size_t i = 0; i < page.bits.size(); i++) page.bits[i] |= scanned.bits[i];
  page.loaded = true;
  return page.test(bit);
}

void LayerIndex::commit_begins(std::vector<std::pair<LayerId, RegionIndex>> records) {
  const std::scoped_lock lock{mutex_};
  committing_ = std::move(records);
  for (const auto& [layer, region] : committing_)
    if (auto found = layers_.find(layer); found != layers_.end())
      found->second.pages[number(region) / regions_per_page].set(number(region) % regions_per_page);
}

void LayerIndex::commit_ended() {
  const std::scoped_lock lock{mutex_};
  committing_.clear();
}

}  // namespace atl
