#include "sim/sim_kv.h"

namespace atl::sim {

class SimSnapshot final : public KvSnapshot {
 public:
  explicit SimSnapshot(SimKv& kv) : kv_(kv), write_(kv.last_write_) { kv_.snapshots_.insert(write_); }
  ~SimSnapshot() override { kv_.release(write_); }
  uint64_t write() const { return write_; }

 private:
  SimKv& kv_;
  const uint64_t write_;
};

SimKv::SimKv(Disk& disk) : disk_(disk), generation_(disk.generation_) {
  const std::scoped_lock lock{disk_.mutex_};
  for (const auto& [key, value] : disk_.map_.durable) put({key, value});
  for (const std::vector<KvMutation>& batch : disk_.map_.unsynced)
    for (const KvMutation& mutation : batch) put(mutation);
}

SimKv::~SimKv() { VERIFY(snapshots_.empty()); }

Result<void> SimKv::alive() const {
  if (generation_ == disk_.generation_) return {};
  return Error{Code::io, "the simulated machine is off"};
}

const std::string* SimKv::at(const Versions& versions, const KvSnapshot* snapshot) const {
  auto after =
      snapshot == nullptr ? versions.end() : versions.upper_bound(static_cast<const SimSnapshot*>(snapshot)->write());
  if (after == versions.begin()) return nullptr;
  const std::optional<std::string>& value = std::prev(after)->second;
  return value ? &*value : nullptr;
}

void SimKv::put(const KvMutation& mutation) {
  if (snapshots_.empty()) {
    keys_.erase(mutation.key);
    if (!mutation.value) return;
  }
  keys_[mutation.key][last_write_] = mutation.value;
}

Result<std::optional<std::string>> SimKv::get(std::string_view key, const KvSnapshot* snapshot) {
  const std::scoped_lock lock{disk_.mutex_};
  if (Result<void> on = alive(); !on) return std::move(on.error());
  if (auto error = disk_.fault(Operation::kv_get)) return std::move(*error);
  const auto found = keys_.find(key);
  const std::string* value = found == keys_.end() ? nullptr : at(found->second, snapshot);
  return value == nullptr ? std::optional<std::string>{} : std::optional<std::string>{*value};
}

Result<void> SimKv::scan(std::string_view from, std::string_view to, const KvSnapshot* snapshot,
                         const std::function<bool(std::string_view key, std::string_view value)>& visit) {
  std::vector<std::pair<std::string, std::string>> found;  // visit may write
  {
    const std::scoped_lock lock{disk_.mutex_};
    if (Result<void> on = alive(); !on) return on;
    for (auto key = keys_.lower_bound(from); key != keys_.end() && (to.empty() || key->first < to); ++key)
      if (const std::string* value = at(key->second, snapshot)) found.emplace_back(key->first, *value);
  }
  for (const auto& [key, value] : found)
    if (!visit(key, value)) break;
  return {};
}

std::unique_ptr<KvSnapshot> SimKv::snapshot() {
  const std::scoped_lock lock{disk_.mutex_};
  return std::make_unique<SimSnapshot>(*this);
}

void SimKv::release(uint64_t snapshot) {
  const std::scoped_lock lock{disk_.mutex_};
  snapshots_.erase(snapshots_.find(snapshot));
}

Result<void> SimKv::write(const std::vector<KvMutation>& mutations, bool durable) {
  const std::scoped_lock lock{disk_.mutex_};
  disk_.tick();
  if (Result<void> on = alive(); !on) return on;
  if (auto error = disk_.fault(Operation::kv_write)) return std::move(*error);
  last_write_++;
  for (const KvMutation& mutation : mutations) put(mutation);
  disk_.map_.unsynced.push_back(mutations);
  if (durable) {
    for (const auto& batch : disk_.map_.unsynced) Disk::apply(batch, disk_.map_.durable);
    disk_.map_.unsynced.clear();
  }
  disk_.tick();  // the power may go after the write and before its answer
  return alive();
}

Result<uint64_t> SimKv::settle() {
  Result<void> settled = write({}, true);
  if (!settled) return std::move(settled.error());
  return disk_.operations();
}

}  // namespace atl::sim
