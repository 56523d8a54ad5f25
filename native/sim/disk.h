// disk.h: the disk of a simulated machine, and the machine's misfortunes. It holds what the stores keep: data files, content chunks
// and the record map. Stores come and go; the disk stays.
//
//   sim::Machine machine{seed};
//   sim::Disk disk{seed};
//   auto data = disk.open_data();      // DataStore
//   auto kv = disk.open_kv();          // Kv
//   disk.cut_power_after(n);           // at the nth operation from now, wherever that is
//   ...run until disk.is_off(), then machine.run_until_idle() so that the old world unwinds on errors; destroy it...
//   disk.turn_on();  data = disk.open_data();  kv = disk.open_kv();
//
// Invariants
//   1. What was durable before a power cut is there after it. What was not: a write may be lost, kept, or kept in part (by
//      sectors of 512 bytes), each by itself and so in any order; batches of the map survive as a prefix of their order.
//   2. From a power cut or kill until turn_on(), and for ever for stores opened before it, every call answers `io` and changes nothing.
//   3. All chance comes from the seed.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sim/image.h"
#include "sim/random.h"
#include "store/data_store.h"
#include "store/kv.h"

namespace atl::sim {

enum class Operation : uint8_t {
  read,
  write,
  punch,
  write_zeroes,
  sync,
  reopen,
  remove,
  put_content,
  read_content,
  drop_content,
  kv_get,
  kv_write,
};
constexpr size_t operation_count = 12;

struct DiskOptions {
  uint64_t capacity_bytes = UINT64_MAX;  // of data files and content, in whole blocks
  uint64_t latency_ns_max = 200'000;     // of each half of an operation: before and after it takes effect
  uint64_t slow_one_in = 0;              // one operation in so many takes fifty times as long; 0: none
  uint32_t write_alignment = 1;
};

class Disk {
 public:
  explicit Disk(uint64_t seed, const DiskOptions& options = {});

  std::unique_ptr<DataStore> open_data();
  std::unique_ptr<Kv> open_kv();

  // ---- The end of a process or of the power ----
  void cut_power();
  /// At the nth operation from now (data or map, before or after its effect); 0 is the next. Replaces an earlier one.
  void cut_power_after(uint64_t operations);
  /// The process dies and the machine lives on: nothing written is lost.
  void kill();
  bool is_off() const { return off_; }
  void turn_on();

  // ---- Failures ----
  /// The operation after `skip` others of its kind fails with this code, once.
  void fail_next(Operation operation, Code code, uint64_t skip = 0);
  /// Each fails with a chance of one in n; 0 stops it.
  void fail_one_in(Operation operation, uint64_t n, Code code);
  void clear_failures() { faults_ = {}; }
  void set_latency(uint64_t ns_max) { options_.latency_ns_max = ns_max; }
  void set_capacity(uint64_t bytes) { options_.capacity_bytes = bytes; }
  uint64_t allocated_bytes() const;
  /// Calls visit(DataFileId, block) for each allocated block of data files.
  template <class Visit>
  void for_allocated(Visit visit) const {
    for (const auto& [id, file] : files_)
      file.current().for_allocated([&, at = id](uint64_t block) { visit(at, block); });
  }
  uint64_t content_bytes() const;

  /// Of all stores on this disk so far; to place a power cut by.
  uint64_t operations() const { return operations_; }
  /// Failures that were told so far.
  uint64_t failures_told() const { return failures_told_; }
  /// Counts one that is not a store's: what else lives on this machine has moments, too, in which the power may go.
  void tick();

 private:
  friend class SimDataStore;
  friend class SimKv;

  struct Fault {
    Code code = Code::io;
    std::optional<uint64_t> skip;
    uint64_t one_in = 0;
  };
  struct Map {
    std::map<std::string, std::string, std::less<>> durable;
    std::vector<std::vector<KvMutation>> unsynced;
  };
  struct Dropped {
    Digest digest;
    std::vector<std::byte> bytes;
  };

  std::optional<Error> fault(Operation operation);
  static void apply(const std::vector<KvMutation>& batch, std::map<std::string, std::string, std::less<>>& to);

  DiskOptions options_;
  Random random_;
  bool off_ = false;
  uint64_t generation_ = 0;  // of the stores: older ones are dead
  uint64_t operations_ = 0;
  uint64_t failures_told_ = 0;
  std::optional<uint64_t> cut_at_;
  std::array<Fault, operation_count> faults_;

  std::map<DataFileId, SimFile> files_;
  std::map<Digest, std::vector<std::byte>> content_;
  std::deque<Dropped> dropped_;  // lately: a power cut may bring them back
  Map map_;
  mutable std::recursive_mutex mutex_;  // the map's calls come from any thread where a test uses real ones
};

}  // namespace atl::sim
