#include "attach/device_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace atl::attach {
namespace {

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

std::string lock_path(uint32_t index) { return "/run/atoll-attach-nbd" + std::to_string(index); }

// The kernel has no lock of this kind with a time limit.
constexpr int soon_checks = 200;
constexpr useconds_t soon_check_us = 10'000;

}  // namespace

Result<DeviceLock> DeviceLock::open_to_look(uint32_t index) {
  const std::string path = lock_path(index);
  Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.fd() < 0) return Error::from_errno(errno, "open " + path);
  return DeviceLock(std::move(file));
}

Result<DeviceLock> DeviceLock::open(uint32_t index) {
  const std::string path = lock_path(index);
  Socket file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.fd() < 0) return Error::from_errno(errno, "open " + path);
  return DeviceLock(std::move(file));
}

Result<void> DeviceLock::take() {
  struct flock lock = whole_file();
  if (::fcntl(file_.fd(), F_SETLK, &lock) == 0) return {};
  const pid_t other = holder();
  return Error{Code::busy,
               "process " + std::to_string(other) + " keeps this device attached; detach it first, or take another"};
}

pid_t DeviceLock::holder() const {
  struct flock lock = whole_file();
  if (::fcntl(file_.fd(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return 0;
  return lock.l_pid;
}

Result<void> DeviceLock::wait_and_take() {
  struct flock lock = whole_file();
  while (::fcntl(file_.fd(), F_SETLKW, &lock) != 0)
    if (errno != EINTR) return Error::from_errno(errno, "the device's lock");
  return {};
}

bool DeviceLock::take_soon() {
  for (int i = 0; i < soon_checks; i++) {
    if (i > 0) ::usleep(soon_check_us);
    if (take()) return true;
  }
  return false;
}

}  // namespace atl::attach
