// resource_flush.cc: making a resource's changes durable (I2, I3, I6), and what its dirty log is told of it.
#include <utility>

#include "base/mutation.h"
#include "engine/resource.h"

namespace atl {

Task<Result<void>> Resource::make_room(uint64_t first, uint64_t end) {
  while (!has_room(first, end)) {
    Result<void> flushed = co_await flush();
    if (!flushed) co_return flushed;
  }
  co_return Result<void>{};
}

/// When what it says must not become durable any more (I6), or never will be more than it is.
void Resource::drop_log() {
  for (auto& [region, dirty] : dirty_) dirty.slot = nullptr;
  for (auto& [region, dirty] : committing_) dirty.slot = nullptr;
  log_.reset();
}

Task<void> Resource::flush_in_background() {
  // Whoever is promised durability asks again; an error stays with the blocks (they stay dirty) or with the resource (I6).
  (void)co_await flush();
}

RecordBatch Resource::batch_of(const std::unordered_map<RegionIndex, Dirty>& dirty) const {
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

Task<Result<void>> Resource::flush_once() {
  if (failure_) co_return failed();
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
  // Not durable, but not lost: the next flush tries again, and what was written meanwhile wins.
  for (const auto& [region, old] : committing_) {
    if (!done) {
      const auto [at, alone] = dirty_.try_emplace(region, old);
      if (alone) continue;  // its slot goes on with it
      Dirty& now = at->second;
      now.owned |= old.owned - now.zeroed;
      now.zeroed |= old.zeroed - now.owned;
      if (now.slot != nullptr) {
        now.slot->owned = now.owned;
        now.slot->zeroed = now.zeroed;
      }
    }
    if (old.slot != nullptr) log_->free(*old.slot);
  }
  committing_.clear();
  co_return done;
}

Task<Result<void>> Resource::flush() {
  VERIFY(home_.on_thread());
  if (read_only_) co_return Result<void>{};
  // A flush that began before this call may have missed writes answered since; the next one covers them, for all who wait.
  const uint64_t mine = flushes_started_ + 1;
  while (flushes_ended_ < mine) {
    if (flushes_started_ > flushes_ended_) {
      co_await flushed_.wait();
      continue;
    }
    flushes_started_++;
    Result<void> flushed = co_await flush_once();
    last_flush_ = std::move(flushed);
    flushes_ended_++;
    flushed_.wake_all();
  }
  co_return last_flush_;
}

Task<Result<void>> Resource::settle() {
  VERIFY(home_.on_thread());
  while (changes_in_flight_ > 0) co_await drained_.wait();
  Result<void> flushed = co_await flush();
  co_return flushed;
}

Task<Result<void>> Resource::quiesce() {
  VERIFY(home_.on_thread());
  if (held_) co_return Error{Code::busy, "resource " + id_ + ": is quiesced already"};
  held_ = true;
  if (mutated(Mutation::snapshot_before_flush)) {
    while (changes_in_flight_ > 0) co_await drained_.wait();
    co_return Result<void>{};
  }
  Result<void> flushed = co_await settle();
  if (!flushed) {
    held_ = false;
    released_.wake_all();
  }
  co_return flushed;
}

}  // namespace atl
