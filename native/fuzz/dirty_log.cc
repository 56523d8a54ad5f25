// dirty_log.cc: any bytes as the file of a dirty log. What is told of a log that is whole is, block by block, what its slots say one after
// the other; everything else is refused.
#include <algorithm>
#include <cstring>
#include <map>

#include "fuzz/target.h"
#include "store/dirty_log/dirty_log_content.h"

namespace atl::fuzz {
namespace {

const DirtyLogOrigin origin{"0b9a3d1e-boot", 77};

BlockSet draw_blocks(Input& in) {
  BlockSet blocks;
  for (int i = in.u8() % 3; i >= 0; i--) {
    const uint32_t first = in.u16() % blocks_per_region;
    blocks.add(BlockRange{first, first + 1 + in.u16() % (blocks_per_region - first)});
  }
  return blocks;
}

/// What the last slot that speaks of a block says of it; written wins over zeroed in one slot.
enum class Said : uint8_t { nothing, owned, zeroed };

void compare(const DirtyLogs::Left& left, std::vector<DirtyLog::Slot> slots) {
  std::stable_sort(slots.begin(), slots.end(), [](const auto& a, const auto& b) { return a.order < b.order; });
  std::map<uint32_t, std::vector<Said>> said;
  for (const DirtyLog::Slot& slot : slots) {
    std::vector<Said>& of = said.try_emplace(slot.region, blocks_per_region, Said::nothing).first->second;
    for (uint32_t block = 0; block < blocks_per_region; block++)
      if (slot.owned.contains(block))
        of[block] = Said::owned;
      else if (slot.zeroed.contains(block))
        of[block] = Said::zeroed;
  }
  EXPECT(left.regions.size() == said.size());
  for (const DirtyLogs::Left::Region& region : left.regions) {
    const auto found = said.find(number(region.region));
    EXPECT(found != said.end());
    for (uint32_t block = 0; block < blocks_per_region; block++) {
      EXPECT(region.owned.contains(block) == (found->second[block] == Said::owned));
      EXPECT(region.zeroed.contains(block) == (found->second[block] == Said::zeroed));
    }
  }
}

}  // namespace

void run(Bytes input) {
  Input in{input};
  const LayerId layer{in.u8() % 4u};
  std::vector<std::byte> content = new_dirty_log(origin, layer);
  const bool crooked = in.u8() % 4 == 0;
  bool whole = layer != LayerId::none;
  std::map<uint64_t, DirtyLog::Slot> slots;  // by order, which no two of one process share
  uint32_t at = 0;
  while (!in.at_end() && slots.size() < 64) {
    DirtyLog::Slot slot{};
    slot.order = in.u8() % 64;
    slot.region = in.u8() % 8 == 0 ? in.u32() : in.u8() % 3;
    slot.owned = draw_blocks(in);
    slot.zeroed = draw_blocks(in);
    if (slots.contains(slot.order)) continue;
    at = (at + 1 + in.u16()) % DirtyLog::slots;
    DirtyLog::Slot& place = dirty_log_slots(content.data())[at];
    if (place.order != 0) continue;
    std::memcpy(&place, &slot, sizeof slot);
    if (slot.order == 0) continue;  // free, whatever else it says
    whole = whole && slot.region < dirty_log_regions_max;
    slots.emplace(slot.order, slot);
  }
  std::vector<DirtyLog::Slot> in_use;
  for (const auto& [order, slot] : slots) in_use.push_back(slot);

  if (crooked) {
    // Anything may be anywhere: refused or read, and nothing more.
    for (int i = 0; i < 8; i++) content[in.u32() % content.size()] = std::byte{in.u8()};
    (void)read_dirty_log(Bytes(content).first(in.u8() % 2 == 0 ? content.size() : in.u32() % content.size()), origin);
    return;
  }
  const std::optional<DirtyLogs::Left> left = read_dirty_log(content, origin);
  EXPECT(left.has_value() == whole);
  if (left) compare(*left, std::move(in_use));
  EXPECT(!read_dirty_log(content, {origin.boot, origin.mount + 1}));
  EXPECT(!read_dirty_log(content, {"another boot", origin.mount}));
  EXPECT(!read_dirty_log(Bytes(content).first(content.size() - 1), origin));
}

std::vector<std::string> seeds() {
  // layer, form; order, region, owned (count, first, length), zeroed, place.
  const std::string begin{"\1\1", 2};
  const std::string one{"\1\1\1\0\0\0\3\0\0\20\0\5\0\0\0", 15};
  const std::string two{"\2\1\1\0\0\2\0\7\0\0\0\1\0\0\0", 15};
  return {begin, begin + one, begin + one + two, begin + two + one + one, std::string{"\1\0", 2} + one + two};
}

}  // namespace atl::fuzz
