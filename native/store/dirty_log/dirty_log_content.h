// dirty_log_content.h: the bytes of a dirty log's file: a header, which says where it means something, and a slot for each dirty region.
//
// All of it may be anything when it is read back: a process may have died at any store, and the disk's owner may have written there.
#pragma once

#include <optional>
#include <vector>

#include "base/types.h"
#include "store/dirty_log/dirty_log.h"

namespace atl {

constexpr size_t dirty_log_bytes = 1u << 20;
constexpr size_t dirty_log_boot_max = 63;  // bytes of a boot id
/// Regions that a resource can have: a log that names another is not ours.
constexpr uint32_t dirty_log_regions_max = max_resource_bytes / region_bytes;

/// The content of a log in which every slot is free.
std::vector<std::byte> new_dirty_log(const DirtyLogOrigin& origin, LayerId layer);
/// The slots of a file of dirty_log_bytes in memory.
DirtyLog::Slot* dirty_log_slots(std::byte* content);
/// What it says, without its path; nothing where it is not whole, or of another origin.
std::optional<DirtyLogs::Left> read_dirty_log(Bytes content, const DirtyLogOrigin& origin);

}  // namespace atl
