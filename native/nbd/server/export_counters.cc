#include "nbd/server/export_counters.h"

#include "base/verify.h"

namespace atl::nbd {
namespace {

void add_up(const ExportCounters& from, NbdExportCounters& sum) {
  sum.errors += from.errors.get();
  sum.bytes_read += from.bytes_read.get();
  sum.bytes_written += from.bytes_written.get();
  for (size_t i = 0; i < command_kinds; i++) sum.requests[i] += from.requests[i].get();
  for (size_t kind = 0; kind < latency_kinds; kind++)
    for (size_t i = 0; i < latency_buckets; i++) sum.latency[kind][i] += from.latency[kind][i].get();
}

}  // namespace

std::shared_ptr<ExportCounters> ExportRegistry::enter(Door door, const std::string& name, const Executor& loop) {
  const std::lock_guard lock(mutex_);
  const auto [at, made] = exports_.try_emplace(Key{door, name, &loop});
  Entry& entry = at->second;
  if (!made && entry.connections == 0) idle_.erase(entry.idle);
  entry.connections++;
  entry.accepted++;
  return entry.counters;
}

void ExportRegistry::leave(Door door, const std::string& name, const Executor& loop) {
  const std::lock_guard lock(mutex_);
  const auto at = exports_.find(Key{door, name, &loop});
  VERIFY(at != exports_.end() && at->second.connections > 0);
  if (--at->second.connections > 0) return;
  at->second.idle = idle_.insert(idle_.end(), at->first);
  if (idle_.size() <= idle_max_) return;
  exports_.erase(idle_.front());
  idle_.pop_front();
}

std::vector<NbdExportCounters> ExportRegistry::read() const {
  // A loop may want to enter meanwhile: no longer under the mutex than it takes to copy pointers.
  std::vector<NbdExportCounters> all;
  std::vector<std::pair<size_t, std::shared_ptr<const ExportCounters>>> parts;  // each with its place in `all`
  {
    const std::lock_guard lock(mutex_);
    all.reserve(exports_.size());
    parts.reserve(exports_.size());
    for (const auto& [key, entry] : exports_) {
      const auto& [door, name, loop] = key;
      if (all.empty() || all.back().door != door || all.back().name != name) {
        NbdExportCounters& sum = all.emplace_back();
        sum.door = door;
        sum.name = name;
      }
      all.back().connections += entry.connections;
      all.back().accepted += entry.accepted;
      parts.emplace_back(all.size() - 1, entry.counters);
    }
  }
  for (const auto& [place, counters] : parts) add_up(*counters, all[place]);
  return all;
}

}  // namespace atl::nbd
