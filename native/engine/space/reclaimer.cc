#include "engine/space/reclaimer.h"

#include <set>

#include "base/mutation.h"

namespace atl {
namespace {

constexpr uint32_t entries_per_pass = 256;
constexpr uint64_t retry_after_ns = 1'000'000'000;

}  // namespace

Reclaimer::Reclaimer(StoreAccess stores, Executor& executor, std::vector<Home> homes, ContentPins& pins)
    : stores_(stores), executor_(executor), homes_(std::move(homes)), pins_(pins) {}

void Reclaimer::notify() {
  struct Start {
    static Task<void> run(Reclaimer* self) {
      self->again_ = true;
      if (!self->running_ && !self->stopped_) co_await self->run();
    }
  };
  spawn_on(executor_, Start::run(this));
}

Task<void> Reclaimer::run() {
  running_ = true;
  while (again_ && !stopped_) {
    again_ = false;
    Result<bool> more = co_await pass();
    last_ = more ? Result<void>{} : Result<void>{more.error()};
    if (more && *more) again_ = true;
    if (!more) {
      // A full or failing disk: the entries are durable, they will be tried again.
      idle_.wake_all();
      co_await executor_.sleep_ns(retry_after_ns);
      again_ = true;
    }
  }
  running_ = false;
  idle_.wake_all();
}

Task<Result<bool>> Reclaimer::pass() {
  Result<std::vector<Garbage>> found = co_await stores_.records.garbage(entries_per_pass);
  if (!found) co_return found.error();
  pending_ = found->size();
  if (found->empty()) co_return false;
  if (!mutated(Mutation::reclaim_under_readers))
    for (const Home& home : homes_) co_await run_on(*home.executor, home.epochs->drain());
  RecordBatch done;
  std::vector<Digest> dropped;
  std::set<DataFileId> punched;
  Result<void> failure;
  for (const Garbage& garbage : *found) {
    Result<bool> given = co_await give_back(garbage);
    if (!given) {
      failure = given.error();
      continue;
    }
    // Pinned: whoever pins it refers to it soon, or gives it up and says so. Or there is no time left: the next start goes on with it.
    if (!*given) continue;
    done.push_back(Reclaimed{garbage});
    if (const auto* content = std::get_if<GarbageContent>(&garbage)) dropped.push_back(content->digest);
    if (const auto* punch = std::get_if<GarbagePunch>(&garbage)) punched.insert(punch->file);
  }
  // The entries that name blocks go only when no power cut can bring the blocks back.
  for (DataFileId file : punched) {
    Result<void> synced = co_await stores_.data.sync(file);
    if (synced) continue;
    failure = synced.error();
    // Only sealed layers' files are punched here, and all else in them is durable: it can go on from there.
    Result<void> reopened = co_await stores_.data.reopen(file);
    if (!reopened) failure = reopened.error();
    std::erase_if(done, [&](const RecordChange& change) {
      const auto* punch = std::get_if<GarbagePunch>(&std::get<Reclaimed>(change).garbage);
      return punch != nullptr && punch->file == file;
    });
  }
  const bool progress = !done.empty();
  // The entries that name the chunks go only when the chunks cannot come back.
  Result<void> gone;
  if (!dropped.empty()) gone = co_await stores_.data.sync_drops();
  if (!gone) {
    for (const Digest& digest : dropped) pins_.end_drop(digest);
    co_return gone.error();
  }
  Result<void> committed = co_await stores_.records.commit(std::move(done), Durability::lazy);
  for (const Digest& digest : dropped) pins_.end_drop(digest);
  if (!committed) co_return committed.error();
  if (!failure) co_return failure.error();
  co_return progress;
}

Task<Result<bool>> Reclaimer::give_back(const Garbage& garbage) {
  if (const auto* punch = std::get_if<GarbagePunch>(&garbage)) {
    std::vector<BlockRange> runs;
    punch->blocks.for_runs([&](BlockRange run) { runs.push_back(run); });
    for (const BlockRange& run : runs) {
      const uint64_t at = uint64_t{number(punch->region)} * region_bytes + uint64_t{run.first} * block_bytes;
      Result<void> punched = co_await stores_.data.punch(punch->file, at, uint64_t{run.count()} * block_bytes);
      if (!punched) co_return punched.error();
    }
    co_return true;
  }
  if (const auto* file = std::get_if<GarbageFile>(&garbage)) {
    for (;;) {
      if (stopped_) co_return false;
      Result<bool> more = co_await stores_.data.shrink(file->file);
      if (!more) co_return more.error();
      if (!*more) break;
    }
    Result<void> removed = co_await stores_.data.remove(file->file);
    if (!removed) co_return removed.error();
    co_return true;
  }
  const Digest digest = std::get<GarbageContent>(garbage).digest;
  if (!pins_.begin_drop(digest)) co_return false;
  // Looked at after begin_drop: a reference that is there now was made before, and no new one can be made.
  Result<uint64_t> references = co_await stores_.records.content_references(digest);
  if (!references || *references > 0) {
    pins_.end_drop(digest);
    if (!references) co_return references.error();
    co_return false;
  }
  Result<void> dropped = co_await stores_.data.drop_content(digest);
  if (!dropped) {
    pins_.end_drop(digest);
    co_return dropped.error();
  }
  co_return true;
}

Task<Result<void>> Reclaimer::idle() {
  again_ = true;
  if (!running_) spawn(run());
  while (running_) {
    co_await idle_.wait();
    if (!last_) break;
  }
  co_return last_;
}

Task<void> Reclaimer::stop() {
  stopped_ = true;
  while (running_) co_await idle_.wait();
}

}  // namespace atl
