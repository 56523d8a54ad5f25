// netlink.h: the generic netlink interface of the kernel's NBD driver (linux/nbd-netlink.h): devices are configured by it, and
// given new sockets while they are in use.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "attach/export.h"
#include "base/result.h"

namespace atl::attach {

struct DeviceSettings {
  uint32_t index = 0;  // of /dev/nbdN
  Export facts;
  uint32_t block_bytes = 512;
  uint32_t timeout_s = 0;       // of one request, not 0
  uint32_t dead_timeout_s = 0;  // how long requests wait for a new socket
};

class NbdNetlink {
 public:
  /// `not_found`: the module is not loaded.
  static Result<NbdNetlink> open();

  /// Connects the device `index`, or one that the kernel chooses; returns which. The kernel keeps the sockets; the caller's descriptors may go.
  Result<uint32_t> connect(std::optional<uint32_t> index, const DeviceSettings& device, std::span<const int> sockets);
  /// Offers a socket for a connection that has died. No error does not mean that it was taken: see took_socket().
  /// `shutdown`: the device is not connected any more.
  Result<void> offer_socket(uint32_t index, int socket);
  Result<void> resize(uint32_t index, uint64_t size_bytes);
  Result<void> disconnect(uint32_t index);

  /// Opens a socket on which the kernel reports connections that have died. It does not block.
  Result<Socket> listen_for_deaths();

 private:
  NbdNetlink(Socket socket) : socket_(std::move(socket)) {}
  Result<void> find_family();
  Result<std::vector<std::byte>> exchange(std::vector<std::byte> message);

  Socket socket_;
  uint16_t family_ = 0;
  uint32_t deaths_group_ = 0;
  uint32_t sequence_ = 1;
};

/// Reads what there is on a socket of listen_for_deaths(); returns whether a connection of this device may have died.
bool read_deaths(int listener, uint32_t index);

/// Whether a device took this socket, whose send timeout was none: the driver sets its own, and answers an offer that no
/// connection needed with success.
bool took_socket(int socket);

/// Whether the device is configured now.
bool is_connected(uint32_t index);

}  // namespace atl::attach
