#include "store/local/local_data_store.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "io/loop.h"
#include "store/local/local_io.h"
#include "store/on_pool.h"

namespace atl {
namespace {

uint32_t default_max_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  // The rest is for connections, RocksDB and everyone else in the process.
  return static_cast<uint32_t>(std::clamp<rlim_t>(limit.rlim_cur / 5 * 2, 16, 65536));
}

std::string name_of(DataFileId file) { return "data file " + std::to_string(number(file)); }
SegmentName name_of(const OpenFile& segment) { return {DataFileId{segment.key().words[0]}, segment.key().words[1]}; }

/// `call`: the system call that failed.
Error io_error(int error, const SegmentName& segment, const char* call) {
  return Error::from_errno(error,
                           name_of(segment.file) + " (" + LocalPaths::segment_within_root(segment) + "): " + call);
}

/// A record or an open resource's map says that there is more.
Error cut_short(const SegmentName& segment, uint64_t wanted_end) {
  return Error{Code::corrupt, name_of(segment.file) + " (" + LocalPaths::segment_within_root(segment) +
                                  "): is missing, or ends before byte " + std::to_string(wanted_end) +
                                  ", which was written"};
}

Error only_reserve_left(const SegmentName& segment) {
  return io_error(ENOSPC, segment, "write (only the space reserve is left)");
}

}  // namespace

LocalDataStore::LocalDataStore(const std::string& directory, const LocalDataStoreOptions& options,
                               std::unique_ptr<BlockingPool> pool)
    : paths_(directory),
      options_(options),
      alignment_(options.direct ? direct_alignment : 1),
      files_(options.max_open_files != 0 ? options.max_open_files : default_max_open_files(),
             [this](OpenFile& file) { return sync_before_close(file); }),
      pool_(std::move(pool)) {
  VERIFY(options.segment_bytes > 0 && options.segment_bytes % block_bytes == 0);
}

LocalDataStore::~LocalDataStore() = default;

Result<std::unique_ptr<LocalDataStore>> LocalDataStore::open(const std::string& directory,
                                                             const LocalDataStoreOptions& options) {
  Result<std::unique_ptr<BlockingPool>> pool = BlockingPool::create("store", options.blocking_threads);
  if (!pool) return std::move(pool.error());
  std::unique_ptr<LocalDataStore> store{new LocalDataStore{directory, options, std::move(*pool)}};
  if (!options.read_only)
    if (Result<void> prepared = store->prepare(); !prepared) return std::move(prepared.error());
  return store;
}

Result<void> LocalDataStore::prepare() {
  for (const std::string& path : {paths_.root(), paths_.data(), paths_.content(), paths_.new_content()})
    if (Result<void> made = make_directory(path); !made) return made;
  for (const std::string& path : {paths_.content(), paths_.data(), paths_.root()})
    if (Result<void> synced = sync_directory(path); !synced) return synced;

  std::vector<std::string> leftovers;
  Result<void> listed =
      list_directory(paths_.new_content(), [&](std::string_view name) { leftovers.emplace_back(name); });
  if (!listed) return listed;
  for (const std::string& name : leftovers)
    if (::unlink((paths_.new_content() + "/" + name).c_str()) != 0 && errno != ENOENT)
      return Error::from_errno(errno, "removing " + paths_.new_content() + "/" + name);
  return options_.direct ? probe_direct() : Result<void>{};
}

Result<void> LocalDataStore::probe_direct() const {
  const std::string path = paths_.new_content() + "/probe";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  const int error = fd < 0 ? errno : 0;
  if (fd >= 0) ::close(fd);
  ::unlink(path.c_str());  // some file systems create it before they refuse
  if (error == EINVAL)
    return Error{Code::unsupported, "the file system of " + paths_.root() + " has no direct I/O; use buffered"};
  if (error != 0) return Error::from_errno(error, "creating " + path);
  return {};
}

// ---- Opening ----

LocalDataStore::Piece LocalDataStore::first_piece(DataFileId file, uint64_t offset, uint64_t length) const {
  VERIFY(offset <= max_resource_bytes && length <= max_resource_bytes - offset);
  const uint64_t inside = offset % options_.segment_bytes;
  return {{file, offset / options_.segment_bytes}, inside, std::min(length, options_.segment_bytes - inside)};
}

int LocalDataStore::open_file(const std::string& path, int flags) {
  return open_with(path, flags | (options_.read_only ? O_RDONLY : O_RDWR));
}

int LocalDataStore::open_with(const std::string& path, int flags) {
  flags |= O_CLOEXEC | O_NOFOLLOW;
  int fd = ::open(path.c_str(), flags, 0600);
  // The process ran out of descriptors: others took more than their share. Make room, once.
  if (fd < 0 && (errno == EMFILE || errno == ENFILE) && files_.shed(64) > 0) fd = ::open(path.c_str(), flags, 0600);
  return fd >= 0 ? fd : -errno;
}

Task<Result<FileRef>> LocalDataStore::open_segment(SegmentName name, IfAbsent absent) {
  Executor& home = Executor::here();
  co_await pool_->schedule();
  const std::string path = paths_.segment(name);
  const int direct = options_.direct ? O_DIRECT : 0;
  int fd = open_file(path, direct);
  int error = fd < 0 ? -fd : 0;
  if (error == ENOENT && absent == IfAbsent::create)
    error = data_directory_of(name.file).create_entry(paths_.data_directory(name.file), [&] {
      fd = open_file(path, direct | O_CREAT);
      return fd < 0 ? -fd : 0;
    });
  FileRef file;
  if (error == 0) file = files_.insert(FileKey::of(name), fd);
  co_await home.schedule();
  if (error == 0 || (error == ENOENT && absent == IfAbsent::leave)) co_return std::move(file);
  co_return io_error(error, name, "open");
}

Task<Result<FileRef>> LocalDataStore::segment(SegmentName name, IfAbsent absent) {
  FileRef open = files_.find(FileKey::of(name));
  if (open) co_return std::move(open);
  Result<FileRef> opened = co_await open_segment(name, absent);
  co_return opened;
}

// ---- Failed syncs (invariant 3) ----

Result<void> LocalDataStore::not_failed(DataFileId file) const {
  if (failed_count_.load(std::memory_order_acquire) == 0) return {};
  const std::scoped_lock lock{failed_mutex_};
  const auto found = failed_files_.find(file);
  if (found == failed_files_.end()) return {};
  return Error{Code::io, name_of(file) + ": refuses changes since a sync failed (" + found->second + ")"};
}

void LocalDataStore::set_failed(DataFileId file, const Error& cause) {
  const std::scoped_lock lock{failed_mutex_};
  failed_files_.try_emplace(file, cause.message);
  failed_count_.store(failed_files_.size(), std::memory_order_release);
}

void LocalDataStore::forgive(DataFileId file) {
  const std::scoped_lock lock{failed_mutex_};
  failed_files_.erase(file);
  failed_count_.store(failed_files_.size(), std::memory_order_release);
}

Result<void> LocalDataStore::may_change(DataFileId file) const {
  if (options_.read_only) return Error{Code::read_only, name_of(file) + ": the store was opened for reading only"};
  return not_failed(file);
}

// ---- Space ----

bool LocalDataStore::low_on_space() const {
  return std::any_of(options_.reserves.begin(), options_.reserves.end(),
                     [](const SpaceReserve* reserve) { return reserve->low(); });
}

Task<bool> LocalDataStore::is_allocated(const FileRef& at, Piece piece) {
  if (!at) co_return false;
  // May read what the file system knows of the file from its disk.
  const auto work = [fd = at->fd(), piece] {
    const off_t hole = ::lseek(fd, static_cast<off_t>(piece.offset), SEEK_HOLE);
    return hole >= 0 && static_cast<uint64_t>(hole) >= piece.offset + piece.length;
  };
  const bool allocated = co_await on_pool(*pool_, work);
  co_return allocated;
}

bool LocalDataStore::release_reserve() {
  return std::any_of(options_.reserves.begin(), options_.reserves.end(),
                     [](SpaceReserve* reserve) { return reserve->release(); });
}

// ---- Reading and writing ----

Task<Result<void>> LocalDataStore::read(DataFileId file, uint64_t offset, MutableBytes into) {
  counts_.bytes_read.fetch_add(into.size(), std::memory_order_relaxed);
  while (!into.empty()) {
    const Piece piece = first_piece(file, offset, into.size());
    Result<FileRef> opened = co_await segment(piece.name, IfAbsent::leave);
    if (!opened) co_return std::move(opened.error());
    const FileRef at = std::move(*opened);
    int error = ENODATA;
    if (at) error = co_await read_fully(at->fd(), piece.offset, into.first(piece.length), alignment_);
    if (error == ENODATA) co_return cut_short(piece.name, piece.offset + piece.length);
    if (error != 0) co_return io_error(error, piece.name, "read");
    into = into.subspan(piece.length);
    offset += piece.length;
  }
  co_return Result<void>{};
}

FileRange LocalDataStore::range_in(FileRef open, uint64_t offset) {
  const int fd = open->fd();
  return FileRange{fd, offset, std::make_shared<const FileRef>(std::move(open))};
}

std::optional<FileRange> LocalDataStore::locate(DataFileId file, uint64_t offset, uint64_t length) {
  if (options_.direct) return std::nullopt;
  const Piece piece = first_piece(file, offset, length);
  if (piece.length < length) return std::nullopt;
  FileRef open = files_.find(FileKey::of(piece.name));
  if (!open) return std::nullopt;
  return range_in(std::move(open), piece.offset);
}

Task<Result<void>> LocalDataStore::write(DataFileId file, uint64_t offset, Bytes from) {
  if (Result<void> may = may_change(file); !may) co_return may;
  counts_.bytes_written.fetch_add(from.size(), std::memory_order_relaxed);
  while (!from.empty()) {
    const Piece piece = first_piece(file, offset, from.size());
    const bool low = low_on_space();
    Result<FileRef> opened = co_await segment(piece.name, low ? IfAbsent::leave : IfAbsent::create);
    if (!opened) co_return std::move(opened.error());
    const FileRef at = std::move(*opened);
    if (low) {
      const bool allocated = co_await is_allocated(at, piece);
      if (!allocated) co_return only_reserve_left(piece.name);
    }
    const int error = co_await write_fully(at->fd(), piece.offset, from.first(piece.length), alignment_);
    at->changed();  // after an error too: part of it may have been written
    if (error != 0) co_return io_error(error, piece.name, "write");
    from = from.subspan(piece.length);
    offset += piece.length;
  }
  co_return Result<void>{};
}

Task<Result<void>> LocalDataStore::punch(DataFileId file, uint64_t offset, uint64_t length) {
  if (Result<void> may = may_change(file); !may) co_return may;
  while (length > 0) {
    const Piece piece = first_piece(file, offset, length);
    Result<FileRef> opened = co_await segment(piece.name, IfAbsent::leave);
    if (!opened) co_return std::move(opened.error());
    const FileRef at = std::move(*opened);
    if (at) {
      int error = EOPNOTSUPP;
      const char* call = "fallocate (punch a hole)";
      if (can_punch_.load(std::memory_order_relaxed)) do {
          error =
              co_await allocate_range(at->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, piece.offset, piece.length);
          // A hole in the middle of an extent may need a block for the list of extents.
        } while (error == ENOSPC && release_reserve());
      if (error == EOPNOTSUPP) {
        can_punch_.store(false, std::memory_order_relaxed);
        call = "write (zeros for a hole)";
        struct stat now {};
        error = ::fstat(at->fd(), &now) == 0 ? 0 : errno;
        // Nothing to be zeroed past the end; rounded up, because direct I/O writes whole sectors.
        const uint64_t end = (static_cast<uint64_t>(now.st_size) + block_bytes - 1) / block_bytes * block_bytes;
        if (error == 0 && end > piece.offset)
          error = co_await write_zeros(at->fd(), piece.offset, std::min(piece.length, end - piece.offset), alignment_);
      }
      at->changed();
      if (error != 0) co_return io_error(error, piece.name, call);
      counts_.bytes_punched.fetch_add(piece.length, std::memory_order_relaxed);
    }
    length -= piece.length;
    offset += piece.length;
  }
  co_return Result<void>{};
}

Task<Result<void>> LocalDataStore::write_zeroes(DataFileId file, uint64_t offset, uint64_t length) {
  if (Result<void> may = may_change(file); !may) co_return may;
  while (length > 0) {
    const Piece piece = first_piece(file, offset, length);
    const bool low = low_on_space();
    Result<FileRef> opened = co_await segment(piece.name, low ? IfAbsent::leave : IfAbsent::create);
    if (!opened) co_return std::move(opened.error());
    const FileRef at = std::move(*opened);
    if (low) {
      const bool allocated = co_await is_allocated(at, piece);
      if (!allocated) co_return only_reserve_left(piece.name);
    }
    int error = EOPNOTSUPP;
    const char* call = "fallocate (zeros)";
    if (can_zero_.load(std::memory_order_relaxed))
      error = co_await allocate_range(at->fd(), FALLOC_FL_ZERO_RANGE, piece.offset, piece.length);
    if (error == EOPNOTSUPP) {
      can_zero_.store(false, std::memory_order_relaxed);
      call = "write (zeros)";
      error = co_await write_zeros(at->fd(), piece.offset, piece.length, alignment_);
    }
    at->changed();
    if (error != 0) co_return io_error(error, piece.name, call);
    length -= piece.length;
    offset += piece.length;
  }
  co_return Result<void>{};
}

// ---- Durability ----

Task<Result<void>> LocalDataStore::sync(DataFileId file) {
  if (Result<void> may = may_change(file); !may) co_return may;
  std::vector<FileRef> segments = files_.segments(file);
  for (FileRef& segment : segments) {
    co_await segment->sync_turn.take();
    Result<void> synced = co_await sync_segment(file, *segment);
    segment->sync_turn.give_back();
    if (!synced) co_return synced;
  }
  co_return Result<void>{};
}

Task<Result<void>> LocalDataStore::sync_segment(DataFileId file, OpenFile& segment) {
  // Another's sync may have failed while we waited for our turn, and taken the kernel's only report of it.
  if (Result<void> good = not_failed(file); !good) co_return good;
  if (!segment.needs_sync()) co_return Result<void>{};
  const uint64_t changes = segment.changes();
  int32_t result = 0;
  do {
    result = co_await Loop::here().fdatasync(segment.fd());
  } while (result == -EINTR);
  counts_.syncs.fetch_add(1, std::memory_order_relaxed);
  if (result < 0) {
    Error failure = io_error(-result, name_of(segment), "fdatasync");
    set_failed(file, failure);
    co_return failure;
  }
  if (!segment.entry_durable) {
    Executor& home = Executor::here();
    co_await pool_->schedule();
    Result<void> entry = data_directory_of(file).sync(paths_.data_directory(file));
    co_await home.schedule();
    if (!entry) {
      set_failed(file, entry.error());
      co_return entry;
    }
    segment.entry_durable = true;
  }
  segment.synced(changes);
  co_return Result<void>{};
}

bool LocalDataStore::sync_before_close(OpenFile& segment) {
  const DataFileId file{segment.key().words[0]};
  if (!not_failed(file)) return true;  // there is nothing left to lose
  const uint64_t changes = segment.changes();
  Result<void> synced;
  if (::fdatasync(segment.fd()) != 0) synced = io_error(errno, name_of(segment), "fdatasync before it was closed");
  counts_.syncs.fetch_add(1, std::memory_order_relaxed);
  if (synced && !segment.entry_durable) synced = data_directory_of(file).sync(paths_.data_directory(file));
  // Nobody waits for this answer: the next change or flush of the file is refused with it.
  if (!synced) set_failed(file, synced.error());
  segment.synced(changes);
  return true;
}

Task<Result<void>> LocalDataStore::reopen(DataFileId file) {
  if (options_.read_only) co_return may_change(file);
  const auto work = [this, file]() -> Result<void> {
    files_.forget(file);
    Result<std::vector<SegmentName>> segments = list_segments(file);
    if (!segments) return std::move(segments.error());
    for (const SegmentName& name : *segments) {
      const int fd = open_file(paths_.segment(name), 0);
      if (fd < 0) return io_error(-fd, name, "open");
      const int sync_error = ::fdatasync(fd) == 0 ? 0 : errno;
      // A failed writeback leaves pages that say what the device does not: they must go.
      const int drop_error = sync_error == 0 ? ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) : 0;
      ::close(fd);
      if (sync_error != 0) return io_error(sync_error, name, "fdatasync");
      if (drop_error != 0) return io_error(drop_error, name, "posix_fadvise");
    }
    forgive(file);
    return {};
  };
  Result<void> done = co_await on_pool(*pool_, work);
  co_return done;
}

Task<Result<void>> LocalDataStore::remove(DataFileId file) {
  if (options_.read_only) co_return may_change(file);
  const auto work = [this, file]() -> Result<void> {
    files_.forget(file);
    Result<std::vector<SegmentName>> segments = list_segments(file);
    if (!segments) return std::move(segments.error());
    for (const SegmentName& name : *segments)
      if (::unlink(paths_.segment(name).c_str()) != 0 && errno != ENOENT) return io_error(errno, name, "unlink");
    forgive(file);
    if (segments->empty()) return {};
    // Durable, or a power cut could bring back a file that nobody remembers.
    SpreadDirectory& directory = data_directory_of(file);
    directory.removed_entry();
    Result<void> synced = directory.sync(paths_.data_directory(file));
    directory.remove_if_empty(paths_.data_directory(file));
    return synced;
  };
  Result<void> done = co_await on_pool(*pool_, work);
  co_return done;
}

/// A file of many pieces is removed slowly (ext4 without a journal, mounted with `discard`, takes up to a millisecond for each), and a process
/// that is within unlink(2) cannot end, not even by SIGKILL.
Task<Result<bool>> LocalDataStore::shrink(DataFileId file) {
  if (options_.read_only) co_return std::move(may_change(file).error());
  Result<bool> more = co_await on_pool(*pool_, [this, file] { return shrink_now(file); });
  co_return more;
}

Result<bool> LocalDataStore::shrink_now(DataFileId file) {
  using Clock = std::chrono::steady_clock;
  constexpr auto long_enough = std::chrono::milliseconds{100};
  constexpr auto quick = std::chrono::milliseconds{10};
  constexpr uint64_t least_bytes = uint64_t{1} << 20;
  files_.forget(file);
  Result<std::vector<SegmentName>> segments = list_segments(file);
  if (!segments) return std::move(segments.error());
  const Clock::time_point begin = Clock::now();
  uint64_t step_bytes = 16 * least_bytes;
  for (const SegmentName& name : *segments) {
    const std::string path = paths_.segment(name);
    struct stat now {};
    if (::stat(path.c_str(), &now) != 0) {
      if (errno == ENOENT) continue;
      return io_error(errno, name, "stat");
    }
    for (auto bytes = static_cast<uint64_t>(now.st_size); bytes > 0;) {
      const Clock::time_point before = Clock::now();
      if (before - begin >= long_enough) return true;
      bytes -= std::min(bytes, step_bytes);
      if (::truncate(path.c_str(), static_cast<off_t>(bytes)) != 0) return io_error(errno, name, "truncate");
      const bool was_quick = Clock::now() - before < quick;
      step_bytes = was_quick ? step_bytes * 2 : std::max(step_bytes / 2, least_bytes);
    }
  }
  return false;
}

Result<std::vector<SegmentName>> LocalDataStore::list_segments(DataFileId file) {
  std::vector<SegmentName> segments;
  Result<void> listed = list_directory(paths_.data_directory(file), [&](std::string_view text) {
    const auto name = LocalPaths::parse_segment(text);
    if (name && name->file == file) segments.push_back(*name);
  });
  if (!listed && listed.error().code != Code::not_found) return std::move(listed.error());
  return segments;
}

Task<Result<uint64_t>> LocalDataStore::allocated_bytes(DataFileId file) {
  const auto work = [this, file]() -> Result<uint64_t> {
    Result<std::vector<SegmentName>> segments = list_segments(file);
    if (!segments) return std::move(segments.error());
    uint64_t bytes = 0;
    for (const SegmentName& name : *segments) {
      struct stat now {};
      if (::stat(paths_.segment(name).c_str(), &now) == 0)
        bytes += static_cast<uint64_t>(now.st_blocks) * 512;
      else if (errno != ENOENT)
        return io_error(errno, name, "stat");
    }
    return bytes;
  };
  Result<uint64_t> bytes = co_await on_pool(*pool_, work);
  co_return bytes;
}

Task<Result<std::vector<DataStore::Span>>> LocalDataStore::spans(DataFileId file) {
  const auto work = [this, file]() -> Result<std::vector<Span>> {
    Result<std::vector<SegmentName>> segments = list_segments(file);
    if (!segments) return std::move(segments.error());
    std::sort(segments->begin(), segments->end(),
              [](const SegmentName& a, const SegmentName& b) { return a.segment < b.segment; });
    std::vector<Span> spans;
    for (const SegmentName& name : *segments) {
      struct stat now {};
      // A number beyond the largest resource is no segment of ours, whatever its name says.
      if (name.segment >= max_resource_bytes / options_.segment_bytes) continue;
      if (::stat(paths_.segment(name).c_str(), &now) != 0) return io_error(errno, name, "stat");
      const uint64_t begin = name.segment * options_.segment_bytes;
      spans.push_back({begin, begin + std::min(static_cast<uint64_t>(now.st_size), options_.segment_bytes)});
    }
    return spans;
  };
  Result<std::vector<Span>> spans = co_await on_pool(*pool_, work);
  co_return spans;
}

DataStore::Counters LocalDataStore::counters() const {
  Counters counters;
  counters.bytes_written = counts_.bytes_written.load(std::memory_order_relaxed);
  counters.bytes_read = counts_.bytes_read.load(std::memory_order_relaxed);
  counters.content_bytes_written = counts_.content_bytes_written.load(std::memory_order_relaxed);
  counters.syncs = counts_.syncs.load(std::memory_order_relaxed);
  counters.bytes_punched = counts_.bytes_punched.load(std::memory_order_relaxed);
  return counters;
}

}  // namespace atl
