// keeper.h: keeps a device connected: whenever one of its connections has died, it makes a new one and gives it to the kernel.
//
// Invariants
//   1. The kernel holds the sockets too. If the keeper dies the device goes on as it is; only nobody reconnects it.
//   2. A socket is given to the kernel only when the export is still what it was: not smaller, the same flags.
//   3. Requests that wait are the kernel's: for a new socket `dead_timeout_s`; for an answer that the old connection took with
//      it `timeout_s` since they were sent, then the kernel sends them again.
#pragma once

#include <vector>

#include "attach/netlink.h"

namespace atl::attach {

class Keeper {
 public:
  /// Connects the device.
  static Result<Keeper> attach(NbdNetlink netlink, const ExportUri& uri, DeviceSettings device, uint32_t connections);

  enum class End { told, detached };
  /// Until SIGTERM or SIGINT (told; the device stays connected), or until somebody has disconnected the device (detached). SIGHUP: looks
  /// whether the export has grown. These signals must be blocked.
  Result<End> keep();

 private:
  Keeper(NbdNetlink netlink, ExportUri uri, DeviceSettings device)
      : netlink_(std::move(netlink)), uri_(std::move(uri)), device_(device) {}
  Result<void> reconnect(Socket& dead);
  Result<void> still_the_same(const Export& now);
  void follow_size();

  NbdNetlink netlink_;
  ExportUri uri_;
  DeviceSettings device_;
  std::vector<Socket> sockets_;
};

}  // namespace atl::attach
