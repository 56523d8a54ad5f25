// sim_kv.h: Kv in RAM over a simulated disk. Old versions of a value stay for as long as a snapshot may ask for them.
#pragma once

#include <map>
#include <set>

#include "sim/disk.h"

namespace atl::sim {

class SimKv final : public Kv {
 public:
  explicit SimKv(Disk& disk);
  ~SimKv() override;

  Result<std::optional<std::string>> get(std::string_view key, const KvSnapshot* snapshot) override;
  Result<void> scan(std::string_view from, std::string_view to, const KvSnapshot* snapshot,
                    const std::function<bool(std::string_view key, std::string_view value)>& visit) override;
  std::unique_ptr<KvSnapshot> snapshot() override;
  /// Fails as the disk says; then nothing was written.
  Result<void> write(const std::vector<KvMutation>& mutations, bool durable) override;
  Result<uint64_t> settle() override;

 private:
  friend class SimSnapshot;
  using Versions = std::map<uint64_t, std::optional<std::string>>;  // by the number of the write

  Result<void> alive() const;
  const std::string* at(const Versions& versions, const KvSnapshot* snapshot) const;
  void put(const KvMutation& mutation);
  void release(uint64_t snapshot);

  Disk& disk_;
  const uint64_t generation_;
  uint64_t last_write_ = 0;
  std::map<std::string, Versions, std::less<>> keys_;
  std::multiset<uint64_t> snapshots_;
};

}  // namespace atl::sim
