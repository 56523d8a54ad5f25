#include "store/local_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

namespace atl {

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno(errno, "creating directory " + path);
  return {};
}

Result<void> list_directory(const std::string& path, const std::function<void(std::string_view)>& visit) {
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory{::opendir(path.c_str())};
  if (!directory) return Error::from_errno(errno, "listing " + path);
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name{entry->d_name};
    if (name != "." && name != "..") visit(name);
  }
  if (errno != 0) return Error::from_errno(errno, "listing " + path);
  return {};
}

Result<void> sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error::from_errno(errno, "opening directory " + path);
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (error != 0) return Error::from_errno(error, "syncing directory " + path);
  return {};
}

Result<void> DirectorySync::sync(const std::string& path) {
  uint64_t target = 0;
  {
    const std::scoped_lock lock{counting_};
    target = changes_;
  }
  const std::scoped_lock lock{syncing_};
  if (synced_ >= target) return {};  // the one who was here before us did it
  {
    const std::scoped_lock counting{counting_};
    target = changes_;
  }
  Result<void> synced = sync_directory(path);
  if (synced) synced_ = target;
  return synced;
}

void DirectorySync::changed() {
  const std::scoped_lock lock{counting_};
  changes_++;
}

}  // namespace atl
