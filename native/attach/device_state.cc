#include "attach/device_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>

namespace atl::attach {
namespace {

constexpr size_t state_bytes_max = 64u << 10;
constexpr uint32_t version = 1;

std::string state_path(uint32_t index, const std::string& folder) {
  return folder + "/atoll-attach-nbd" + std::to_string(index) + ".state";
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

template <class T>
bool read_number(std::string_view text, T& into) {
  const auto [stopped, failed] = std::from_chars(text.data(), text.data() + text.size(), into);
  return failed == std::errc{} && stopped == text.data() + text.size();
}

std::string address_text(const Address& address) {
  const bool bracketed = address.host.find(':') != std::string::npos;
  return (bracketed ? "[" + address.host + "]" : address.host) + ":" + address.port;
}

/// False: the line is none of a state, or its value is wrong.
bool take_line(DeviceState& state, std::string_view key, std::string_view value) {
  DeviceSettings& device = state.device;
  if (key == "index") return read_number(value, device.index);
  if (key == "address_in_use") return read_number(value, state.address_in_use);
  if (key == "connections") return read_number(value, state.connections);
  if (key == "size_bytes") return read_number(value, device.facts.size_bytes);
  if (key == "flags") return read_number(value, device.facts.flags);
  if (key == "block_bytes") return read_number(value, device.block_bytes);
  if (key == "timeout_s") return read_number(value, device.timeout_s);
  if (key == "dead_timeout_s") return read_number(value, device.dead_timeout_s);
  if (key == "connected_by") {
    state.connected_by = value;
    return true;
  }
  if (key == "address") {
    Result<Address> address = parse_address(value);
    if (address) state.more_addresses.push_back(std::move(*address));
    return address.ok();
  }
  if (key == "uri") {
    Result<ExportUri> uri = parse_uri(value);
    if (uri) state.uri = std::move(*uri);
    return uri.ok();
  }
  return false;
}

}  // namespace

void set_addresses(DeviceState& state, const ExportUri& uri, const std::vector<Address>& more_addresses) {
  const Address in_use = state.address_in_use == 0 ? Address{state.uri.host, state.uri.port}
                                                   : state.more_addresses[state.address_in_use - 1];
  const auto found = std::find(more_addresses.begin(), more_addresses.end(), in_use);
  const bool first = found == more_addresses.end() || in_use == Address{uri.host, uri.port};
  state.address_in_use = first ? 0 : static_cast<uint32_t>(found - more_addresses.begin()) + 1;
  state.uri = uri;
  state.more_addresses = more_addresses;
}

std::string state_text(const DeviceState& state) {
  std::ostringstream text;
  const DeviceSettings& device = state.device;
  text << "version " << version << "\nuri " << uri_text(state.uri) << '\n';
  for (const Address& address : state.more_addresses) text << "address " << address_text(address) << '\n';
  text << "address_in_use " << state.address_in_use << "\nindex " << device.index << "\nconnections "
       << state.connections << "\nsize_bytes " << device.facts.size_bytes << "\nflags " << device.facts.flags
       << "\nblock_bytes " << device.block_bytes << "\ntimeout_s " << device.timeout_s << "\ndead_timeout_s "
       << device.dead_timeout_s << "\nconnected_by " << state.connected_by << "\nend\n";
  return text.str();
}

Result<DeviceState> parse_state(std::string_view text) {
  const Error wrong{Code::corrupt, "the record of the device is damaged"};
  if (!text.ends_with("\nend\n") || !text.starts_with("version " + std::to_string(version) + "\nuri ")) return wrong;
  text.remove_prefix(text.find('\n') + 1);
  text.remove_suffix(std::string_view("end\n").size());
  DeviceState state;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + 1);
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || !take_line(state, line.substr(0, space), line.substr(space + 1)))
      return wrong;
  }
  if (state.connections < 1 || state.address_in_use > state.more_addresses.size() || state.device.timeout_s == 0 ||
      state.connected_by.empty())
    return wrong;
  return state;
}

namespace {

Result<DeviceState> read_state(const std::string& path) {
  const Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.fd() < 0) return Error::from_errno(errno, "open " + path);
  std::string text(state_bytes_max, '\0');
  const ssize_t length = ::read(file.fd(), text.data(), text.size());
  if (length < 0) return Error::from_errno(errno, "read " + path);
  text.resize(static_cast<size_t>(length));
  Result<DeviceState> state = parse_state(text);
  if (!state) return Error{state.error().code, path + ": " + state.error().message};
  return state;
}

}  // namespace

Result<void> save_state(const DeviceState& state, const std::string& folder) {
  const std::string path = state_path(state.device.index, folder), fresh = path + ".new", text = state_text(state);
  ::unlink(fresh.c_str());
  const Socket file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.fd() < 0) return Error::from_errno(errno, "open " + fresh);
  const ssize_t written = ::write(file.fd(), text.data(), text.size());
  if (written < 0) return Error::from_errno(errno, "write " + fresh);
  if (static_cast<size_t>(written) != text.size()) return Error{Code::no_space, fresh + " was not written to its end"};
  if (::rename(fresh.c_str(), path.c_str()) != 0) return Error::from_errno(errno, "rename to " + path);
  return {};
}

Result<DeviceState> load_state(uint32_t index) {
  const std::string path = state_path(index, state_folder);
  Result<DeviceState> state = read_state(path);
  if (state && (state->device.index != index || state->connected_by != connection_mark(index)))
    return Error{Code::not_found, path + " is about an earlier connection of this device"};
  return state;
}

void remove_state(uint32_t index, const std::string& connected_by, const std::string& folder) {
  const std::string path = state_path(index, folder);
  if (const Result<DeviceState> state = read_state(path); state && state->connected_by == connected_by)
    ::unlink(path.c_str());
}

std::string connection_mark(uint32_t index) {
  const std::string pid = first_line("/sys/block/nbd" + std::to_string(index) + "/pid");
  return pid.empty() ? "" : pid + "@" + first_line("/proc/sys/kernel/random/boot_id");
}

}  // namespace atl::attach
