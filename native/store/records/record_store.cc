#include "store/records/record_store.h"

#include <algorithm>
#include <span>

#include "base/mutation.h"
#include "store/hashing.h"
#include "store/records/commit_plan.h"
#include "store/records/record_keys.h"

namespace atl {
namespace {

// A group is one write to the log: large enough to share its sync, small enough to answer soon.
constexpr size_t changes_per_group = 8192;
// Layers of a chain that are asked on the caller's own thread: some µs for each.
constexpr size_t walk_in_memory_max = 4;

/// Keeps something new for a tenant. Blocks that are assigned were written before; that they are given back needs records, too.
bool grows(const RecordBatch& batch) {
  return std::any_of(batch.begin(), batch.end(), [](const RecordChange& change) {
    return std::holds_alternative<StoreContent>(change) || std::holds_alternative<IntendContent>(change);
  });
}

Error only_reserve_left() { return Error{Code::no_space, "records: only the space reserve is left"}; }

Error malformed_key() { return Error{Code::corrupt, "record store: a key is malformed"}; }

std::vector<std::pair<LayerId, RegionIndex>> touched(const RecordBatch& batch) {
  std::vector<std::pair<LayerId, RegionIndex>> records;
  for (const RecordChange& change : batch) {
    if (const auto* assign = std::get_if<AssignBlocks>(&change)) records.emplace_back(assign->layer, assign->region);
    if (const auto* absorb = std::get_if<AbsorbRegion>(&change)) records.emplace_back(absorb->child, absorb->region);
  }
  return records;
}

}  // namespace

RetainedChain::RetainedChain(LayerIndex& index, std::vector<ChainLayer> layers)
    : index_(index), layers_(std::move(layers)) {
  for (const ChainLayer& layer : layers_) index_.retain(layer.id);
}

RetainedChain::~RetainedChain() {
  for (const ChainLayer& layer : layers_) index_.release(layer.id);
}

RecordStore::RecordStore(Kv& kv, JobSink& committer, JobSink& readers)
    : kv_(kv), committer_(committer), readers_(readers), index_(kv) {
  drain_.store = this;
  drain_.run = [](Job& job) noexcept { static_cast<Drain&>(job).store->drain(); };
}

Result<void> RecordStore::recover() {
  auto version = kv_.get(keys::version(), nullptr);
  if (!version) return version.error();
  if (!version->has_value()) return kv_.write({{keys::version(), keys::encode_count(format_version)}}, true);
  const auto stored = keys::decode_count(**version);
  if (!stored) return Error{Code::corrupt, "record store: the format version is not a number"};
  if (*stored > format_version)
    return Error{Code::unsupported, "record store: written by a newer Atoll (format " + std::to_string(*stored) +
                                        ", this one reads up to " + std::to_string(format_version) + ")"};

  if (*stored < format_version)
    if (Result<void> raised = kv_.write({{keys::version(), keys::encode_count(format_version)}}, true); !raised)
      return raised;

  RecordBatch batch;
  Result<void> scanned = kv_.scan("i", keys::after("i"), nullptr, [&](std::string_view key, std::string_view) {
    if (auto file = keys::parse_file("if", key)) batch.push_back(RetireFile{*file});
    if (auto digest = keys::parse_digest("ic", key)) batch.push_back(RetireContent{*digest});
    return true;
  });
  if (!scanned || batch.empty()) return scanned;
  CommitPlan plan{kv_};
  if (Result<void> applied = plan.apply(batch); !applied) return applied;
  return kv_.write(plan.mutations(), true);
}

void RecordStore::Pending::await_suspend(std::coroutine_handle<> awaiter) {
  handle = awaiter;
  home = &Executor::here();
  run = [](Job& job) noexcept { static_cast<Pending&>(job).handle.resume(); };
  bool start = false;
  RecordStore& to = store;  // once queued, the committer may resume us (and free this node) at any time
  {
    const std::scoped_lock lock{to.mutex_};
    *to.last_ = this;
    to.last_ = &after;
    start = !std::exchange(to.draining_, true);
  }
  if (start) to.committer_.post(to.drain_);
}

Task<Result<void>> RecordStore::commit(RecordBatch batch, Durability durability) {
  if (batch.empty()) co_return Result<void>{};
  if (kv_.low_on_space() && grows(batch)) co_return only_reserve_left();
  Pending pending{*this, std::move(batch), durability};
  Result<void> result = co_await pending;
  co_return result;
}

/// Some of the group may draw on the space reserve, some may not.
bool RecordStore::mixed(const Pending* group) {
  bool growing = false;
  bool other = false;
  for (const Pending* at = group; at != nullptr; at = at->after) (grows(at->batch) ? growing : other) = true;
  return growing && other;
}

void RecordStore::drain() {
  Pending* group = nullptr;
  {
    const std::scoped_lock lock{mutex_};
    group = first_;
    size_t changes = 0;
    Pending* last = group;
    for (Pending* at = group; at != nullptr; at = at->after) {
      changes += at->batch.size();
      last = at;
      if (changes >= changes_per_group) break;
    }
    VERIFY(last != nullptr);
    first_ = last->after;
    if (first_ == nullptr) last_ = &first_;
    last->after = nullptr;
  }
  bool garbage = false;
  const Result<void> together = commit_group(group, garbage);
  // One batch that meets a damaged record must not fail the others of its group, nor one that the space reserve is not for.
  const bool alone_is_better = !together && (together.error().code == Code::corrupt ||
                                             (together.error().code == Code::no_space && mixed(group)));
  const bool one_by_one = alone_is_better && group->after != nullptr;
  if (one_by_one)
    for (Pending* at = group; at != nullptr; at = at->after) {
      Pending* rest = std::exchange(at->after, nullptr);
      at->result = commit_group(at, garbage);
      at->after = rest;
    }
  // Before the answers: once everyone is answered nobody hears from this thread any more, and a shutdown may go on.
  if (garbage && on_garbage_) on_garbage_();
  while (group != nullptr) {
    Pending* next = group->after;
    if (!one_by_one) group->result = together;
    group->home->post(*group);
    group = next;
  }
  bool more = false;
  {
    const std::scoped_lock lock{mutex_};
    more = first_ != nullptr;
    draining_ = more;
  }
  if (more) committer_.post(drain_);
}

Result<void> RecordStore::commit_group(Pending* first, bool& garbage) {
  CommitPlan plan{kv_};
  bool durable = false;
  bool growing = false;
  std::vector<std::pair<LayerId, RegionIndex>> records;
  for (Pending* at = first; at != nullptr; at = at->after) {
    if (Result<void> applied = plan.apply(at->batch); !applied) return applied;
    durable |= at->durability == Durability::durable;
    growing |= grows(at->batch);
    const auto more = touched(at->batch);
    records.insert(records.end(), more.begin(), more.end());
  }
  if (growing && kv_.low_on_space()) return only_reserve_left();
  index_.commit_begins(std::move(records));
  if (mutated(Mutation::reclaim_before_durable) && plan.makes_garbage()) durable = false;
  Result<void> written =
      growing ? kv_.write_without_reserve(plan.mutations(), durable) : kv_.write(plan.mutations(), durable);
  index_.commit_ended();
  if (!written) return written;
  garbage |= plan.makes_garbage();
  if (durable) commits_++;
  records_ += plan.records_changed();
  return written;
}

Task<Result<RegionRecord>> RecordStore::resolve(std::shared_ptr<const RetainedChain> chain, RegionIndex region) {
  std::optional<Result<RegionRecord>> resolved;
  // Two changes of thread cost more than a short walk in memory.
  if (chain->layers().size() <= walk_in_memory_max) resolved = walk(*chain, region, Reach::memory);
  if (!resolved) {
    Executor& home = Executor::here();
    co_await readers_.schedule();
    resolved = walk(*chain, region, Reach::disk);
    co_await home.schedule();
  }
  resolved_++;
  co_return std::move(*resolved);
}

/// Nothing: only the disk knows.
std::optional<Result<RegionRecord>> RecordStore::walk(const RetainedChain& chain, RegionIndex region, Reach reach) {
  const auto snapshot = kv_.snapshot();  // first the snapshot, then the index (layer_index.h, invariant 2)
  const uint64_t first_block = uint64_t{number(region)} * blocks_per_region;
  RegionRecord seen;
  uint64_t limit = UINT64_MAX;
  for (const ChainLayer& layer : chain.layers()) {
    const uint64_t visible = limit <= first_block ? 0 : std::min<uint64_t>(limit - first_block, blocks_per_region);
    if (visible == 0) break;
    Result<bool> may_have{true};
    if (reach == Reach::disk) may_have = index_.may_have(layer.id, region, snapshot.get());
    if (!may_have) return may_have.error();
    if (*may_have) {
      const std::string key = keys::record(layer.id, region);
      auto value = reach == Reach::disk ? kv_.get(key, snapshot.get()) : kv_.get_in_memory(key, snapshot.get());
      if (!value) return std::nullopt;
      if (!*value) return value->error();
      if ((*value)->has_value()) {
        auto record = RegionRecord::decode(***value);
        if (!record) return keys::damaged_record({layer.id, region}, record.error());
        seen.absorb(*record, static_cast<uint32_t>(visible));
        if (seen.supplied() == BlockSet::all()) break;
      }
    }
    limit = std::min(limit, layer.parent_limit_blocks);
  }
  return seen;
}

Task<Result<uint32_t>> RecordStore::next_recorded(std::shared_ptr<const RetainedChain> chain, uint32_t from,
                                                  uint32_t end) {
  Executor& home = Executor::here();
  co_await readers_.schedule();
  const auto snapshot = kv_.snapshot();
  Result<uint32_t> next = next_recorded(chain->layers(), from, end, snapshot.get());
  co_await home.schedule();
  co_return next;
}

Result<uint32_t> RecordStore::next_recorded(std::span<const ChainLayer> layers, uint32_t from, uint32_t end,
                                            const KvSnapshot* snapshot) {
  uint64_t limit = UINT64_MAX;  // blocks that show through the layers above
  for (const ChainLayer& layer : layers) {
    const uint32_t visible_end = std::min(end, regions_of_blocks(limit));
    if (from >= visible_end) break;
    bool malformed = false;
    scans_++;
    Result<void> sought =
        kv_.scan(keys::record(layer.id, RegionIndex{from}), keys::record(layer.id, RegionIndex{visible_end}), snapshot,
                 [&](std::string_view key, std::string_view) {
                   const auto record = keys::parse_record(key);
                   malformed = !record;
                   if (record) end = number(record->region);
                   return false;
                 });
    if (!sought) return sought.error();
    if (malformed) return malformed_key();
    limit = std::min(limit, layer.parent_limit_blocks);
  }
  return end;
}

Task<Result<std::vector<RegionIndex>>> RecordStore::regions(LayerId layer, RegionIndex from, uint32_t max) {
  Executor& home = Executor::here();
  co_await readers_.schedule();
  std::vector<RegionIndex> found;
  Result<void> scanned = kv_.scan(keys::record(layer, from), keys::record(LayerId{number(layer) + 1}, RegionIndex{0}),
                                  nullptr, [&](std::string_view key, std::string_view) {
                                    if (auto record = keys::parse_record(key)) found.push_back(record->region);
                                    return found.size() < max;
                                  });
  co_await home.schedule();
  if (!scanned) co_return scanned.error();
  co_return found;
}

Task<Result<uint64_t>> RecordStore::content_references(Digest digest) {
  Executor& home = Executor::here();
  co_await readers_.schedule();
  auto value = kv_.get(keys::content_refs(digest), nullptr);
  co_await home.schedule();
  if (!value) co_return value.error();
  if (!value->has_value()) co_return uint64_t{0};
  const auto refs = keys::decode_count(**value);
  if (!refs)
    co_return Error{Code::corrupt,
                    "record store: " + keys::describe_count(keys::content_refs(digest)) + " is not a number"};
  co_return *refs;
}

Task<Result<std::optional<std::string>>> RecordStore::small_content(Digest digest) {
  const std::string key = keys::small_content(digest);
  std::optional<Result<std::optional<std::string>>> in_memory = kv_.get_in_memory(key, nullptr);
  Executor& home = Executor::here();
  if (!in_memory) co_await readers_.schedule();
  Result<std::optional<std::string>> value = in_memory ? std::move(*in_memory) : kv_.get(key, nullptr);
  Result<Digest> found{digest};
  if (value && value->has_value()) found = sha256_of(std::as_bytes(std::span{**value}));
  if (!in_memory) co_await home.schedule();
  if (!value) co_return value.error();
  if (!found) co_return found.error();
  if (!(*found == digest))
    co_return Error{Code::corrupt, "content " + digest.hex() + ": does not have the bytes of its digest"};
  co_return std::move(*value);
}

Task<Result<std::vector<Garbage>>> RecordStore::garbage(uint32_t max) {
  Executor& home = Executor::here();
  co_await readers_.schedule();
  std::vector<Garbage> found;
  // Files before punches ("gf" < "gp"): a removed file takes its punches along.
  Result<void> scanned = kv_.scan("g", keys::after("g"), nullptr, [&](std::string_view key, std::string_view value) {
    if (auto file = keys::parse_file("gf", key)) found.push_back(GarbageFile{*file});
    if (auto digest = keys::parse_digest("gc", key)) found.push_back(GarbageContent{*digest});
    if (auto punch = keys::parse_garbage_punch(key))
      if (auto blocks = keys::decode_blocks(value)) found.push_back(GarbagePunch{punch->file, punch->region, *blocks});
    return found.size() < max;
  });
  co_await home.schedule();
  if (!scanned) co_return scanned.error();
  co_return found;
}

Task<Result<std::vector<DataFileId>>> RecordStore::garbage_files() {
  Executor& home = Executor::here();
  co_await readers_.schedule();
  std::vector<DataFileId> found;
  Result<void> scanned = kv_.scan("gf", keys::after("gf"), nullptr, [&](std::string_view key, std::string_view) {
    if (auto file = keys::parse_file("gf", key)) found.push_back(*file);
    return true;
  });
  co_await home.schedule();
  if (!scanned) co_return scanned.error();
  co_return found;
}

Task<Result<std::vector<LayerId>>> RecordStore::layers(LayerId first, size_t max) {
  Executor& home = Executor::here();
  co_await readers_.schedule();
  std::vector<LayerId> found;
  Result<void> result;
  // One seek for each layer, not one step for each record.
  for (std::string from = keys::record(first, RegionIndex{0}); result && found.size() < max;) {
    std::optional<LayerId> next;
    result = kv_.scan(from, keys::after("r"), nullptr, [&](std::string_view key, std::string_view) {
      if (auto record = keys::parse_record(key)) next = record->layer;
      return false;
    });
    if (!next) break;
    found.push_back(*next);
    from = keys::record(LayerId{number(*next) + 1}, RegionIndex{0});
  }
  if (result)
    result = kv_.scan(keys::intent_file(data_file_of(first)), keys::after("if"), nullptr,
                      [&, intended = size_t{0}](std::string_view key, std::string_view) mutable {
                        if (auto file = keys::parse_file("if", key)) found.push_back(LayerId{number(*file)});
                        return ++intended < max;
                      });
  co_await home.schedule();
  if (!result) co_return result.error();
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  if (found.size() > max) found.resize(max);
  co_return found;
}

Result<void> RecordStore::visit_records(LayerId layer,
                                        const std::function<void(RegionIndex, const RegionRecord&)>& visit) {
  const auto snapshot = kv_.snapshot();
  return visit_range(keys::record(layer, RegionIndex{0}), keys::record(LayerId{number(layer) + 1}, RegionIndex{0}),
                     snapshot.get(), visit);
}

Result<void> RecordStore::visit_records(LayerId layer, uint32_t first, uint32_t end, const KvSnapshot* snapshot,
                                        const std::function<void(RegionIndex, const RegionRecord&)>& visit) {
  return visit_range(keys::record(layer, RegionIndex{first}), keys::record(layer, RegionIndex{end}), snapshot, visit);
}

Result<void> RecordStore::visit_range(const std::string& from, const std::string& to, const KvSnapshot* snapshot,
                                      const std::function<void(RegionIndex, const RegionRecord&)>& visit) {
  std::optional<Error> damage;
  scans_++;
  Result<void> scanned = kv_.scan(from, to, snapshot, [&](std::string_view key, std::string_view value) {
    const auto at = keys::parse_record(key);
    auto record = RegionRecord::decode(value);
    if (!at || !record) {
      damage = at ? keys::damaged_record(*at, record.error()) : malformed_key();
      return false;
    }
    visit(at->region, *record);
    return true;
  });
  if (damage) return *damage;
  return scanned;
}

RecordStore::Counters RecordStore::counters() const {
  return {commits_.load(), records_.load(), resolved_.load(), scans_.load()};
}

}  // namespace atl
