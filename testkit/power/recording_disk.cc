// recording_disk.cc: a disk that keeps every write and flush it is given, and can be what a power cut would have left of it.
//
// The disk is the file `disk` in a FUSE file system; a loop device over it is what a file system is made on. No device-mapper is needed.
//
//   recording_disk record DIR SIZE LOG POSITION
//       A blank disk of SIZE bytes at DIR/disk. LOG gets each write, each discard and each flush, in order; POSITION (8 bytes,
//       little-endian) holds how many entries the log has. An entry is counted before its request is answered, so that whoever sees
//       an answer and then reads POSITION knows: all that the answer rests on lies before it.
//
//   recording_disk cut SIZE LOG
//       Reads commands from standard input, with N never falling:   N KEEP SEED DIR
//       DIR/disk becomes the disk after the first N entries of the log. Of the entries that no flush followed, KEEP says what reached the
//       platter: `none`, `all`, `some` (each with probability 1/2), or `torn` (each may also be there in part, by 512-byte sectors).
//       What is written to it is forgotten when DIR is unmounted.
//
// Both print `ready` when DIR/disk can be used, `cut` also what it kept, and end (`cut`: go on) when DIR is unmounted.
//
// A request is answered before the next is taken (one thread), and the loop driver sends one at a time: a write that is still
// under way when a flush is sent does not exist here.

#define FUSE_USE_VERSION 31
#include <fcntl.h>
#include <fuse.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>
#include <sstream>
#include <string>

namespace {

constexpr uint64_t sector_bytes = 512;

enum class Kind : uint64_t { write = 1, zero = 2, flush = 3 };

/// In the log, before the bytes of a write.
struct Entry {
  Kind kind;
  uint64_t offset;
  uint64_t length;
};
static_assert(sizeof(Entry) == 24);

[[noreturn]] void die(const std::string& what) {
  std::cerr << "recording_disk: " << what << (errno ? std::string(": ") + std::strerror(errno) : "") << '\n';
  std::exit(1);
}

// ---- The disk: memory, of which only what was written to takes space ----

char* disk = nullptr;
uint64_t disk_bytes = 0;

void make_disk(uint64_t size) {
  disk_bytes = size;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) die("no address space for the disk");
  disk = static_cast<char*>(memory);
}

bool inside(uint64_t offset, uint64_t length) { return offset <= disk_bytes && length <= disk_bytes - offset; }

void zero(uint64_t offset, uint64_t length) { std::memset(disk + offset, 0, length); }

// ---- The log ----

int log_file = -1;  // -1: nothing is recorded
volatile uint64_t* position = nullptr;

void open_log(const char* log, const char* position_file) {
  log_file = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (log_file < 0) die(log);
  int file = open(position_file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof *position) != 0) die(position_file);
  void* memory = mmap(nullptr, sizeof *position, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) die(position_file);
  position = static_cast<uint64_t*>(memory);
}

void record(Kind kind, uint64_t offset, uint64_t length, const char* bytes) {
  if (log_file < 0) return;
  Entry entry{kind, offset, length};
  iovec parts[] = {{&entry, sizeof entry}, {const_cast<char*>(bytes), bytes ? length : 0}};
  ssize_t wanted = static_cast<ssize_t>(parts[0].iov_len + parts[1].iov_len);
  // A log with a hole in it proves nothing: better no log.
  if (writev(log_file, parts, 2) != wanted) die("the log cannot be written");
  *position = *position + 1;
}

// ---- FUSE ----

bool is_disk(const char* path) { return std::strcmp(path, "/disk") == 0; }

int on_getattr(const char* path, struct stat* out, fuse_file_info*) {
  *out = {};
  if (is_disk(path)) {
    out->st_mode = S_IFREG | 0600;
    out->st_nlink = 1;
    out->st_size = static_cast<off_t>(disk_bytes);
    return 0;
  }
  if (std::strcmp(path, "/") != 0) return -ENOENT;
  out->st_mode = S_IFDIR | 0700;
  out->st_nlink = 2;
  return 0;
}

int on_readdir(const char*, void* out, fuse_fill_dir_t fill, off_t, fuse_file_info*, fuse_readdir_flags) {
  for (const char* name : {".", "..", "disk"}) fill(out, name, nullptr, 0, fuse_fill_dir_flags{});
  return 0;
}

int on_open(const char* path, fuse_file_info* info) {
  if (!is_disk(path)) return -ENOENT;
  info->direct_io = 1;  // the page cache above the loop device is the one that counts
  return 0;
}

int on_read(const char*, char* out, size_t length, off_t offset, fuse_file_info*) {
  auto from = std::min(static_cast<uint64_t>(offset), disk_bytes);
  auto count = std::min<uint64_t>(length, disk_bytes - from);
  std::memcpy(out, disk + from, count);
  return static_cast<int>(count);
}

int on_write(const char*, const char* bytes, size_t length, off_t at, fuse_file_info*) {
  auto offset = static_cast<uint64_t>(at);
  if (!inside(offset, length)) return -ENOSPC;
  std::memcpy(disk + offset, bytes, length);
  record(Kind::write, offset, length, bytes);
  return static_cast<int>(length);
}

int on_fallocate(const char*, int mode, off_t at, off_t length, fuse_file_info*) {
  auto offset = static_cast<uint64_t>(at);
  auto count = static_cast<uint64_t>(length);
  if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE) &&
      mode != FALLOC_FL_ZERO_RANGE)
    return -EOPNOTSUPP;
  if (!inside(offset, count)) return -ENOSPC;
  zero(offset, count);
  record(Kind::zero, offset, count, nullptr);
  return 0;
}

int on_fsync(const char*, int, fuse_file_info*) {
  record(Kind::flush, 0, 0, nullptr);
  return 0;
}

/// mkfs sets the size that is there already.
int on_truncate(const char*, off_t size, fuse_file_info*) {
  return static_cast<uint64_t>(size) == disk_bytes ? 0 : -EOPNOTSUPP;
}

void* on_init(fuse_conn_info*, fuse_config*) {
  std::cout << "ready" << std::endl;
  return nullptr;
}

/// Until DIR is unmounted.
int serve(std::string dir) {
  fuse_operations operations{};
  operations.init = on_init;
  operations.getattr = on_getattr;
  operations.readdir = on_readdir;
  operations.open = on_open;
  operations.read = on_read;
  operations.write = on_write;
  operations.fallocate = on_fallocate;
  operations.fsync = on_fsync;
  operations.truncate = on_truncate;
  std::string name = "recording_disk", foreground = "-f", one_thread = "-s";
  char* arguments[] = {name.data(), foreground.data(), one_thread.data(), dir.data(), nullptr};
  return fuse_main(4, arguments, &operations, nullptr);
}

// ---- Cuts ----

class Log {
 public:
  explicit Log(const char* path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about {};
    if (file < 0 || fstat(file, &about) != 0) die(path);
    bytes_ = static_cast<uint64_t>(about.st_size);
    void* memory = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) die(path);
    base_ = static_cast<const char*>(memory);
  }

  bool ends_at(uint64_t at) const { return at >= bytes_; }
  const Entry& entry(uint64_t at) const { return *reinterpret_cast<const Entry*>(base_ + at); }
  const char* payload(uint64_t at) const { return base_ + at + sizeof(Entry); }
  uint64_t next(uint64_t at) const {
    return at + sizeof(Entry) + (entry(at).kind == Kind::write ? entry(at).length : 0);
  }

 private:
  const char* base_ = nullptr;
  uint64_t bytes_ = 0;
};

class Cutter {
 public:
  explicit Cutter(const char* path) : log_(path) {}

  /// Everything up to the last flush among the first `count` entries is on the platter.
  void advance(uint64_t count) {
    uint64_t flushed = durable_, flushed_at = durable_at_;
    uint64_t at = durable_at_;
    for (uint64_t n = durable_; n < count && !log_.ends_at(at); n++) {
      bool flush = log_.entry(at).kind == Kind::flush;
      at = log_.next(at);
      if (flush) flushed = n + 1, flushed_at = at;
    }
    for (at = durable_at_; at < flushed_at; at = log_.next(at)) apply(at);
    durable_ = flushed;
    durable_at_ = flushed_at;
  }

  /// And this became of the rest of them.
  void keep(uint64_t count, const std::string& choice, uint64_t seed) {
    std::mt19937_64 random(seed);
    uint64_t at = durable_at_, kept = 0, dropped = 0, torn = 0;
    for (uint64_t n = durable_; n < count && !log_.ends_at(at); n++, at = log_.next(at)) {
      uint64_t dice = random() % 6;
      if (choice == "all" || (choice == "some" && dice < 3) || (choice == "torn" && dice < 2)) {
        apply(at);
        kept++;
      } else if (choice == "torn" && dice < 4) {
        tear(at, random);
        torn++;
      } else {
        dropped++;
      }
    }
    std::cout << "after the last flush " << kept << " kept, " << dropped << " dropped, " << torn << " torn"
              << std::endl;
  }

 private:
  void apply(uint64_t at) {
    const Entry& entry = log_.entry(at);
    if (entry.kind == Kind::write) std::memcpy(disk + entry.offset, log_.payload(at), entry.length);
    if (entry.kind == Kind::zero) zero(entry.offset, entry.length);
  }

  /// Half of the times a beginning of it, otherwise any of its sectors.
  void tear(uint64_t at, std::mt19937_64& random) {
    const Entry& entry = log_.entry(at);
    uint64_t sectors = entry.length / sector_bytes;
    bool beginning = random() % 2 == 0;
    uint64_t end = sectors == 0 ? 0 : random() % sectors;
    for (uint64_t n = 0; n < sectors; n++) {
      if (beginning ? n >= end : random() % 2 == 0) continue;
      uint64_t offset = n * sector_bytes;
      if (entry.kind == Kind::write) std::memcpy(disk + entry.offset + offset, log_.payload(at) + offset, sector_bytes);
      if (entry.kind == Kind::zero) zero(entry.offset + offset, sector_bytes);
    }
  }

  Log log_;
  uint64_t durable_ = 0;     // so many entries
  uint64_t durable_at_ = 0;  // and where they end
};

int serve_cuts(const char* log) {
  Cutter cutter(log);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    uint64_t count = 0, seed = 0;
    std::string choice, dir;
    if (!(words >> count >> choice >> seed >> dir)) die("not a cut: " + line);
    cutter.advance(count);
    // The child has the memory as it is now; what is written to its disk stays its own.
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
      cutter.keep(count, choice, seed);
      std::exit(serve(dir));
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) die("the disk of a cut failed");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  errno = 0;
  std::string what = argc > 1 ? argv[1] : "";
  if (what == "record" && argc == 6) {
    make_disk(std::strtoull(argv[3], nullptr, 10));
    open_log(argv[4], argv[5]);
    return serve(argv[2]);
  }
  if (what == "cut" && argc == 4) {
    make_disk(std::strtoull(argv[2], nullptr, 10));
    return serve_cuts(argv[3]);
  }
  std::cerr << "usage: recording_disk record DIR SIZE LOG POSITION | cut SIZE LOG\n";
  return 2;
}
