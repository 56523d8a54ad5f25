#include "store/local/local_files.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace atl {

FileKey FileKey::of(const Digest& digest) {
  FileKey key;
  static_assert(sizeof key.words == sizeof digest.bytes);
  std::memcpy(key.words.data(), digest.bytes.data(), sizeof key.words);
  key.content = true;
  return key;
}

// ---- TaskTurn ----

bool TaskTurn::try_take() {
  const std::scoped_lock lock{mutex_};
  return !std::exchange(taken_, true);
}

bool TaskTurn::Take::await_suspend(std::coroutine_handle<> awaiter) {
  handle = awaiter;
  home = &Executor::here();
  run = [](Job& job) noexcept { static_cast<Take&>(job).handle.resume(); };
  const std::scoped_lock lock{turn.mutex_};
  if (!std::exchange(turn.taken_, true)) return false;  // given back meanwhile
  *turn.last_ = this;
  turn.last_ = &after;
  return true;
}

void TaskTurn::give_back() {
  Take* next = nullptr;
  {
    const std::scoped_lock lock{mutex_};
    next = first_;
    if (next == nullptr) {
      taken_ = false;
    } else {
      first_ = next->after;
      if (first_ == nullptr) last_ = &first_;
    }
  }
  if (next != nullptr) next->home->post(*next);
}

// ---- OpenFile ----

OpenFile::~OpenFile() { ::close(fd_); }

// ---- DescriptorCache ----

DescriptorCache::DescriptorCache(uint32_t max_open, SyncBeforeClose sync)
    : max_open_(std::max(max_open, 1u)), sync_(std::move(sync)) {}

DescriptorCache::~DescriptorCache() {
  for (Shard& shard : shards_)
    for (auto& [key, file] : shard.files) {
      VERIFY(file->references_.load(std::memory_order_acquire) == 1);
      delete file;
    }
}

DescriptorCache::Shard& DescriptorCache::shard_of(const FileKey& key) {
  // Data files are numbered in sequence, chunks by a hash: both spread by their first word. Multiplying stirs the low bits in.
  return shards_[(key.words[0] * 0x9e3779b97f4a7c15u) >> 60];
}

void DescriptorCache::use(Shard& shard, OpenFile& file) {
  if (shard.newest == &file) return;
  if (file.newer_ != nullptr) unlink(shard, file);
  file.older_ = shard.newest;
  (shard.newest == nullptr ? shard.oldest : shard.newest->newer_) = &file;
  shard.newest = &file;
}

void DescriptorCache::unlink(Shard& shard, OpenFile& file) {
  (file.newer_ == nullptr ? shard.newest : file.newer_->older_) = file.older_;
  (file.older_ == nullptr ? shard.oldest : file.older_->newer_) = file.newer_;
  file.newer_ = file.older_ = nullptr;
}

FileRef DescriptorCache::find(const FileKey& key) {
  Shard& shard = shard_of(key);
  const std::scoped_lock lock{shard.mutex};
  const auto found = shard.files.find(key);
  if (found == shard.files.end()) return {};
  use(shard, *found->second);
  return FileRef{*found->second};
}

FileRef DescriptorCache::insert(const FileKey& key, int fd) {
  FileRef file;
  auto fresh = std::make_unique<OpenFile>(key, fd);  // closes the descriptor if it turns out to be superfluous
  {
    Shard& shard = shard_of(key);
    const std::scoped_lock lock{shard.mutex};
    const auto [at, added] = shard.files.try_emplace(key, fresh.get());
    if (added) {
      fresh.release();
      open_count_.fetch_add(1, std::memory_order_relaxed);
    }
    use(shard, *at->second);
    file = FileRef{*at->second};
  }
  const uint32_t open = open_count();
  if (open > max_open_) shed(open - max_open_);
  return file;
}

uint32_t DescriptorCache::shed(uint32_t count) {
  uint32_t closed = 0;
  for (uint32_t failed = 0; closed < count && failed < shard_count;) {
    const bool evicted = evict_from(shards_[next_victim_.fetch_add(1, std::memory_order_relaxed) % shard_count]);
    closed += evicted;
    failed = evicted ? 0 : failed + 1;
  }
  return closed;
}

bool DescriptorCache::evict_from(Shard& shard) {
  FileRef victim;
  {
    const std::scoped_lock lock{shard.mutex};
    OpenFile* dirty = nullptr;
    for (OpenFile* at = shard.oldest; at != nullptr; at = at->newer_) {
      // New references are made under this lock only: one that is not in use now stays so.
      if (at->references_.load(std::memory_order_acquire) != 1) continue;
      if (!at->dirty()) {
        victim = take_out(shard, *at);
        break;
      }
      if (dirty == nullptr) dirty = at;
    }
    if (victim) return true;  // closed once the lock is released
    if (dirty == nullptr || !dirty->sync_turn.try_take()) return false;
    victim = FileRef{*dirty};
  }
  const bool synced = sync_(*victim);
  victim->sync_turn.give_back();
  FileRef closing;
  const std::scoped_lock lock{shard.mutex};
  const auto found = shard.files.find(victim->key());
  const bool still_there = found != shard.files.end() && found->second == &*victim;
  if (!synced || !still_there || victim->references_.load(std::memory_order_acquire) != 2 || victim->dirty())
    return false;
  closing = take_out(shard, *victim);
  return true;
}

FileRef DescriptorCache::take_out(Shard& shard, OpenFile& file) {
  FileRef last{file};
  unlink(shard, file);
  shard.files.erase(file.key());
  open_count_.fetch_sub(1, std::memory_order_relaxed);
  FileRef::release(file);  // the cache's own
  return last;
}

std::vector<FileRef> DescriptorCache::segments(DataFileId file) {
  std::vector<FileRef> refs;
  const FileKey first = FileKey::of(SegmentName{file, 0});
  Shard& shard = shard_of(first);
  const std::scoped_lock lock{shard.mutex};
  for (auto at = shard.files.lower_bound(first); at != shard.files.end(); ++at) {
    if (at->first.content || at->first.words[0] != number(file)) break;
    refs.emplace_back(*at->second);
  }
  return refs;
}

void DescriptorCache::forget_range(const FileKey& first, const FileKey& last) {
  std::vector<FileRef> closing;  // outlives the lock
  Shard& shard = shard_of(first);
  const std::scoped_lock lock{shard.mutex};
  for (auto at = shard.files.lower_bound(first); at != shard.files.end() && at->first <= last;) {
    OpenFile& file = *at->second;
    ++at;
    closing.push_back(take_out(shard, file));
  }
}

void DescriptorCache::forget(DataFileId file) {
  forget_range(FileKey::of(SegmentName{file, 0}), FileKey::of(SegmentName{file, UINT64_MAX}));
}

void DescriptorCache::forget(const Digest& digest) { forget_range(FileKey::of(digest), FileKey::of(digest)); }

}  // namespace atl
