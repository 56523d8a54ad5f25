// file_exerciser.cc: changes one file at random, in every way that Linux has, and knows what each of its bytes must be.
//
//   file_exerciser SEED OPERATIONS BYTES_MAX FILE MODEL
//
// The idea is that of fsx, which kernels test their file systems with: an array in memory goes through the same operations as
// the file, and whatever is read from the file is compared with it. Some operations drop the file from the page cache first, so
// that what is read comes from the device. At the end FILE is durable, and MODEL, on another device, holds the bytes it must
// have; they can be compared again after an unmount or a crash.
//
// Output: "done N" after each 50 operations; at the end how many there were of each kind. What a file system cannot do is
// counted as "unsupported" and changes nothing, so that the seed alone decides what follows.
// Exit status: 0; 1: a byte is wrong; 2: an operation failed.
//
// A program of its own, linked statically: it also runs in guests that have no library.

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr uint64_t block_bytes = 4096;  // of both file systems, as their mkfs makes them here
constexpr uint64_t step_bytes_max = 128 << 10;

struct Range {
  uint64_t offset, length;
  uint64_t end() const { return offset + length; }
};

class Exerciser {
 public:
  Exerciser(uint64_t seed, uint64_t bytes_max, std::string path)
      : random_(seed), bytes_max_(bytes_max), path_(std::move(path)) {
    reopen(O_CREAT | O_TRUNC);
  }

  void step();
  void finish(const char* model_path);

 private:
  using Operation = void (Exerciser::*)();
  struct Kind {
    const char* name;
    uint32_t weight;
    Operation run;
    uint64_t times = 0;
  };

  // ---- The operations. Each changes file and model alike. ----
  void read() { compare(inside()); }
  void read_mapped();
  void write();
  void write_mapped();
  void append_and_read_back();
  void truncate();
  void punch();
  void zero();
  void allocate();
  void collapse();
  void insert();
  void copy();
  void sync();
  void read_from_device();

  // ---- What they are made of. ----
  uint64_t below(uint64_t limit) { return random_() % limit; }
  Range anywhere();
  Range inside();
  Range blocks_inside();
  std::vector<uint8_t> noise(uint64_t length);
  void note(const char* what, Range range);
  bool fallocate_if_possible(int mode, Range range);
  void grow_model(uint64_t size) { model_.resize(std::max<uint64_t>(model_.size(), size)); }
  void fill_model(Range range) {
    std::fill(model_.begin() + static_cast<long>(range.offset), model_.begin() + static_cast<long>(range.end()), 0);
  }
  void compare(Range range);
  void check(const uint8_t* found, Range range);
  void reopen(int flags);
  [[noreturn]] void fail(const char* what);
  void tell_history() const;

  std::mt19937_64 random_;
  uint64_t bytes_max_;
  std::string path_;
  int file_ = -1;
  std::vector<uint8_t> model_;
  std::deque<std::string> history_;
  uint64_t steps_ = 0, unsupported_ = 0;
  std::vector<Kind> kinds_ = {
      {"read", 10, &Exerciser::read},
      {"read_mapped", 6, &Exerciser::read_mapped},
      {"write", 14, &Exerciser::write},
      {"write_mapped", 8, &Exerciser::write_mapped},
      {"append", 3, &Exerciser::append_and_read_back},
      {"truncate", 5, &Exerciser::truncate},
      {"punch", 5, &Exerciser::punch},
      {"zero", 5, &Exerciser::zero},
      {"allocate", 3, &Exerciser::allocate},
      {"collapse", 2, &Exerciser::collapse},
      {"insert", 2, &Exerciser::insert},
      {"copy", 3, &Exerciser::copy},
      {"sync", 3, &Exerciser::sync},
      {"read_from_device", 2, &Exerciser::read_from_device},
  };
};

void Exerciser::step() {
  uint32_t weights = 0;
  for (const Kind& kind : kinds_) weights += kind.weight;
  uint64_t drawn = below(weights);
  for (Kind& kind : kinds_) {
    if (drawn >= kind.weight) {
      drawn -= kind.weight;
      continue;
    }
    steps_++;
    kind.times++;
    (this->*kind.run)();
    return;
  }
}

void Exerciser::finish(const char* model_path) {
  sync();
  read_from_device();
  struct stat now {};
  if (::fstat(file_, &now) != 0) fail("fstat");
  if (static_cast<uint64_t>(now.st_size) != model_.size()) {
    std::printf("the file has %lld bytes and must have %zu\n", static_cast<long long>(now.st_size), model_.size());
    tell_history();
    std::exit(1);
  }
  std::FILE* model = std::fopen(model_path, "w");
  if (model == nullptr || std::fwrite(model_.data(), 1, model_.size(), model) != model_.size() ||
      std::fclose(model) != 0)
    fail("the model's file");
  for (const Kind& kind : kinds_) std::printf("%s %llu, ", kind.name, static_cast<unsigned long long>(kind.times));
  std::printf("unsupported %llu\n", static_cast<unsigned long long>(unsupported_));
}

void Exerciser::read_mapped() {
  const Range range = inside();
  note("read mapped", range);
  if (range.length == 0) return;
  const uint64_t start = range.offset & ~(block_bytes - 1);
  void* at = ::mmap(nullptr, range.end() - start, PROT_READ, MAP_SHARED, file_, static_cast<off_t>(start));
  if (at == MAP_FAILED) fail("mmap");
  check(static_cast<const uint8_t*>(at) + (range.offset - start), range);
  if (::munmap(at, range.end() - start) != 0) fail("munmap");
}

void Exerciser::write() {
  const Range range = anywhere();
  note("write", range);
  const std::vector<uint8_t> bytes = noise(range.length);
  if (::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(range.offset)) !=
      static_cast<ssize_t>(bytes.size()))
    fail("pwrite");
  grow_model(range.end());
  std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<long>(range.offset));
}

void Exerciser::write_mapped() {
  const Range range = anywhere();
  note("write mapped", range);
  if (range.end() > model_.size() && ::ftruncate(file_, static_cast<off_t>(range.end())) != 0) fail("ftruncate");
  grow_model(range.end());
  const uint64_t start = range.offset & ~(block_bytes - 1), length = range.end() - start;
  void* at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, file_, static_cast<off_t>(start));
  if (at == MAP_FAILED) fail("mmap");
  const std::vector<uint8_t> bytes = noise(range.length);
  std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(at) + (range.offset - start));
  if (below(2) == 0 && ::msync(at, length, MS_SYNC) != 0) fail("msync");
  if (::munmap(at, length) != 0) fail("munmap");
  std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<long>(range.offset));
}

void Exerciser::append_and_read_back() {
  const Range range{model_.size(), std::min(bytes_max_ - model_.size(), 1 + below(step_bytes_max))};
  note("append", range);
  const std::vector<uint8_t> bytes = noise(range.length);
  if (::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(range.offset)) !=
      static_cast<ssize_t>(bytes.size()))
    fail("pwrite");
  model_.insert(model_.end(), bytes.begin(), bytes.end());
  compare(range);
}

void Exerciser::truncate() {
  const uint64_t size = below(bytes_max_ + 1);
  note("truncate", {size, 0});
  if (::ftruncate(file_, static_cast<off_t>(size)) != 0) fail("ftruncate");
  model_.resize(size);
}

void Exerciser::punch() {
  const Range range = inside();
  note("punch", range);
  if (range.length > 0 && fallocate_if_possible(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range)) fill_model(range);
}

void Exerciser::zero() {
  const bool keep_size = below(2) == 0;
  const Range range = keep_size ? inside() : anywhere();
  note("zero", range);
  if (range.length == 0 || !fallocate_if_possible(FALLOC_FL_ZERO_RANGE | (keep_size ? FALLOC_FL_KEEP_SIZE : 0), range))
    return;
  grow_model(range.end());
  fill_model(range);
}

void Exerciser::allocate() {
  const Range range = anywhere();
  note("allocate", range);
  if (fallocate_if_possible(0, range)) grow_model(range.end());
}

void Exerciser::collapse() {
  const Range range = blocks_inside();
  note("collapse", range);
  if (range.length == 0 || range.end() >= model_.size() || !fallocate_if_possible(FALLOC_FL_COLLAPSE_RANGE, range))
    return;
  model_.erase(model_.begin() + static_cast<long>(range.offset), model_.begin() + static_cast<long>(range.end()));
}

void Exerciser::insert() {
  const Range range = blocks_inside();
  note("insert", range);
  if (range.length == 0 || range.offset >= model_.size() || model_.size() + range.length > bytes_max_) return;
  if (fallocate_if_possible(FALLOC_FL_INSERT_RANGE, range))
    model_.insert(model_.begin() + static_cast<long>(range.offset), range.length, 0);
}

void Exerciser::copy() {
  const Range from = inside();
  const uint64_t to = below(bytes_max_ - from.length + 1);
  note("copy from", from);
  note("     to", {to, from.length});
  // Within one file the kernel refuses ranges that overlap.
  if (from.length == 0 || (to < from.end() && from.offset < to + from.length)) return;
  auto source = static_cast<off_t>(from.offset), target = static_cast<off_t>(to);
  for (uint64_t left = from.length; left > 0;) {
    const ssize_t n = ::copy_file_range(file_, &source, file_, &target, left, 0);
    if (n <= 0) fail("copy_file_range");
    left -= static_cast<uint64_t>(n);
  }
  const std::vector<uint8_t> bytes(model_.begin() + static_cast<long>(from.offset),
                                   model_.begin() + static_cast<long>(from.end()));
  grow_model(to + from.length);
  std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<long>(to));
}

void Exerciser::sync() {
  note("sync", {});
  if ((below(2) == 0 ? ::fsync(file_) : ::fdatasync(file_)) != 0) fail("fsync");
}

void Exerciser::read_from_device() {
  note("read from the device", {0, model_.size()});
  if (::fsync(file_) != 0) fail("fsync");
  reopen(0);
  errno = ::posix_fadvise(file_, 0, 0, POSIX_FADV_DONTNEED);
  if (errno != 0) fail("posix_fadvise");
  for (uint64_t at = 0; at < model_.size(); at += step_bytes_max)
    compare({at, std::min(step_bytes_max, model_.size() - at)});
}

/// Begins below the largest size, and may go beyond the present end. Never empty.
Range Exerciser::anywhere() {
  const uint64_t offset = below(bytes_max_);
  return {offset, 1 + below(std::min(step_bytes_max, bytes_max_ - offset))};
}

Range Exerciser::inside() {
  if (model_.empty()) return {0, 0};
  const uint64_t offset = below(model_.size());
  return {offset, 1 + below(std::min(step_bytes_max, model_.size() - offset))};
}

Range Exerciser::blocks_inside() {
  const Range range = inside();
  const uint64_t start = range.offset & ~(block_bytes - 1), end = range.end() & ~(block_bytes - 1);
  return {start, end > start ? end - start : 0};
}

std::vector<uint8_t> Exerciser::noise(uint64_t length) {
  std::vector<uint8_t> bytes(length + 8);
  for (uint64_t at = 0; at < length; at += 8) {
    const uint64_t word = random_();
    std::memcpy(bytes.data() + at, &word, 8);
  }
  bytes.resize(length);
  return bytes;
}

void Exerciser::note(const char* what, Range range) {
  char line[128];
  std::snprintf(line, sizeof line, "%llu: %s %llu+%llu, of %zu", static_cast<unsigned long long>(steps_), what,
                static_cast<unsigned long long>(range.offset), static_cast<unsigned long long>(range.length),
                model_.size());
  history_.emplace_back(line);
  if (history_.size() > 30) history_.pop_front();
}

bool Exerciser::fallocate_if_possible(int mode, Range range) {
  if (::fallocate(file_, mode, static_cast<off_t>(range.offset), static_cast<off_t>(range.length)) == 0) return true;
  if (errno != EOPNOTSUPP) fail("fallocate");
  unsupported_++;
  return false;
}

void Exerciser::compare(Range range) {
  note("read", range);
  std::vector<uint8_t> found(range.length);
  if (::pread(file_, found.data(), found.size(), static_cast<off_t>(range.offset)) !=
      static_cast<ssize_t>(found.size()))
    fail("pread");
  check(found.data(), range);
}

void Exerciser::check(const uint8_t* found, Range range) {
  const uint8_t* expected = model_.data() + range.offset;
  uint64_t wrong = 0, first = 0, last = 0;
  for (uint64_t i = 0; i < range.length; i++) {
    if (found[i] == expected[i]) continue;
    if (wrong++ == 0) first = i;
    last = i;
  }
  if (wrong == 0) return;
  std::printf("%llu bytes are wrong between %llu and %llu: the first is %02x and must be %02x\n",
              static_cast<unsigned long long>(wrong), static_cast<unsigned long long>(range.offset + first),
              static_cast<unsigned long long>(range.offset + last), found[first], expected[first]);
  tell_history();
  std::exit(1);
}

void Exerciser::reopen(int flags) {
  if (file_ >= 0 && ::close(file_) != 0) fail("close");
  file_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC | flags, 0600);
  if (file_ < 0) fail("open");
}

void Exerciser::fail(const char* what) {
  std::printf("%s: %s\n", what, std::strerror(errno));
  tell_history();
  std::exit(2);
}

void Exerciser::tell_history() const {
  for (const std::string& line : history_) std::printf("  %s\n", line.c_str());
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 6) {
    std::fprintf(stderr, "usage: file_exerciser SEED OPERATIONS BYTES_MAX FILE MODEL\n");
    return 2;
  }
  const uint64_t seed = std::strtoull(arguments[1], nullptr, 10);
  const uint64_t operations = std::strtoull(arguments[2], nullptr, 10);
  const uint64_t bytes_max = std::strtoull(arguments[3], nullptr, 10);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Exerciser exerciser(seed, bytes_max, arguments[4]);
  for (uint64_t i = 1; i <= operations; i++) {
    exerciser.step();
    if (i % 50 == 0) std::printf("done %llu\n", static_cast<unsigned long long>(i));
  }
  exerciser.finish(arguments[5]);
  return 0;
}
