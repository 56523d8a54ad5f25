#include "attach/list.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <vector>

#include "attach/device_lock.h"
#include "attach/device_state.h"
#include "attach/device_use.h"

namespace atl::attach {
namespace {

using Row = std::vector<std::string>;

std::vector<uint32_t> connected_devices() {
  std::vector<uint32_t> found;
  std::error_code failed;
  for (std::filesystem::directory_iterator at("/sys/block", failed), end; !failed && at != end; at.increment(failed)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with("nbd")) continue;
    uint32_t index = 0;
    const auto [stopped, wrong] = std::from_chars(name.data() + 3, name.data() + name.size(), index);
    if (wrong == std::errc{} && stopped == name.data() + name.size() && is_connected(index)) found.push_back(index);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string size_bytes(uint32_t index) {
  std::ifstream file("/sys/block/nbd" + std::to_string(index) + "/size");
  uint64_t sectors = 0;
  file >> sectors;
  return std::to_string(sectors * 512);
}

std::string keeper(uint32_t index) {
  const Result<DeviceLock> lock = DeviceLock::open_to_look(index);
  if (!lock) return lock.error().code == Code::not_found ? "no keeper" : "unknown";
  const pid_t holder = lock->holder();
  return holder == 0 ? "no keeper" : std::to_string(holder);
}

Row row(uint32_t index) {
  std::string mounted;
  for (const std::string& point : mount_points(index)) mounted += (mounted.empty() ? "" : ",") + point;
  const Result<DeviceState> state = load_state(index);
  return {"/dev/nbd" + std::to_string(index),
          size_bytes(index),
          state ? std::to_string(state->connections) : "-",
          keeper(index),
          mounted.empty() ? "-" : mounted,
          state ? uri_text(state->uri) : "-"};
}

}  // namespace

std::string list_devices() {
  std::vector<Row> rows{{"DEVICE", "BYTES", "CONNECTIONS", "KEEPER", "MOUNTED ON", "EXPORT"}};
  for (const uint32_t index : connected_devices()) rows.push_back(row(index));
  std::vector<size_t> widths(rows.front().size());
  for (const Row& each : rows)
    for (size_t i = 0; i < each.size(); i++) widths[i] = std::max(widths[i], each[i].size());
  std::string text;
  for (const Row& each : rows) {
    for (size_t i = 0; i + 1 < each.size(); i++) text += each[i] + std::string(widths[i] - each[i].size() + 2, ' ');
    text += each.back() + "\n";
  }
  return text;
}

}  // namespace atl::attach
