#include "store/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace atl {
namespace {

// sqlite.org/fileformat2.html "The Lock-Byte Page": the pending byte, the reserved byte and 510 shared ones.
constexpr off_t sqlite_lock_begin = 0x40000000;
constexpr off_t sqlite_lock_bytes = 512;

Error held(const std::string& directory) { return Error{Code::busy, directory + " is locked by another process"}; }

}  // namespace

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : directory_(std::exchange(other.directory_, -1)), file_(std::exchange(other.file_, -1)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(directory_, other.directory_);
  std::swap(file_, other.file_);
  return *this;
}

void DirectoryLock::release() {
  if (file_ >= 0) ::close(std::exchange(file_, -1));
  if (directory_ >= 0) ::close(std::exchange(directory_, -1));
}

Result<DirectoryLock> DirectoryLock::take(const std::string& directory) {
  DirectoryLock lock;
  lock.directory_ = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock.directory_ < 0) return Error::from_errno(errno, "opening " + directory);
  if (::flock(lock.directory_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return held(directory);
    // NFS makes a lock of a file's bytes of it, for which a directory cannot be opened. The other lock works there.
    const bool unknown = errno == EBADF || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOLCK || errno == ENOSYS;
    if (!unknown) return Error::from_errno(errno, "locking " + directory);
    ::close(std::exchange(lock.directory_, -1));
  }

  const std::string path = directory + "/lock";
  short kind = F_WRLCK;
  lock.file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock.file_ < 0 && errno == EROFS) {
    kind = F_RDLCK;
    lock.file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  }
  if (lock.file_ < 0) {
    // Where it is missing and cannot be created, an older Atoll cannot create it either.
    const bool cannot_exist = errno == ENOSPC || errno == EDQUOT || errno == ENOENT;
    if (!cannot_exist || lock.directory_ < 0) return Error::from_errno(errno, "opening " + path);
    return lock;
  }
  struct flock bytes {};
  bytes.l_type = kind;
  bytes.l_whence = SEEK_SET;
  bytes.l_start = sqlite_lock_begin;
  bytes.l_len = sqlite_lock_bytes;
  if (::fcntl(lock.file_, F_OFD_SETLK, &bytes) != 0) {
    if (errno == EAGAIN || errno == EACCES) return held(directory);
    return Error::from_errno(errno, "locking " + path);
  }
  return lock;
}

}  // namespace atl
