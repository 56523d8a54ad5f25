// keeper.h: keeps a device connected: whenever one of its connections has died, it makes a new one and gives it to the kernel.
//
// Invariants
//   1. The kernel holds the sockets too. If the keeper dies the device goes on as it is; only nobody reconnects it, until another keeper
//      takes the device over.
//   2. A socket is given to the kernel only when the export is still what it was: not smaller, the same flags. Neither a socket nor a
//      size is given to a device that was disconnected and connected again by somebody else.
//   3. Requests that wait are the kernel's: for a new socket `dead_timeout_s`; for an answer that the old connection took with
//      it `timeout_s` since they were sent, then the kernel sends them again.
//   4. All connections that this keeper made go to one address.
//
// A device that was taken over has connections which the keeper does not hold ("orphans"): the kernel gives nobody its sockets. They serve
// until they die. The kernel reports each death, and then takes a new socket, which the keeper holds.
#pragma once

#include <string>
#include <vector>

#include "attach/device_state.h"
#include "attach/export_source.h"
#include "attach/netlink.h"

namespace atl::attach {

class Keeper {
 public:
  /// Connects the device `index`, or a free one; records its state. `state` has all but what the server says and what the kernel chooses.
  static Result<Keeper> attach(NbdNetlink netlink, DeviceState state, std::optional<uint32_t> index);
  /// Goes on with a device whose keeper is gone.
  static Result<Keeper> take_over(NbdNetlink netlink, DeviceState state);

  uint32_t index() const { return state_.device.index; }

  /// Writes the device's record. A former keeper of the device that has not ended yet may write or remove it, too: so call it again when
  /// the device's lock is taken.
  void record();
  /// Removes the device's record if it is still this keeper's.
  void forget() const { remove_state(index(), state_.connected_by); }

  enum class End { told, detached };
  /// Until SIGTERM or SIGINT (told; the device stays connected), or until somebody has disconnected the device (detached). With TLS the
  /// connections would end with the keeper: when told, it makes no new ones, and goes on until those it has have ended, as they do when
  /// the device is disconnected. SIGHUP: looks whether the export has grown. These signals must be blocked.
  Result<End> keep();

 private:
  Keeper(NbdNetlink netlink, DeviceState state)
      : netlink_(std::move(netlink)),
        state_(std::move(state)),
        source_(state_.uri, state_.more_addresses, state_.address_in_use) {}
  bool has_orphans() const { return connections_.size() < state_.connections; }
  Result<OpenedExport> open_same();
  Result<void> still_ours() const;
  Result<bool> offer(int socket, int offers);
  Result<void> reconnect(OpenedExport& dead);
  Result<void> replace_orphans(int offers);
  Result<void> replace_dead();
  Result<void> still_the_same(const Export& now) const;
  void follow_size();

  NbdNetlink netlink_;
  DeviceState state_;
  ExportSource source_;
  std::vector<OpenedExport> connections_;
  Socket deaths_;
  int orphan_offers_ = 0;  // how often to offer a socket for orphans that may be dead; 0: none is
  std::string last_failure_;
};

}  // namespace atl::attach
