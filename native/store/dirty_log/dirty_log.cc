#include "store/dirty_log/dirty_log.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <optional>

#include "store/dirty_log/dirty_log_content.h"
#include "store/local_directory.h"
#include "store/on_pool.h"

namespace atl {
namespace {

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

Result<std::string> boot_id() {
  const char* path = "/proc/sys/kernel/random/boot_id";
  const File file(::open(path, O_RDONLY | O_CLOEXEC));
  char text[dirty_log_boot_max];
  const ssize_t n = file.fd() < 0 ? -1 : ::read(file.fd(), text, sizeof text);
  if (n <= 0) return Error::from_errno(errno, std::string("reading ") + path);
  std::string id(text, static_cast<size_t>(n));
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

/// A copy of the directory, or a snapshot of its file system beside it, has another inode or device: its logs and its data may be of two
/// moments, and a log that names blocks that its data does not have yet would show zeros there.
struct Place {
  uint64_t mount = 0;  // never used twice while the kernel runs (Linux 6.8 on). 0: the kernel does not say
  std::string directory;
};
Result<Place> place_of(const std::string& directory) {
  constexpr unsigned mount_id_unique = 0x4000;  // STATX_MNT_ID_UNIQUE, which older headers lack
  struct statx found {};
  if (::statx(AT_FDCWD, directory.c_str(), 0, mount_id_unique | STATX_INO, &found) != 0)
    return Error::from_errno(errno, "looking at " + directory);
  char text[32];
  std::snprintf(text, sizeof text, ":%llx.%x", static_cast<unsigned long long>(found.stx_ino),
                found.stx_dev_major << 20 | (found.stx_dev_minor & 0xfffff));
  return Place{(found.stx_mask & mount_id_unique) != 0 ? uint64_t{found.stx_mnt_id} : 0, text};
}

Result<void> write_all(int fd, const std::byte* data, size_t size, const std::string& path) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::pwrite(fd, data + done, size - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error::from_errno(n < 0 ? errno : EIO, "writing " + path);
    done += static_cast<size_t>(n);
  }
  return {};
}

}  // namespace

DirtyLog::DirtyLog(std::string path, std::byte* mapped) : path_(std::move(path)), mapped_(mapped) {
  free_.reserve(slots);
  for (uint32_t i = slots; i > 0; i--) free_.push_back(i - 1);
}

DirtyLog::~DirtyLog() {
  ::munmap(mapped_, dirty_log_bytes);
  ::unlink(path_.c_str());
}

DirtyLog::Slot& DirtyLog::take(RegionIndex region) {
  VERIFY(!free_.empty());
  Slot& slot = dirty_log_slots(mapped_)[free_.back()];
  free_.pop_back();
  slot.region = number(region);
  slot.owned = {};
  slot.zeroed = {};
  // Last: a process that dies in between leaves a free slot.
  std::atomic_ref(slot.order).store(next_order_++, std::memory_order_release);
  return slot;
}

void DirtyLog::free(Slot& slot) {
  std::atomic_ref(slot.order).store(0, std::memory_order_release);
  free_.push_back(static_cast<uint32_t>(&slot - dirty_log_slots(mapped_)));
}

Result<std::unique_ptr<DirtyLogs>> DirtyLogs::open(const std::string& store_directory, JobSink& pool,
                                                   const SpaceReserve* reserve) {
  const std::string directory = store_directory + "/dirty";
  if (Result<void> made = make_directory(directory); !made) return made.error();
  Result<std::string> boot = boot_id();
  if (!boot) return boot.error();
  Result<Place> place = place_of(directory);
  if (!place) return place.error();
  return std::unique_ptr<DirtyLogs>(new DirtyLogs(directory, {*boot + place->directory, place->mount}, pool, reserve));
}

Task<Result<std::unique_ptr<DirtyLog>>> DirtyLogs::create(LayerId layer) {
  if (!kept()) co_return std::unique_ptr<DirtyLog>{};
  const uint64_t turn = turn_++;
  Result<std::unique_ptr<DirtyLog>> made =
      co_await on_pool(pool_, [this, layer, turn] { return create_here(layer, turn); });
  co_return made;
}

Result<std::unique_ptr<DirtyLog>> DirtyLogs::create_here(LayerId layer, uint64_t turn) {
  char name[64];
  std::snprintf(name, sizeof name, "/%016" PRIx64 ".%" PRIu64, number(layer), turn);
  const std::string path = directory_ + name;
  // A volume's own blocks can be overwritten on a full file system, also after a new start; but not for the last of the reserve.
  if (reserve_ != nullptr && reserve_->nearly_used_up())
    return Error::from_errno(ENOSPC, "opening " + path + " (only the space reserve is left)");
  const File file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.fd() < 0) return Error::from_errno(errno, "opening " + path);
  const std::vector<std::byte> content = new_dirty_log(origin_, layer);
  Result<void> written = write_all(file.fd(), content.data(), content.size(), path);
  void* mapped = MAP_FAILED;
  if (written) {
    mapped = ::mmap(nullptr, dirty_log_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
    if (mapped == MAP_FAILED) written = Error::from_errno(errno, "mapping " + path);
  }
  if (!written) {
    ::unlink(path.c_str());
    return written.error();
  }
  return std::unique_ptr<DirtyLog>(new DirtyLog(path, static_cast<std::byte*>(mapped)));
}

Task<Result<std::vector<DirtyLogs::Left>>> DirtyLogs::left() {
  Result<std::vector<Left>> found = co_await on_pool(pool_, [this] { return left_here(); });
  co_return found;
}

Result<std::vector<DirtyLogs::Left>> DirtyLogs::left_here() {
  std::vector<std::string> names;
  Result<void> listed = list_directory(directory_, [&](std::string_view name) { names.emplace_back(name); });
  if (!listed) return listed.error();
  std::vector<Left> all;
  std::vector<std::byte> content(dirty_log_bytes);
  for (const std::string& name : names) {
    const std::string path = directory_ + "/" + name;
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.fd() < 0) return Error::from_errno(errno, "opening " + path);
    const ssize_t n = ::pread(file.fd(), content.data(), content.size(), 0);
    if (n < 0) return Error::from_errno(errno, "reading " + path);
    std::optional<Left> left;
    if (kept()) left = read_dirty_log(Bytes(content).first(static_cast<size_t>(n)), origin_);
    if (!left) {
      if (::unlink(path.c_str()) != 0) return Error::from_errno(errno, "removing " + path);
      discarded_++;
      continue;
    }
    left->path = path;
    all.push_back(std::move(*left));
  }
  return all;
}

Task<Result<void>> DirtyLogs::remove(std::string path) {
  Result<void> removed = co_await on_pool(pool_, [&path]() -> Result<void> {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Error::from_errno(errno, "removing " + path);
    return {};
  });
  co_return removed;
}

}  // namespace atl
