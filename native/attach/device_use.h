// device_use.h: who uses a device, or one of its partitions.
//
// The kernel knows exactly one thing: whether somebody has claimed the device exclusively (a mounted file system, LVM, md, swap). Who
// that is, and who has merely opened it, has to be collected from /proc and /sys, and may remain unknown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "attach/export.h"
#include "base/result.h"

namespace atl::attach {

/// The file systems in which a device's users are looked for; tests have their own.
struct SystemPaths {
  std::string proc = "/proc";
  std::string sys = "/sys";
  std::string dev = "/dev";
};

/// Returns the users of /dev/nbdN that can be found, one phrase each: "mounted on /mnt (/dev/nbd0p1)", "swap (/dev/nbd0)".
std::vector<std::string> device_users(uint32_t index, const SystemPaths& paths = {});

/// Returns where the device and its partitions are mounted.
std::vector<std::string> mount_points(uint32_t index, const SystemPaths& paths = {});

/// Claims the device: while the descriptor is open nobody can mount the device or a partition of it.
/// `busy`, with its users: it is in use. A process that has merely opened the device counts when it still has it after two seconds;
/// udev, for one, looks at devices for a moment.
Result<Socket> claim_device(uint32_t index);

}  // namespace atl::attach
