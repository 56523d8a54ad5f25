// memory_device.h: a BlockDevice in RAM for tests: sparse, with delays, failures and held requests on demand.
//
// Invariants
//   1. All but the counters happens on home(); knobs are set before the device is used, or on home().
//   2. A page (64 KiB) is allocated by the first write into it and freed by a trim or write of zeroes that covers it whole.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/async.h"
#include "engine/block_device.h"

namespace atl {

class MemoryDevice final : public BlockDevice {
 public:
  enum class Verb : uint8_t { read, write, write_zeroes, trim, flush, cache, extents, status };
  struct Call {
    Verb verb;
    uint64_t offset;
    uint64_t length;
    WriteFlags flags;
  };

  static constexpr uint64_t page_bytes = 64u << 10;

  MemoryDevice(Executor& home, uint64_t size_bytes, bool read_only = false)
      : home_(home),
        size_bytes_(size_bytes),
        read_only_(read_only),
        pages_((size_bytes + page_bytes - 1) / page_bytes) {}
  ~MemoryDevice() override;

  Executor& home() const override { return home_; }
  uint64_t size_bytes() const override { return size_bytes_; }
  bool read_only() const override { return read_only_; }

  Task<Result<void>> read(uint64_t offset, MutableBytes into) override;
  Task<Result<void>> read_sparse(uint64_t offset, MutableBytes into, std::vector<ZeroRun>& zeroes) override;
  bool cached(uint64_t offset, uint64_t length) override { return lends && lends(offset, length).has_value(); }
  std::optional<FileRange> lend(uint64_t offset, uint64_t length) override {
    return lends ? lends(offset, length) : std::nullopt;
  }
  Task<Result<void>> write(uint64_t offset, Bytes from, WriteFlags flags) override;
  Task<Result<void>> write_zeroes(uint64_t offset, uint64_t length, WriteFlags flags) override;
  Task<Result<void>> trim(uint64_t offset, uint64_t length, WriteFlags flags) override;
  Task<Result<void>> flush() override;
  Task<Result<void>> cache(uint64_t offset, uint64_t length) override;
  Task<Result<uint64_t>> nothing_stored(uint64_t offset, uint64_t length) override;
  Task<Result<std::vector<Extent>>> extents(uint64_t offset, uint64_t length, uint32_t max_extents) override;

  /// As `status_of` says of each page.
  Task<Result<std::vector<StatusRun>>> status(const StatusQuestion& question, uint64_t offset, uint64_t length,
                                              uint32_t max_runs) override;

  void resize(uint64_t size_bytes);
  /// Makes all pages.
  void allocate();

  /// How long a call takes; asked for each.
  std::function<uint64_t(const Call&)> delay_ns;
  std::function<uint64_t(const StatusQuestion&, uint64_t page)> status_of;
  /// Fails the call with what it answers.
  std::function<std::optional<Error>(const Call&)> fail;
  /// What is lent; unset: nothing.
  std::function<std::optional<FileRange>(uint64_t offset, uint64_t length)> lends;
  /// extents() and status() answer no more than so much at once, as a real device does after a bounded amount of work.
  uint64_t status_bytes_max = UINT64_MAX;
  /// From hold() until release() calls wait, before they do anything.
  void hold() { held_ = true; }
  void release();

  std::atomic<uint32_t> running{0};  // calls now inside
  std::atomic<uint32_t> running_max{0};
  std::atomic<uint64_t> flushes{0};
  std::atomic<uint64_t> fua_writes{0};
  /// Counts itself down in the destructor, so that a test sees the lease given back.
  std::shared_ptr<std::atomic<int>> alive;

 private:
  struct Page {
    std::byte bytes[page_bytes];
  };
  struct Running;

  Task<Result<void>> enter(Call call);
  void zero(uint64_t offset, uint64_t length, bool keep_space);
  void check_range(uint64_t offset, uint64_t length) const;

  Executor& home_;
  uint64_t size_bytes_;
  const bool read_only_;
  std::vector<std::unique_ptr<Page>> pages_;
  bool held_ = false;
  Waiters holders_;
};

}  // namespace atl
