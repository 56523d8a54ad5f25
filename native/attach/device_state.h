// device_state.h: what a keeper knows about its device, in a file from which another keeper can go on.
//
// The kernel returns neither the sockets of a device nor what was negotiated for them, so the keeper records it. The file has the
// export's name, which is a credential: only root may read it.
#pragma once

#include <string>
#include <vector>

#include "attach/netlink.h"

namespace atl::attach {

struct DeviceState {
  ExportUri uri;
  std::vector<Address> more_addresses;  // of the same export, after the one in the URI
  uint32_t address_in_use = 0;          // 0: the one in the URI
  uint32_t connections = 1;
  DeviceSettings device;
  std::string connected_by;  // connection_mark() of the device
};

/// Gives the export other addresses. The one in use stays in use if it is among them: the device may still have connections to it.
void set_addresses(DeviceState& state, const ExportUri& uri, const std::vector<Address>& more_addresses);

std::string state_text(const DeviceState& state);
Result<DeviceState> parse_state(std::string_view text);

/// The folder of the records; tests have their own.
constexpr const char* state_folder = "/run";

/// Writes /run/atoll-attach-nbdN.state: all of it or nothing.
Result<void> save_state(const DeviceState& state, const std::string& folder = state_folder);
/// `not_found`: there is no record, or it is about an earlier connection of this device.
Result<DeviceState> load_state(uint32_t index);
/// Removes the record of this connection of the device. The record of another connection stays: the device may have a new keeper.
/// Requires the device's lock, unless the caller's record can be written again.
void remove_state(uint32_t index, const std::string& connected_by, const std::string& folder = state_folder);

/// Returns what is different each time a device is connected: the boot, and the process that connected it as the kernel counts
/// processes. Empty: the device is not connected.
std::string connection_mark(uint32_t index);

}  // namespace atl::attach
