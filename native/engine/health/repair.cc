#include "engine/health/repair.h"

#include "engine/health/store_scan.h"

namespace atl {
namespace {

class Repairer {
 public:
  explicit Repairer(StoreAccess stores) : stores_(stores) {}

  Task<Result<std::vector<std::string>>> run() {
    Executor& home = Executor::here();
    co_await stores_.records.readers().schedule();
    Result<StoreScan> scanned = scan_store(stores_.records.kv(), found_);
    co_await home.schedule();
    if (!scanned) co_return scanned.error();
    seen_ = std::move(*scanned);

    Result<void> done = co_await keep_answered();
    if (!done) co_return done.error();
    done = co_await look_for_missing();
    if (!done) co_return done.error();
    set_counts();
    unmark_garbage_in_use();
    if (seen_.trusted) done = co_await mark_unmentioned();
    if (!done) co_return done.error();
    co_await stores_.records.readers().schedule();
    if (!changes_.empty()) done = stores_.records.kv().write(changes_, true);
    co_await home.schedule();
    if (!done) co_return done.error();
    if (seen_.trusted) done = co_await give_back_space();
    if (!done) co_return done.error();
    co_return std::move(did_);
  }

 private:
  void put(std::string key, std::string value) { changes_.push_back({std::move(key), std::move(value)}); }
  void remove(std::string key) { changes_.push_back({std::move(key), std::nullopt}); }

  void set_count(const std::string& name, std::string key, uint64_t mentions, const std::optional<uint64_t>& stored) {
    if (stored && (*stored == mentions || (*stored > mentions && !seen_.trusted))) return;
    if (!stored && !seen_.trusted && mentions == 0) return;
    did_.push_back(name + ": its reference count is " + std::to_string(mentions) + " now");
    if (mentions > 0)
      put(std::move(key), keys::encode_count(mentions));
    else
      remove(std::move(key));
  }

  void set_counts() {
    const auto stored = [](const auto& counts, const auto& id) {
      const auto found = counts.find(id);
      return found == counts.end() ? std::optional<uint64_t>{0} : found->second;
    };
    for (const auto& [file, mentions] : seen_.files)
      set_count(file_name(file), keys::file_refs(file), mentions, stored(seen_.file_counts, file));
    for (const auto& [digest, chunk] : seen_.chunks)
      set_count(chunk_name(digest), keys::content_refs(digest), chunk.mentions, stored(seen_.chunk_counts, digest));
    for (const auto& [file, count] : seen_.file_counts)
      if (!seen_.files.contains(file)) set_count(file_name(file), keys::file_refs(file), 0, count);
    for (const auto& [digest, count] : seen_.chunk_counts)
      if (!seen_.chunks.contains(digest)) set_count(chunk_name(digest), keys::content_refs(digest), 0, count);
  }

  void unmark_garbage_in_use() {
    const std::string words = " is in use and no garbage any more";
    for (DataFileId file : seen_.garbage_files)
      if (seen_.files.contains(file)) {
        remove(keys::garbage_file(file));
        did_.push_back(file_name(file) + words);
      }
    for (const Digest& digest : seen_.garbage_chunks)
      if (seen_.chunks.contains(digest)) {
        remove(keys::garbage_content(digest));
        did_.push_back(chunk_name(digest) + words);
      }
    for (const keys::PunchKey& punch : seen_.unreadable_punches) {
      // What it meant to free is found again as space that no record mentions.
      remove(keys::garbage_punch(punch.file, punch.region));
      did_.push_back(file_name(punch.file) + ": an unreadable garbage entry is gone");
    }
    for (const GarbagePunch& punch : seen_.punches) {
      const auto used = seen_.blocks.find({punch.file, punch.region});
      if (used == seen_.blocks.end() || (used->second & punch.blocks).empty()) continue;
      const BlockSet left = punch.blocks - used->second;
      std::string key = keys::garbage_punch(punch.file, punch.region);
      if (left.empty())
        remove(std::move(key));
      else
        put(std::move(key), keys::encode_blocks(left));
      did_.push_back(file_name(punch.file) + ", region " + std::to_string(number(punch.region)) +
                     ": blocks in use are no garbage any more");
    }
  }

  bool in_use_as_file(const Digest& digest) const {
    return seen_.chunks.contains(digest) && !seen_.small_chunks.contains(digest);
  }

  /// What was answered and not flushed is in no record yet: Engine::recover() puts it there.
  Task<Result<void>> keep_answered() {
    if (stores_.dirty_logs == nullptr) co_return Result<void>{};
    Result<std::vector<DirtyLogs::Left>> left = co_await stores_.dirty_logs->left();
    if (!left) co_return left.error();
    for (const DirtyLogs::Left& log : *left)
      for (const DirtyLogs::Left::Region& region : log.regions)
        if (!region.owned.empty()) answered_[{data_file_of(log.layer), region.region}] |= region.owned;
    co_return Result<void>{};
  }

  bool is_answered(DataFileId file) const {
    const auto at = answered_.lower_bound({file, RegionIndex{0}});
    return at != answered_.end() && at->first.first == file;
  }

  Task<Result<void>> look_for_missing() {
    size_t files = 0;
    size_t chunks = 0;
    for (const auto& [digest, length] : seen_.small_chunks) chunks += seen_.chunks.contains(digest) ? 1 : 0;
    Result<void> listed =
        co_await stores_.data.list_files([&](DataFileId file) { files += seen_.files.contains(file) ? 1 : 0; });
    if (!listed) co_return listed;
    listed =
        co_await stores_.data.list_content([&](const Digest& digest) { chunks += in_use_as_file(digest) ? 1 : 0; });
    if (files != seen_.files.size() || chunks != seen_.chunks.size()) seen_.trusted = false;
    co_return listed;
  }

  Task<Result<void>> mark_unmentioned() {
    Result<void> listed = co_await stores_.data.list_files([this](DataFileId file) {
      if (seen_.files.contains(file) || seen_.may_be_there(file) || is_answered(file)) return;
      put(keys::garbage_file(file), "");
      did_.push_back(file_name(file) + ", which no record mentions, is removed");
    });
    if (!listed) co_return listed;
    const auto mark = [this](const Digest& digest) {
      if (seen_.chunks.contains(digest) || seen_.may_be_there(digest)) return;
      put(keys::garbage_content(digest), "");
      did_.push_back(chunk_name(digest) + ", which no record mentions, is removed");
    };
    for (const auto& [digest, length] : seen_.small_chunks) mark(digest);
    listed = co_await stores_.data.list_content(mark);
    co_return listed;
  }

  /// Punches what no record mentions out of the data files that take more than they should.
  Task<Result<void>> give_back_space() {
    for (const auto& [at, blocks] : answered_)
      if (seen_.files.contains(at.first)) seen_.blocks[at] |= blocks;
    auto at = seen_.blocks.cbegin();
    for (const auto& [file, mentions] : seen_.files) {
      auto end = at;
      uint64_t mentioned = 0;
      for (; end != seen_.blocks.cend() && end->first.first == file; ++end)
        mentioned += uint64_t{end->second.count()} * block_bytes;
      Result<uint64_t> allocated = co_await stores_.data.allocated_bytes(file);
      if (!allocated) co_return allocated.error();
      if (*allocated > mentioned) {
        Result<void> punched = co_await punch_unmentioned(file, at, end);
        if (!punched) co_return punched;
        Result<uint64_t> left = co_await stores_.data.allocated_bytes(file);
        if (!left) co_return left.error();
        if (*left < *allocated)
          did_.push_back(file_name(file) + ": " + std::to_string(*allocated - *left) +
                         " bytes that no record mentions are given back");
      }
      at = end;
    }
    co_return Result<void>{};
  }

  using BlocksAt = std::map<std::pair<DataFileId, RegionIndex>, BlockSet>::const_iterator;

  Task<Result<void>> punch_unmentioned(DataFileId file, BlocksAt at, BlocksAt end) {
    Result<std::vector<DataStore::Span>> spans = co_await stores_.data.spans(file);
    if (!spans) co_return spans.error();
    // What is mentioned, as byte ranges in order; the gaps between them go.
    std::vector<DataStore::Span> kept;
    for (; at != end; ++at)
      at->second.for_runs([&](BlockRange run) {
        const uint64_t base = uint64_t{number(at->first.second)} * region_bytes;
        const uint64_t begin = base + uint64_t{run.first} * block_bytes;
        const uint64_t stop = base + uint64_t{run.end} * block_bytes;
        if (!kept.empty() && kept.back().end == begin)
          kept.back().end = stop;
        else
          kept.push_back({begin, stop});
      });
    auto next = kept.begin();
    for (const DataStore::Span& span : *spans) {
      const uint64_t span_end = (span.end + block_bytes - 1) / block_bytes * block_bytes;
      uint64_t from = span.begin;
      while (from < span_end) {
        while (next != kept.end() && next->end <= from) ++next;
        const uint64_t to = next == kept.end() ? span_end : std::min(span_end, std::max(from, next->begin));
        if (to > from) {
          Result<void> punched = co_await stores_.data.punch(file, from, to - from);
          if (!punched) co_return punched;
        }
        from = next == kept.end() ? span_end : std::max(to, next->end);
      }
    }
    Result<void> synced = co_await stores_.data.sync(file);
    co_return synced;
  }

  StoreAccess stores_;
  FindingList found_;
  StoreScan seen_;
  std::map<std::pair<DataFileId, RegionIndex>, BlockSet> answered_;  // blocks of heads, from the dirty logs
  std::vector<KvMutation> changes_;
  std::vector<std::string> did_;
};

}  // namespace

Task<Result<std::vector<std::string>>> repair(StoreAccess stores) {
  Repairer repairer{stores};
  Result<std::vector<std::string>> did = co_await repairer.run();
  co_return did;
}

}  // namespace atl
