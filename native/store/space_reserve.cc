#include "store/space_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

namespace atl {
namespace {

constexpr uint64_t unit_bytes = 1 << 20;
constexpr auto restore_every = std::chrono::milliseconds{250};

struct Space {
  uint64_t total_bytes;
  uint64_t free_bytes;
};

/// Nothing: the file system does not report it.
std::optional<Space> space_at(const std::string& path) {
  struct statvfs found {};
  if (::statvfs(path.c_str(), &found) != 0) return std::nullopt;
  return Space{uint64_t{found.f_blocks} * found.f_frsize, uint64_t{found.f_bavail} * found.f_frsize};
}

std::string directory_of(const std::string& path) { return path.substr(0, path.find_last_of('/')); }

std::string in_mib(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

/// Allocates [from, to) by writing, where the file system cannot do it otherwise. An errno or 0.
int write_blocks(int fd, uint64_t from, uint64_t to) {
  static constexpr std::byte zeros[64 << 10]{};
  while (from < to) {
    const ssize_t count = ::pwrite(fd, zeros, std::min<uint64_t>(sizeof zeros, to - from), static_cast<off_t>(from));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno : EIO;
    from += static_cast<uint64_t>(count);
  }
  return ::fsync(fd) == 0 ? 0 : errno;
}

/// How much of the file is allocated without a gap from its start on, at most.
uint64_t allocated_bytes(int fd) {
  struct stat now {};
  if (::fstat(fd, &now) != 0) return 0;
  return std::min(static_cast<uint64_t>(now.st_size), static_cast<uint64_t>(now.st_blocks) * 512);
}

}  // namespace

// ---- SpaceReserve ----

SpaceReserve::SpaceReserve(std::string path, uint64_t target_bytes, LogLine log)
    : path_(std::move(path)), target_bytes_(target_bytes), log_(std::move(log)) {}

SpaceReserve::~SpaceReserve() {
  if (fd_ >= 0) ::close(fd_);
}

uint64_t SpaceReserve::held_bytes() const {
  const std::scoped_lock lock{mutex_};
  return held_bytes_;
}

bool SpaceReserve::nearly_used_up() const {
  if (!low()) return false;
  const std::optional<Space> space = space_at(directory_of(path_));
  return !space || space->free_bytes < target_bytes_ / parts / 2;
}

void SpaceReserve::log(LogLevel level, std::string message) {
  if (log_) log_(level, "space reserve " + path_ + ": " + std::move(message));
}

void SpaceReserve::silence() {
  const std::scoped_lock lock{mutex_};
  log_ = {};
}

bool SpaceReserve::open_file() {
  if (fd_ >= 0) return true;
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd_ < 0) return false;
  struct stat now {};
  // Held with another setting before.
  if (::fstat(fd_, &now) == 0 && static_cast<uint64_t>(now.st_size) > target_bytes_) (void)give_up_to(target_bytes_);
  held_bytes_ = std::min(allocated_bytes(fd_), target_bytes_);
  return true;
}

void SpaceReserve::open() {
  const std::scoped_lock lock{mutex_};
  if (open_file()) low_ = held_bytes_ < target_bytes_ && !allocate();
  if (!low_) return;
  log(LogLevel::warn, "has " + in_mib(held_bytes_) + " of " + in_mib(target_bytes_) +
                          ": the file system is nearly full, so writes that need new space are refused");
}

void SpaceReserve::prepare_start() {
  const std::scoped_lock lock{mutex_};
  const std::optional<Space> space = space_at(directory_of(path_));
  if (fd_ < 0 || !space || space->free_bytes >= target_bytes_) return;
  low_ = true;
  if (held_bytes_ > target_bytes_ / parts) (void)give_up_to(target_bytes_ / parts);
}

bool SpaceReserve::give_up_to(uint64_t bytes) {
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) return false;
  held_bytes_ = std::min(held_bytes_, bytes);
  // A journaling file system hands the blocks out again once the truncation is committed.
  (void)::fsync(fd_);
  return true;
}

bool SpaceReserve::release() {
  const std::scoped_lock lock{mutex_};
  const bool first = !low_.exchange(true);
  if (fd_ < 0 || held_bytes_ == 0) return false;
  const uint64_t part = std::max(target_bytes_ / parts, unit_bytes);
  if (!give_up_to(held_bytes_ > part ? held_bytes_ - part : 0)) return false;
  if (first)
    log(LogLevel::warn,
        "the file system is full; a part is given up for the catalog, the records and deletions, and writes that need "
        "new "
        "space are refused until " +
            in_mib(target_bytes_ - held_bytes_ + part) + " are free");
  return true;
}

/// True: all of it is allocated.
bool SpaceReserve::allocate() {
  const std::optional<Space> space = space_at(directory_of(path_));
  const uint64_t missing = target_bytes_ - held_bytes_;
  // A part more: or else the next commit would meet the full file system at once.
  if (!space || space->free_bytes < missing + target_bytes_ / parts) return false;
  int error = ::fallocate(fd_, 0, 0, static_cast<off_t>(target_bytes_)) == 0 ? 0 : errno;
  if (error == EOPNOTSUPP || error == ENOSYS) error = write_blocks(fd_, held_bytes_, target_bytes_);
  held_bytes_ = error == 0 ? target_bytes_ : std::min(allocated_bytes(fd_), target_bytes_);
  return error == 0;
}

void SpaceReserve::restore() {
  const std::scoped_lock lock{mutex_};
  if (!low_ || !open_file() || !allocate()) return;
  low_ = false;
  log(LogLevel::info, "all of its " + in_mib(target_bytes_) + " are held again, and writes go on");
}

// ---- SpaceReserves ----

Result<std::unique_ptr<SpaceReserves>> SpaceReserves::open(const std::vector<std::string>& directories,
                                                           uint64_t bytes_each, LogLine log) {
  std::unique_ptr<SpaceReserves> all{new SpaceReserves()};
  for (const std::string& directory : directories) {
    struct stat found {};
    if (::stat(directory.c_str(), &found) != 0) {
      if (errno == ENOENT) continue;
      return Error::from_errno(errno, "looking at " + directory);
    }
    const std::string path = directory + "/reserve";
    if (all->on(directory) != nullptr) {
      // A file system of its own before, and none any more.
      if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Error::from_errno(errno, "removing " + path);
      continue;
    }
    const std::optional<Space> space = space_at(directory);
    const uint64_t most = space ? space->total_bytes / fraction_of_file_system : bytes_each;
    const uint64_t target = std::min(bytes_each, most) / unit_bytes * unit_bytes;
    if (target == 0) {
      if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Error::from_errno(errno, "removing " + path);
      continue;
    }
    auto reserve = std::make_unique<SpaceReserve>(path, target, log);
    reserve->open();
    all->held_.push_back({static_cast<uint64_t>(found.st_dev), std::move(reserve)});
  }
  return all;
}

SpaceReserves::~SpaceReserves() { stop(); }

SpaceReserve* SpaceReserves::on(const std::string& path) const {
  struct stat found {};
  std::string at = path;
  while (::stat(at.c_str(), &found) != 0) {
    if (errno != ENOENT || at.find('/') == std::string::npos) return nullptr;
    at = directory_of(at);
  }
  for (const Held& held : held_)
    if (held.device == static_cast<uint64_t>(found.st_dev)) return held.reserve.get();
  return nullptr;
}

void SpaceReserves::prepare_start() {
  for (const Held& held : held_) held.reserve->prepare_start();
}

void SpaceReserves::keep() {
  if (!keeper_.joinable() && !held_.empty()) keeper_ = std::thread{[this] { run(); }};
}

void SpaceReserves::stop() {
  {
    const std::scoped_lock lock{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  if (keeper_.joinable()) keeper_.join();
  for (const Held& held : held_) held.reserve->silence();
}

void SpaceReserves::run() {
  std::unique_lock lock{mutex_};
  while (!changed_.wait_for(lock, restore_every, [this] { return stopping_; }))
    for (const Held& held : held_)
      if (held.reserve->low()) held.reserve->restore();
}

}  // namespace atl
