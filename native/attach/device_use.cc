#include "attach/device_use.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>

namespace atl::attach {
namespace {

namespace fs = std::filesystem;

constexpr size_t users_max = 16;
constexpr int opened_checks = 20;
constexpr useconds_t opened_check_us = 100'000;

/// The names of the entries of a folder; none where it cannot be read.
std::vector<std::string> entries(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed))
    names.push_back(at->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// "nbd0", and "nbd0p1" of each partition.
std::vector<std::string> block_names(uint32_t index, const SystemPaths& paths) {
  const std::string whole = "nbd" + std::to_string(index);
  std::vector<std::string> names{whole};
  for (const std::string& name : entries(paths.sys + "/block/" + whole))
    if (name.starts_with(whole + "p")) names.push_back(name);
  return names;
}

std::string in_block_folder(const std::string& name, uint32_t index, const SystemPaths& paths) {
  const std::string whole = paths.sys + "/block/nbd" + std::to_string(index);
  return name.find('p') == std::string::npos ? whole : whole + "/" + name;
}

struct Mount {
  std::string point, device;
};

std::vector<Mount> mounts(uint32_t index, const SystemPaths& paths) {
  const std::vector<std::string> names = block_names(index, paths);
  std::vector<std::string> numbers;
  for (const std::string& name : names) numbers.push_back(first_line(in_block_folder(name, index, paths) + "/dev"));
  std::vector<Mount> found;
  std::ifstream file(paths.proc + "/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // "36 35 98:0 /root /mountpoint options [more…] - type source options" (proc_pid_mountinfo(5))
    std::istringstream fields(line);
    std::string id, parent, number, root, point, word, type, source;
    fields >> id >> parent >> number >> root >> point;
    while (fields >> word && word != "-") {
    }
    fields >> type >> source;
    for (size_t i = 0; i < names.size(); i++) {
      // Btrfs shows a number of its own; the source names the device then.
      const bool same = (!numbers[i].empty() && number == numbers[i]) || source == paths.dev + "/" + names[i];
      if (!same) continue;
      found.push_back({point, paths.dev + "/" + names[i]});
      break;
    }
  }
  return found;
}

/// The processes that have the device or a partition open, as far as /proc shows them.
std::vector<std::string> openers(uint32_t index, const SystemPaths& paths) {
  std::set<std::string> devices;
  for (const std::string& name : block_names(index, paths)) devices.insert(paths.dev + "/" + name);
  std::vector<std::string> found;
  const std::string self = std::to_string(::getpid());
  for (const std::string& pid : entries(paths.proc)) {
    if (pid.find_first_not_of("0123456789") != std::string::npos || pid == self) continue;
    const std::string folder = paths.proc + "/" + pid;
    for (const std::string& fd : entries(folder + "/fd")) {
      std::error_code failed;
      const std::string target = fs::read_symlink(folder + "/fd/" + fd, failed).string();
      if (failed || !devices.contains(target)) continue;
      found.push_back("open in process " + pid + " (" + first_line(folder + "/comm") + ", " + target + ")");
      break;
    }
    if (found.size() == users_max) break;
  }
  return found;
}

std::vector<std::string> loop_devices(uint32_t index, const SystemPaths& paths) {
  std::set<std::string> devices;
  for (const std::string& name : block_names(index, paths)) devices.insert(paths.dev + "/" + name);
  std::vector<std::string> found;
  for (const std::string& name : entries(paths.sys + "/block")) {
    if (!name.starts_with("loop")) continue;
    const std::string file = first_line(paths.sys + "/block/" + name + "/loop/backing_file");
    if (devices.contains(file)) found.push_back("backing /dev/" + name + " (" + file + ")");
  }
  return found;
}

std::string joined(const std::vector<std::string>& phrases) {
  std::string text;
  for (const std::string& phrase : phrases) text += (text.empty() ? "" : ", ") + phrase;
  return text;
}

Error in_use(uint32_t index, const std::vector<std::string>& users) {
  const std::string who =
      users.empty() ? "by a user that cannot be found, such as a mount in another mount namespace" : joined(users);
  return Error{Code::busy, "/dev/nbd" + std::to_string(index) + " is in use: " + who +
                               "; end its use first, or detach it with --force and lose what was not written"};
}

}  // namespace

std::vector<std::string> mount_points(uint32_t index, const SystemPaths& paths) {
  std::vector<std::string> points;
  for (const Mount& mount : mounts(index, paths)) points.push_back(mount.point);
  return points;
}

std::vector<std::string> device_users(uint32_t index, const SystemPaths& paths) {
  std::vector<std::string> users;
  for (const Mount& mount : mounts(index, paths))
    users.push_back("mounted on " + mount.point + " (" + mount.device + ")");
  const std::vector<std::string> names = block_names(index, paths);
  std::ifstream swaps(paths.proc + "/swaps");
  for (std::string line; std::getline(swaps, line);)
    for (const std::string& name : names)
      if (line.starts_with(paths.dev + "/" + name + " ") || line.starts_with(paths.dev + "/" + name + "\t"))
        users.push_back("swap (" + paths.dev + "/" + name + ")");
  for (const std::string& name : names)
    for (const std::string& holder : entries(in_block_folder(name, index, paths) + "/holders"))
      users.push_back("held by /dev/" + holder + " (" + paths.dev + "/" + name + ")");
  for (auto& loop : loop_devices(index, paths)) users.push_back(std::move(loop));
  for (auto& opener : openers(index, paths)) users.push_back(std::move(opener));
  if (users.size() > users_max) {
    const size_t more = users.size() - users_max;
    users.resize(users_max);
    users.push_back("and " + std::to_string(more) + " more");
  }
  return users;
}

Result<Socket> claim_device(uint32_t index) {
  const std::string path = "/dev/nbd" + std::to_string(index);
  for (int check = 0;; check++) {
    // The claim of a whole device fails when one of its partitions is claimed.
    Socket claimed(::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    if (claimed.fd() < 0 && errno != EBUSY) return Error::from_errno(errno, "open " + path);
    const std::vector<std::string> users = device_users(index);
    if (claimed.fd() >= 0 && users.empty()) return claimed;
    if (check == opened_checks) return in_use(index, users);
    // What holds the device exclusively does not leave by itself, but for what creates or checks a file system.
    if (claimed.fd() < 0 && !users.empty() && !users.front().starts_with("open in")) return in_use(index, users);
    ::usleep(opened_check_us);
  }
}

}  // namespace atl::attach
