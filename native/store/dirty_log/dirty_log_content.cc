#include "store/dirty_log/dirty_log_content.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace atl {
namespace {

constexpr size_t header_bytes = 4096;
constexpr char magic[8] = {'A', 'T', 'O', 'L', 'D', 'R', 'T', '2'};

struct Header {
  char magic[8];
  char boot[dirty_log_boot_max + 1];  // ends with NULs
  uint64_t mount;
  uint64_t layer;
};
static_assert(sizeof(DirtyLog::Slot) == 272 &&
              header_bytes + DirtyLog::slots * sizeof(DirtyLog::Slot) <= dirty_log_bytes);

}  // namespace

std::vector<std::byte> new_dirty_log(const DirtyLogOrigin& origin, LayerId layer) {
  Header header{};
  std::memcpy(header.magic, magic, sizeof magic);
  origin.boot.copy(header.boot, dirty_log_boot_max);
  header.mount = origin.mount;
  header.layer = number(layer);
  std::vector<std::byte> content(dirty_log_bytes);
  std::memcpy(content.data(), &header, sizeof header);
  return content;
}

DirtyLog::Slot* dirty_log_slots(std::byte* content) {
  return reinterpret_cast<DirtyLog::Slot*>(content + header_bytes);
}

std::optional<DirtyLogs::Left> read_dirty_log(Bytes content, const DirtyLogOrigin& origin) {
  if (content.size() != dirty_log_bytes) return std::nullopt;
  Header header;
  std::memcpy(&header, content.data(), sizeof header);
  const std::string_view boot(header.boot, ::strnlen(header.boot, sizeof header.boot));
  const bool ours = std::memcmp(header.magic, magic, sizeof magic) == 0 && boot == origin.boot &&
                    header.mount == origin.mount && header.layer != 0;
  if (!ours) return std::nullopt;

  std::vector<DirtyLog::Slot> used;
  for (uint32_t i = 0; i < DirtyLog::slots; i++) {
    DirtyLog::Slot slot;
    std::memcpy(&slot, content.data() + header_bytes + i * sizeof slot, sizeof slot);
    if (slot.order == 0) continue;
    if (slot.region >= dirty_log_regions_max) return std::nullopt;  // no process of ours wrote that
    used.push_back(slot);
  }
  std::sort(used.begin(), used.end(), [](const auto& a, const auto& b) { return a.order < b.order; });
  std::map<uint32_t, DirtyLogs::Left::Region> regions;
  for (const DirtyLog::Slot& slot : used) {
    DirtyLogs::Left::Region& region = regions[slot.region];
    region.region = RegionIndex{slot.region};
    // A process that died between the two marks of a block left both: its bytes are in the file, or were punched there.
    const BlockSet zeroed = slot.zeroed - slot.owned;
    region.owned = (region.owned - zeroed) | slot.owned;
    region.zeroed = (region.zeroed - slot.owned) | zeroed;
  }
  DirtyLogs::Left left;
  left.layer = LayerId{header.layer};
  for (const auto& [at, region] : regions) left.regions.push_back(region);
  return left;
}

}  // namespace atl
