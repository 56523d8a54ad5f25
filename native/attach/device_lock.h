// device_lock.h: one keeper for each device. The lock tells who it is, and goes with the process.
#pragma once

#include <sys/types.h>

#include "attach/export.h"
#include "base/result.h"

namespace atl::attach {

class DeviceLock {
 public:
  /// Opens the lock's file (/run/atoll-attach-nbdN), and takes nothing yet.
  static Result<DeviceLock> open(uint32_t index);
  /// Opens a lock's file that exists, to ask for its holder. `not_found`: the device never had a keeper.
  static Result<DeviceLock> open_to_look(uint32_t index);
  /// `busy`: another process keeps the device.
  Result<void> take();
  /// The process that holds it; 0: none.
  pid_t holder() const;
  /// Until nobody else holds it.
  Result<void> wait_and_take();
  /// Waits for it for two seconds. False: another process still holds it.
  bool take_soon();

 private:
  explicit DeviceLock(Socket file) : file_(std::move(file)) {}
  Socket file_;
};

}  // namespace atl::attach
