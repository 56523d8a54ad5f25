// local_content.cc: content chunks and listings of the local store.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "io/loop.h"
#include "store/local/local_data_store.h"
#include "store/local/local_io.h"
#include "store/on_pool.h"

namespace atl {
namespace {

Error chunk_error(int error, const Digest& digest, const char* doing) {
  return Error::from_errno(error, "content " + digest.hex() + ": " + doing);
}

Error absent(const Digest& digest) { return Error{Code::not_found, "content " + digest.hex() + ": not there"}; }

bool all_zero(Bytes bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// Content shorter than this gains nothing by direct writes.
constexpr size_t direct_bytes_min = 64 << 10;

/// The next run [begin, end) of blocks that are not zeros, at or after `from`; begin == bytes.size() when there is none.
struct Run {
  size_t begin;
  size_t end;
};
Run next_run(Bytes bytes, size_t from) {
  const auto zero_at = [&](size_t at) {
    return all_zero(bytes.subspan(at, std::min<size_t>(block_bytes, bytes.size() - at)));
  };
  while (from < bytes.size() && zero_at(from)) from = std::min<size_t>(from + block_bytes, bytes.size());
  size_t end = from;
  while (end < bytes.size() && !zero_at(end)) end = std::min<size_t>(end + block_bytes, bytes.size());
  return {from, end};
}

/// False: this file system knows only the page cache.
bool set_direct(int fd, bool direct) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/// Through the page cache, but for zeros.
Task<int> write_runs(int fd, Bytes bytes) {
  for (Run run = next_run(bytes, 0); run.begin < bytes.size(); run = next_run(bytes, run.end)) {
    const int error = co_await write_fully(fd, run.begin, bytes.subspan(run.begin, run.end - run.begin), 1);
    if (error != 0) co_return error;
  }
  co_return 0;
}

/// Whole pages go straight to the device. They must be durable before anybody is answered, so the page cache would only be a
/// detour: a copy, pages to be found for it, and its write-back all at once in fdatasync.
Task<int> write_direct(int fd, Bytes bytes) {
  size_t done = bytes.size() / direct_alignment * direct_alignment;
  int error = co_await write_fully(fd, 0, bytes.first(done), direct_alignment);
  // The tail of a page; and all of it where the file system or its device wants more than page alignment.
  if (!set_direct(fd, false)) co_return errno;
  if (error == EINVAL) done = error = 0;
  if (error == 0) error = co_await write_fully(fd, done, bytes.subspan(done), 1);
  co_return error;
}

/// Writes what is not zeros. Answers 0 or an errno.
Task<int> write_dense_or_sparse(int fd, Bytes bytes) {
  // Many short runs are better off in the page cache, which writes them back together.
  const Run first = next_run(bytes, 0);
  const bool dense = first.begin == 0 && first.end == bytes.size() && bytes.size() >= direct_bytes_min;
  const bool direct = dense && set_direct(fd, true);
  int error = 0;
  if (direct)
    error = co_await write_direct(fd, bytes);
  else
    error = co_await write_runs(fd, bytes);
  co_return error;
}

Task<int> make_durable(int fd) {
  while (true) {
    const int32_t result = co_await Loop::here().fdatasync(fd);
    if (result != -EINTR) co_return -result;
  }
}

/// While it lives, this thread's reads wait for everybody else's (schedulers that know priorities: bfq, mq-deadline).
class LowIoPriority {
 public:
  LowIoPriority() : before_(::syscall(SYS_ioprio_get, who_process, 0)) { set(idle_class << class_shift); }
  ~LowIoPriority() { set(before_ < 0 ? 0 : before_); }
  LowIoPriority(const LowIoPriority&) = delete;

 private:
  // linux/ioprio.h, which older headers do not have.
  static constexpr long who_process = 1;
  static constexpr long idle_class = 3;
  static constexpr long class_shift = 13;
  static void set(long priority) {
    (void)::syscall(SYS_ioprio_set, who_process, 0, priority);
  }  // a kernel without it: as all others

  const long before_;
};

}  // namespace

Result<void> LocalDataStore::sync_content_entry(const Digest& digest) {
  return content_directories_[digest.bytes[0]].sync(paths_.content_directory(digest));
}

/// A descriptor of the new file at `path`; -1 when the chunk is there already (and durable).
Result<int> LocalDataStore::begin_content(const Digest& digest, uint64_t length, const std::string& path,
                                          Existing existing) {
  struct stat now {};
  const bool there = ::stat(paths_.content(digest).c_str(), &now) == 0;
  if (!there && errno != ENOENT) return chunk_error(errno, digest, "stat");
  // One of another length is not what its name says; it is replaced.
  if (there && existing == Existing::keep && static_cast<uint64_t>(now.st_size) == length) {
    // It may have been renamed just now, and its entry not be durable yet.
    if (Result<void> synced = sync_content_entry(digest); !synced) return std::move(synced.error());
    return -1;
  }
  if (low_on_space()) return chunk_error(ENOSPC, digest, "write (only the space reserve is left)");
  const int fd = open_file(path, O_CREAT | O_EXCL);
  if (fd < 0) return chunk_error(-fd, digest, "open (create)");
  if (::ftruncate(fd, static_cast<off_t>(length)) != 0) {
    const int error = errno;
    ::close(fd);
    ::unlink(path.c_str());
    return chunk_error(error, digest, "ftruncate");
  }
  return fd;
}

Result<void> LocalDataStore::publish_content(const Digest& digest, const std::string& path) {
  const std::string name = paths_.content(digest);
  const int error = content_directories_[digest.bytes[0]].create_entry(
      paths_.content_directory(digest), [&] { return ::rename(path.c_str(), name.c_str()) == 0 ? 0 : errno; });
  if (error != 0) {
    ::unlink(path.c_str());
    return chunk_error(error, digest, "rename");
  }
  files_.forget(digest);  // of what was there before, if anything was
  Result<void> synced = sync_content_entry(digest);
  if (!synced) ::unlink(name.c_str());  // a later put must not take it for durable
  return synced;
}

Task<Result<void>> LocalDataStore::put_content(const Digest& digest, Bytes bytes) {
  return write_content(digest, bytes, Existing::keep);
}

Task<Result<void>> LocalDataStore::replace_content(const Digest& digest, Bytes bytes) {
  return write_content(digest, bytes, Existing::replace);
}

Task<Result<void>> LocalDataStore::write_content(const Digest& digest, Bytes bytes, Existing existing) {
  if (options_.read_only) co_return Error{Code::read_only, "content: the store was opened for reading only"};
  VERIFY(!bytes.empty() && bytes.size() <= region_bytes);
  const Digest name = digest;
  const std::string path = paths_.new_content() + "/" + std::to_string(next_new_content_.fetch_add(1));
  Executor& home = Executor::here();

  co_await pool_->schedule();
  Result<int> fd = begin_content(name, bytes.size(), path, existing);
  co_await home.schedule();
  if (!fd) co_return std::move(fd.error());
  if (*fd < 0) co_return Result<void>{};

  const char* call = "write";
  int error = co_await write_dense_or_sparse(*fd, bytes);
  if (error == 0) {
    call = "fdatasync";
    error = co_await make_durable(*fd);
  }

  co_await pool_->schedule();
  ::close(*fd);
  Result<void> published;
  if (error == 0)
    published = publish_content(name, path);
  else
    ::unlink(path.c_str());
  co_await home.schedule();
  if (error != 0) co_return chunk_error(error, name, call);
  if (published) counts_.content_bytes_written.fetch_add(bytes.size(), std::memory_order_relaxed);
  co_return published;
}

Task<Result<FileRef>> LocalDataStore::chunk(Digest digest) {
  FileRef file = files_.find(FileKey::of(digest));
  if (file) co_return std::move(file);
  Executor& home = Executor::here();
  co_await pool_->schedule();
  // Nobody writes to a chunk that has its name: it can be read on a file system that turned read-only.
  const int fd = open_with(paths_.content(digest), O_RDONLY);
  if (fd >= 0) file = files_.insert(FileKey::of(digest), fd);
  co_await home.schedule();
  if (fd >= 0) co_return std::move(file);
  if (fd == -ENOENT) co_return absent(digest);
  co_return chunk_error(-fd, digest, "open");
}

Task<Result<void>> LocalDataStore::read_content(const Digest& digest, uint64_t offset, MutableBytes into) {
  const Digest name = digest;
  Result<FileRef> file = co_await chunk(name);
  if (!file) co_return std::move(file.error());
  const FileRef open = std::move(*file);
  counts_.bytes_read.fetch_add(into.size(), std::memory_order_relaxed);
  const int error = co_await read_fully(open->fd(), offset, into, 1);
  if (error == ENODATA)
    co_return Error{Code::corrupt,
                    "content " + name.hex() + ": ends before byte " + std::to_string(offset + into.size())};
  if (error != 0) co_return chunk_error(error, name, "read");
  co_return Result<void>{};
}

std::optional<FileRange> LocalDataStore::locate_content(const Digest& digest, uint64_t offset) {
  FileRef open = files_.find(FileKey::of(digest));
  if (!open) return std::nullopt;
  return range_in(std::move(open), offset);
}

Task<Result<std::optional<FileRange>>> LocalDataStore::open_content(const Digest& digest, uint64_t length) {
  const Digest name = digest;
  Result<FileRef> file = co_await chunk(name);
  if (!file) co_return std::move(file.error());
  struct stat now {};
  if (::fstat((*file)->fd(), &now) != 0) co_return chunk_error(errno, name, "stat");
  if (static_cast<uint64_t>(now.st_size) < length)
    co_return Error{Code::corrupt, "content " + name.hex() + ": has " + std::to_string(now.st_size) + " of its " +
                                       std::to_string(length) + " bytes"};
  co_return range_in(std::move(*file), 0);
}

/// Blocking. Direct I/O sees what the device has and leaves the page cache to those who serve; without it we read what there is.
Result<uint64_t> LocalDataStore::reread(const Digest& digest, MutableBytes into) {
  const std::string path = paths_.content(digest);
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECT);
  if (fd < 0 && errno == EINVAL) fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT) return absent(digest);
  if (fd < 0) return chunk_error(errno, digest, "open");
  const LowIoPriority low;
  uint64_t have = 0;
  int error = 0;
  while (have < into.size()) {
    const ssize_t count = ::pread(fd, into.data() + have, into.size() - have, static_cast<off_t>(have));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) error = errno;
    if (count <= 0) break;
    have += static_cast<uint64_t>(count);
    if (have % block_bytes != 0) break;  // the end; a direct read cannot go on from here
  }
  ::close(fd);
  if (error != 0) return chunk_error(error, digest, "read");
  counts_.bytes_read.fetch_add(have, std::memory_order_relaxed);
  return have;
}

Task<Result<uint64_t>> LocalDataStore::reread_content(const Digest& digest, MutableBytes into, JobSink& threads) {
  VERIFY(into.size() >= region_bytes + block_bytes && into.size() % block_bytes == 0);
  const auto work = [this, digest, into] { return reread(digest, into); };
  Result<uint64_t> bytes = co_await on_pool(threads, work);
  co_return bytes;
}

Task<Result<void>> LocalDataStore::drop_content(const Digest& digest) {
  if (options_.read_only) co_return Error{Code::read_only, "content: the store was opened for reading only"};
  const auto work = [this, digest]() -> Result<void> {
    files_.forget(digest);
    if (::unlink(paths_.content(digest).c_str()) != 0) {
      // Nothing has changed: what was removed before counts for the directory already.
      if (errno == ENOENT) return {};
      return chunk_error(errno, digest, "unlink");
    }
    content_directories_[digest.bytes[0]].removed_entry();
    content_directories_[digest.bytes[0]].remove_if_empty(paths_.content_directory(digest));
    return {};
  };
  Result<void> done = co_await on_pool(*pool_, work);
  co_return done;
}

Task<Result<void>> LocalDataStore::sync_drops() {
  if (options_.read_only) co_return Error{Code::read_only, "content: the store was opened for reading only"};
  const auto work = [this]() -> Result<void> {
    Digest first;  // stands for all digests of its directory
    for (size_t at = 0; at < content_directories_.size(); at++) {
      first.bytes[0] = static_cast<uint8_t>(at);
      if (Result<void> synced = content_directories_[at].sync(paths_.content_directory(first)); !synced) return synced;
    }
    return {};
  };
  Result<void> done = co_await on_pool(*pool_, work);
  co_return done;
}

Task<Result<uint64_t>> LocalDataStore::content_bytes(const Digest& digest) {
  const auto work = [this, digest]() -> Result<uint64_t> {
    struct stat now {};
    if (::stat(paths_.content(digest).c_str(), &now) == 0) return static_cast<uint64_t>(now.st_size);
    if (errno == ENOENT) return absent(digest);
    return chunk_error(errno, digest, "stat");
  };
  Result<uint64_t> bytes = co_await on_pool(*pool_, work);
  co_return bytes;
}

// One directory at a time, so that what is held of the names is bounded by the largest.

Task<Result<void>> LocalDataStore::list_files(std::function<void(DataFileId)> visit) {
  for (int i = 0; i < 256; i++) {
    const auto work = [this, i]() -> Result<std::set<DataFileId>> {
      std::set<DataFileId> files;
      const std::string path = paths_.data() + "/" + LocalPaths::spread(static_cast<uint8_t>(i));
      Result<void> listed = list_directory(path, [&](std::string_view text) {
        const auto name = LocalPaths::parse_segment(text);
        if (name && (number(name->file) & 255) == static_cast<uint64_t>(i)) files.insert(name->file);
      });
      if (!listed && listed.error().code != Code::not_found) return std::move(listed.error());
      return files;
    };
    Result<std::set<DataFileId>> files = co_await on_pool(*pool_, work);
    if (!files) co_return std::move(files.error());
    for (const DataFileId file : *files) visit(file);
  }
  co_return Result<void>{};
}

Task<Result<void>> LocalDataStore::list_content(std::function<void(const Digest&)> visit) {
  for (int i = 0; i < 256; i++) {
    const auto work = [this, i]() -> Result<std::vector<Digest>> {
      std::vector<Digest> digests;
      const std::string spread = LocalPaths::spread(static_cast<uint8_t>(i));
      Result<void> listed = list_directory(paths_.content() + "/" + spread, [&](std::string_view text) {
        if (const auto digest = LocalPaths::parse_content(spread, text)) digests.push_back(*digest);
      });
      if (!listed && listed.error().code != Code::not_found) return std::move(listed.error());
      return digests;
    };
    Result<std::vector<Digest>> digests = co_await on_pool(*pool_, work);
    if (!digests) co_return std::move(digests.error());
    for (const Digest& digest : *digests) visit(digest);
  }
  co_return Result<void>{};
}

}  // namespace atl
