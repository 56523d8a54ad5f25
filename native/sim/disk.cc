#include "sim/disk.h"

#include "sim/sim_data_store.h"
#include "sim/sim_kv.h"

namespace atl::sim {

Disk::Disk(uint64_t seed, const DiskOptions& options) : options_(options), random_(seed) {}

std::unique_ptr<DataStore> Disk::open_data() {
  VERIFY(!off_);
  return std::make_unique<SimDataStore>(*this);
}

std::unique_ptr<Kv> Disk::open_kv() {
  VERIFY(!off_);
  return std::make_unique<SimKv>(*this);
}

void Disk::cut_power() {
  const std::scoped_lock lock{mutex_};
  kill();
  for (auto& [id, file] : files_) file.cut_power(random_);
  for (Dropped& chunk : dropped_)
    if (random_.one_in(2)) content_.try_emplace(chunk.digest, std::move(chunk.bytes));
  dropped_.clear();
  const uint64_t kept = random_.below(map_.unsynced.size() + 1);
  for (size_t i = 0; i < kept; i++) apply(map_.unsynced[i], map_.durable);
  map_.unsynced.clear();
}

void Disk::cut_power_after(uint64_t operations) {
  const std::scoped_lock lock{mutex_};
  cut_at_ = operations_ + operations;
}

void Disk::kill() {
  const std::scoped_lock lock{mutex_};
  off_ = true;
  generation_++;
  cut_at_.reset();
  for (auto& [id, file] : files_) file.end_all();
}

void Disk::turn_on() { off_ = false; }

void Disk::fail_next(Operation operation, Code code, uint64_t skip) {
  const std::scoped_lock lock{mutex_};
  Fault& fault = faults_[static_cast<size_t>(operation)];
  fault.code = code;
  fault.skip = skip;
}

void Disk::fail_one_in(Operation operation, uint64_t n, Code code) {
  const std::scoped_lock lock{mutex_};
  Fault& fault = faults_[static_cast<size_t>(operation)];
  fault.code = code;
  fault.one_in = n;
}

uint64_t Disk::allocated_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [id, file] : files_) bytes += file.allocated_bytes();
  return bytes + content_bytes();
}

uint64_t Disk::content_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [digest, chunk] : content_) bytes += (chunk.size() + block_bytes - 1) / block_bytes * block_bytes;
  return bytes;
}

void Disk::tick() {
  if (off_) return;
  if (cut_at_ && operations_ >= *cut_at_) cut_power();
  operations_++;
}

std::optional<Error> Disk::fault(Operation operation) {
  Fault& fault = faults_[static_cast<size_t>(operation)];
  bool fails = fault.one_in != 0 && random_.one_in(fault.one_in);
  if (fault.skip && (*fault.skip)-- == 0) {
    fault.skip.reset();
    fails = true;
  }
  if (!fails) return std::nullopt;
  failures_told_++;
  return Error{fault.code, "simulated failure"};
}

void Disk::apply(const std::vector<KvMutation>& batch, std::map<std::string, std::string, std::less<>>& to) {
  for (const KvMutation& mutation : batch) {
    if (mutation.value)
      to[mutation.key] = *mutation.value;
    else
      to.erase(mutation.key);
  }
}

}  // namespace atl::sim
