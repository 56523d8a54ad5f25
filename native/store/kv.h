// kv.h: the ordered, durable key-value map under the record store. RocksDB implements it (rocks_kv.cc), the simulator does
// in memory (sim/sim_kv.cc). Keys are compared as bytes.
//
// All calls but get_in_memory() block; the record store makes them from its own workers, never from a reactor.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace atl {

struct KvMutation {
  std::string key;
  std::optional<std::string> value;  // none: delete
};

/// One instant of the map; reads through it see nothing later.
class KvSnapshot {
 public:
  virtual ~KvSnapshot() = default;
};

class Kv {
 public:
  virtual ~Kv() = default;
  /// No value: nullopt. `snapshot` may be null (the latest). Thread-safe.
  virtual Result<std::optional<std::string>> get(std::string_view key, const KvSnapshot* snapshot) = 0;
  /// get(), where memory has the answer; nothing at all where the disk would have to be asked, and where that is not known. Thread-safe.
  virtual std::optional<Result<std::optional<std::string>>> get_in_memory(std::string_view key,
                                                                          const KvSnapshot* snapshot) {
    (void)key, (void)snapshot;
    return std::nullopt;
  }
  /// Visits keys in [from, to) in order until visit answers false. An empty `to` means the end. Thread-safe.
  virtual Result<void> scan(std::string_view from, std::string_view to, const KvSnapshot* snapshot,
                            const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
  virtual std::unique_ptr<KvSnapshot> snapshot() = 0;
  /// All or nothing. durable: on the device when it answers. After a failed write the state is as before it; no_space may be tried again.
  virtual Result<void> write(const std::vector<KvMutation>& mutations, bool durable) = 0;
  /// Makes every earlier write durable, and answers how far the writes reach: a number that grows with each change, and that no crash takes
  /// back once it was answered. Opened for reading only: how far they reach.
  virtual Result<uint64_t> settle() = 0;
  /// As write(), but the space reserve (space_reserve.h) is not for these mutations.
  virtual Result<void> write_without_reserve(const std::vector<KvMutation>& mutations, bool durable) {
    return write(mutations, durable);
  }
  /// Whether the space reserve has been drawn on: what makes the store grow for a tenant is refused meanwhile. Thread-safe, cheap.
  virtual bool low_on_space() const { return false; }
};

}  // namespace atl
