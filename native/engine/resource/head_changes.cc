#include "engine/resource/head_changes.h"

#include <algorithm>
#include <utility>

namespace atl {

HeadChanges::~HeadChanges() { VERIFY(!flushing() && !preparing_ && !marking_); }

Error HeadChanges::refusal() const {
  return Error{Code::io, "resource " + id_ + ": refuses changes since a flush failed (" + *failure_ +
                             "); detach and attach it again to go on from what is durable"};
}

// ---- a change ----

Task<Result<void>> HeadChanges::prepare() {
  while (preparing_) co_await prepared_.wait();
  if (file_intended_) co_return Result<void>{};
  preparing_ = true;
  // Before the file can exist: a crash must not leave a file that nobody knows of.
  Result<void> prepared;
  if (!mutated(Mutation::forget_intent)) {
    RecordBatch intent{IntendFile{head_file()}};
    prepared = co_await stores_.records.commit(std::move(intent));
  }
  if (prepared && stores_.dirty_logs != nullptr) {
    Result<std::unique_ptr<DirtyLog>> log = co_await stores_.dirty_logs->create(head());
    if (log)
      log_ = std::move(*log);
    else
      prepared = log.error();
  }
  file_intended_ = prepared.ok();
  preparing_ = false;
  prepared_.wake_all();
  co_return prepared;
}

void HeadChanges::touched(const Result<void>& changed) {
  unsynced_ = true;
  if (!changed && changed.error().code == Code::io) drop_log();
}

bool HeadChanges::has_room(uint64_t first, uint64_t end) const {
  const size_t free = regions_max - dirty_.size() - committing_.size();
  if (free >= change_regions_max) return true;
  size_t wanted = 0;
  for (uint64_t region = first / blocks_per_region; region * blocks_per_region < end; region++)
    if (!dirty_.contains(RegionIndex{static_cast<uint32_t>(region)})) wanted++;
  return wanted <= free;
}

Task<Result<void>> HeadChanges::make_room(uint64_t first, uint64_t end) {
  while (!has_room(first, end)) {
    Result<void> flushed = co_await flush();
    if (!flushed) co_return flushed;
  }
  co_return Result<void>{};
}

HeadChanges::Dirty& HeadChanges::dirty_at(RegionIndex region) {
  const auto [at, added] = dirty_.try_emplace(region);
  if (added) {
    VERIFY(dirty_.size() + committing_.size() <= regions_max);
    if (log_) at->second.slot = &log_->take(region);
  }
  return at->second;
}

void HeadChanges::Marks::own(RegionIndex region, BlockRange blocks) {
  Dirty& dirty = changes_.dirty_at(region);
  dirty.owned.add(blocks);
  dirty.zeroed.remove(blocks);
  if (dirty.slot != nullptr) {
    dirty.slot->owned.add(blocks);
    dirty.slot->zeroed.remove(blocks);
  }
}

void HeadChanges::Marks::zero(RegionIndex region, const BlockSet& blocks) {
  Dirty& dirty = changes_.dirty_at(region);
  dirty.owned -= blocks;
  if (mutated(Mutation::trim_forgets_parent)) return;
  dirty.zeroed |= blocks;
  if (dirty.slot != nullptr) {
    dirty.slot->zeroed |= blocks;
    dirty.slot->owned -= blocks;
  }
}

// ---- making durable ----

/// Removes the log when its marks must not become durable any more (I6), or all of them are.
void HeadChanges::drop_log() {
  for (auto& [region, dirty] : dirty_) dirty.slot = nullptr;
  for (auto& [region, dirty] : committing_) dirty.slot = nullptr;
  log_.reset();
}

Task<void> HeadChanges::flush_in_background() {
  // Callers that need durability flush again. An error stays with the blocks, which stay marked, or with this object (I6).
  (void)co_await flush();
}

RecordBatch HeadChanges::batch_of(const DirtyRegions& dirty) const {
  RecordBatch batch;
  // With no parent below there is nothing for a zero to hide: the block is given back instead.
  const Source nothing = chain_->layers().size() == 1 ? Source::none() : Source::zero();
  for (const auto& [region, blocks] : dirty) {
    if (!blocks.owned.empty())
      batch.push_back(AssignBlocks{head(), region, Source::private_data(head_file()), blocks.owned});
    if (!blocks.zeroed.empty()) batch.push_back(AssignBlocks{head(), region, nothing, blocks.zeroed});
  }
  return batch;
}

/// Marks again what a flush took and could not commit. What was marked meanwhile wins.
void HeadChanges::restore(RegionIndex region, const Dirty& old) {
  const auto [at, alone] = dirty_.try_emplace(region, old);
  if (alone) return;  // its slot goes on with it
  Dirty& now = at->second;
  now.owned |= old.owned - now.zeroed;
  now.zeroed |= old.zeroed - now.owned;
  if (now.slot != nullptr) {
    now.slot->owned = now.owned;
    now.slot->zeroed = now.zeroed;
  }
  if (old.slot != nullptr) log_->free(*old.slot);
}

Task<Result<void>> HeadChanges::flush_once() {
  VERIFY(!marking_);
  if (failure_) co_return refusal();
  committing_ = std::exchange(dirty_, {});
  Result<void> done;
  if (mutated(Mutation::records_before_data) && !committing_.empty())
    (void)co_await stores_.records.commit(batch_of(committing_));
  if (std::exchange(unsynced_, false) && !mutated(Mutation::skip_data_sync)) {
    done = co_await stores_.data.sync(head_file());
    if (mutated(Mutation::ignore_failed_sync)) done = {};
    if (!done) failure_ = done.error().message;
  }
  if (done && !committing_.empty()) {
    const Durability durability = mutated(Mutation::answer_before_commit) ? Durability::lazy : Durability::durable;
    done = co_await stores_.records.commit(batch_of(committing_), durability);
    if (!done && done.error().code == Code::io) failure_ = done.error().message;
  }
  if (failure_) drop_log();
  for (const auto& [region, old] : committing_) {
    if (!done)
      restore(region, old);
    else if (old.slot != nullptr)
      log_->free(*old.slot);
  }
  committing_.clear();
  co_return done;
}

Task<Result<void>> HeadChanges::flush() {
  VERIFY(home_.on_thread());
  // The flush that is running may have missed writes answered since it began; the next one covers them, for all who wait.
  const uint64_t mine = flushes_started_ + 1;
  while (flushing()) {
    co_await flushed_.wait();
    if (flushes_ended_ >= mine) co_return last_flush_;
  }
  flushes_started_++;
  Result<void> flushed = co_await flush_once();
  last_flush_ = flushed;
  flushes_ended_++;
  flushed_.wake_all();
  // Not last_flush_: this object may be gone (invariant 3).
  co_return flushed;
}

void HeadChanges::next_head() {
  VERIFY((empty() && !flushing()) || mutated(Mutation::snapshot_before_flush));
  file_intended_ = false;
  drop_log();
}

// ---- questions ----

UnflushedRegions HeadChanges::unflushed(RegionSpan span) const {
  UnflushedRegions found;
  // What is being committed is older than what is dirty.
  for (const auto* older_first : {&committing_, &dirty_})
    for (const auto& [region, blocks] : *older_first) {
      if (number(region) < span.first || number(region) >= span.end) continue;
      Unflushed& now = found[region];
      now.owned -= blocks.zeroed;
      now.zeroed -= blocks.owned;
      now.owned |= blocks.owned;
      now.zeroed |= blocks.zeroed;
    }
  return found;
}

uint32_t HeadChanges::first_unflushed(uint32_t from, uint32_t end) const {
  for (const auto* regions : {&committing_, &dirty_})
    for (const auto& [region, blocks] : *regions)
      if (number(region) >= from) end = std::min(end, number(region));
  return end;
}

}  // namespace atl
