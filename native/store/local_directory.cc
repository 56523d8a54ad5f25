#include "store/local_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

namespace atl {

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno(errno, "mkdir " + path);
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
  if (error != 0) return Error::from_errno(error, "fsync of directory " + path);
  return {};
}

int SpreadDirectory::create_entry(const std::string& path, const std::function<int()>& create) {
  // Others remove the directory when they find it empty, so once may not be enough; for ever it is not.
  for (int tries = 0;; tries++) {
    const int error = create();
    if (error == 0) changed();
    if (error != ENOENT || tries == 16) return error;
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno;
    const std::scoped_lock lock{counting_};
    made_ = true;
  }
}

Result<void> SpreadDirectory::sync(const std::string& path) {
  uint64_t target = 0;
  {
    const std::scoped_lock lock{counting_};
    target = changes_;
  }
  const std::scoped_lock lock{syncing_};
  if (synced_ >= target) return {};  // the one who was here before us did it
  bool made = false;
  {
    const std::scoped_lock counting{counting_};
    target = changes_;
    made = std::exchange(made_, false);
  }
  Result<void> synced = sync_directory(path);
  const bool gone = !synced && synced.error().code == Code::not_found;  // and all its entries with it
  if (gone || (synced && made)) synced = sync_directory(path.substr(0, path.find_last_of('/')));
  if (synced) {
    synced_ = target;
  } else if (made) {
    const std::scoped_lock counting{counting_};
    made_ = true;
  }
  return synced;
}

void SpreadDirectory::remove_if_empty(const std::string& path) { ::rmdir(path.c_str()); }

void SpreadDirectory::changed() {
  const std::scoped_lock lock{counting_};
  changes_++;
}

}  // namespace atl
