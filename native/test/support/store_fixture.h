// store_fixture.h: what the tests of the stores share: a data store of each kind, and somewhere to run its tasks.
//
// Cases are written as plain code: call() runs one task to its end on an executor of the store's kind and hands its answer back.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "io/loop_thread.h"
#include "sim/disk.h"
#include "sim/machine.h"
#include "store/local/local_data_store.h"
#include "test/support/io_fixture.h"

namespace atl::test {

/// A directory of its own on a real file system (ATOLL_TEST_DIRECTORY, or /var/tmp: /tmp may be a tmpfs); gone with all that is
/// in it at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// ATOLL_SEED, or another one each time. CAPTURE it.
uint64_t test_seed();

/// From here on fdatasync fails with EIO on this thread and those it starts. Cannot be undone. False where the kernel has no filters.
bool refuse_fdatasync();

/// Waits on the calling thread until the task has ended on the sink.
void run_and_wait(JobSink& sink, Task<void> task);

template <class T>
Task<void> keep(Task<T> task, std::optional<T>* into) {
  T value = co_await task;
  into->emplace(std::move(value));
}

template <class T>
T run_and_wait(JobSink& sink, Task<T> task) {
  std::optional<T> value;
  run_and_wait(sink, keep(std::move(task), &value));
  return std::move(*value);
}

struct BedOptions {
  uint64_t segment_bytes = 1 << 20;  // small, so that tests cross borders
  uint32_t max_open_files = 0;
  std::vector<SpaceReserve*> reserves{};
};

/// A data store under test.
class StoreBed {
 public:
  virtual ~StoreBed() = default;
  virtual DataStore& store() = 0;
  virtual void run(Task<void> task) = 0;
  /// A clean end and a new start.
  virtual void restart() = 0;
  /// The local store of this bed; null for others.
  virtual LocalDataStore* local() { return nullptr; }
  virtual std::string directory() const { return {}; }
};

struct StoreKind {
  std::string name;
  std::function<std::unique_ptr<StoreBed>(const BedOptions&)> make;
};

/// local-threads and, where the kernel has it, local-uring (each buffered and direct); sim.
const std::vector<StoreKind>& store_kinds();

/// Runs the body over a new store of each kind, as a subcase.
void for_each_store(const BedOptions& options, const std::function<void(StoreBed&)>& body);
/// Likewise, over the kinds of local store.
void for_each_local_store(const BedOptions& options, const std::function<void(StoreBed&)>& body);

template <class T>
T call(StoreBed& bed, Task<T> task) {
  std::optional<T> value;
  bed.run(keep(std::move(task), &value));
  VERIFY(value.has_value());
  return std::move(*value);
}

/// For REQUIRE(is_ok(...)): the failure shows its message.
inline std::string why(const Result<void>& result) { return result ? "" : result.error().message; }
template <class T>
std::string why(const Result<T>& result) {
  return result ? "" : result.error().message;
}
#define REQUIRE_OK(...)                                        \
  do {                                                         \
    const auto& require_ok_result = (__VA_ARGS__);             \
    const std::string require_ok_why = why(require_ok_result); \
    REQUIRE_MESSAGE(require_ok_result.ok(), require_ok_why);   \
  } while (false)
#define CHECK_CODE(expected, ...)                                                                   \
  do {                                                                                              \
    const auto& check_code_result = (__VA_ARGS__);                                                  \
    REQUIRE(!check_code_result.ok());                                                               \
    CHECK_MESSAGE(check_code_result.error().code == (expected), check_code_result.error().message); \
  } while (false)

/// `length` bytes that differ from place to place, never zero.
std::string pattern(uint64_t seed, size_t length);
/// The store's bytes; fails the case when it cannot be read.
std::string read_back(StoreBed& bed, DataFileId file, uint64_t offset, size_t length);
std::string read_content_back(StoreBed& bed, const Digest& digest, uint64_t offset, size_t length);
Digest digest_of(const std::string& bytes);

}  // namespace atl::test
