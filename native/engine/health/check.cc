#include "engine/health/check.h"

#include <algorithm>

#include "base/aligned_buffer.h"
#include "engine/health/reread_chunk.h"
#include "engine/health/store_scan.h"

namespace atl {
namespace {

// File systems allocate a little beside what was written: extent trees, tails, preallocation.
constexpr uint64_t surplus_bytes_min = 256 << 10;

class Checker {
 public:
  Checker(StoreAccess stores, CheckOptions options) : stores_(stores), options_(std::move(options)) {}

  Task<Result<CheckReport>> run() {
    Executor& home = Executor::here();
    co_await stores_.records.readers().schedule();
    Result<StoreScan> scanned = scan_store(stores_.records.kv(), found_);
    if (scanned) {
      seen_ = std::move(*scanned);
      compare_layers();
      compare_counts();
      compare_garbage();
    }
    co_await home.schedule();
    if (!scanned) co_return scanned.error();
    Result<void> done = co_await files();
    if (done) done = co_await chunks();
    co_await stores_.records.readers().schedule();
    if (done) done = find_places();
    co_await home.schedule();
    if (!done) co_return done.error();
    report_.trusted = seen_.trusted;
    report_.findings = found_.take();
    co_return std::move(report_);
  }

 private:
  void compare_layers() {
    if (!options_.layers_known) return;
    const std::set<LayerId> known(options_.layers.begin(), options_.layers.end());
    for (LayerId layer : seen_.layers)
      if (!known.contains(layer))
        found_.odd(FindingKind::layer_unknown,
                   "layer " + std::to_string(number(layer)) + " has records but is not in the catalog", layer);
  }

  /// A count below the truth frees data that is in use: fatal. One above it only keeps space.
  void compare(const std::string& name, uint64_t counted, const std::optional<uint64_t>& stored) {
    if (!stored || *stored == counted) return;
    std::string words =
        name + ": " + std::to_string(counted) + " records mention it, its count says " + std::to_string(*stored);
    if (*stored < counted)
      found_.fatal(FindingKind::count_low, std::move(words));
    else
      found_.odd(FindingKind::count_high, std::move(words));
  }

  void compare_counts() {
    const auto stored = [](const auto& counts, const auto& id) {
      const auto found = counts.find(id);
      return found == counts.end() ? std::optional<uint64_t>{0} : found->second;
    };
    for (const auto& [file, mentions] : seen_.files)
      compare(file_name(file), mentions, stored(seen_.file_counts, file));
    for (const auto& [file, count] : seen_.file_counts)
      if (!seen_.files.contains(file)) compare(file_name(file), 0, count);
    for (const auto& [digest, chunk] : seen_.chunks)
      compare(chunk_name(digest), chunk.mentions, stored(seen_.chunk_counts, digest));
    for (const auto& [digest, count] : seen_.chunk_counts)
      if (!seen_.chunks.contains(digest)) compare(chunk_name(digest), 0, count);
  }

  void compare_garbage() {
    for (DataFileId file : seen_.garbage_files)
      if (seen_.files.contains(file))
        found_.fatal(FindingKind::garbage_in_use, file_name(file) + " is in use and is marked as garbage");
    for (const Digest& digest : seen_.garbage_chunks)
      if (seen_.chunks.contains(digest))
        found_.fatal(FindingKind::garbage_in_use, chunk_name(digest) + " is in use and is marked as garbage");
    for (const GarbagePunch& punch : seen_.punches)
      if (auto used = seen_.blocks.find({punch.file, punch.region});
          used != seen_.blocks.end() && !(used->second & punch.blocks).empty())
        found_.fatal(FindingKind::garbage_in_use, file_name(punch.file) + ", region " +
                                                      std::to_string(number(punch.region)) +
                                                      ": blocks in use are marked as garbage");
  }

  Task<Result<void>> files() {
    std::set<DataFileId> there;
    Result<void> listed = co_await stores_.data.list_files([&there](DataFileId file) { there.insert(file); });
    if (!listed) co_return listed;
    for (DataFileId file : there)
      if (!seen_.files.contains(file) && !seen_.may_be_there(file))
        found_.odd(FindingKind::file_unmentioned, file_name(file) + " is not mentioned by any record");
    auto at = seen_.blocks.begin();
    for (const auto& [file, mentions] : seen_.files) {
      auto end = at;
      while (end != seen_.blocks.end() && end->first.first == file) ++end;
      if (there.contains(file)) {
        Result<void> judged = co_await judge_file(file, at, end);
        if (!judged) co_return judged;
      } else {
        missing_files_[file] = at_finding();
        seen_.trusted = false;  // what nobody mentions may be what is missing, under another name
        found_.fatal(FindingKind::file_missing, file_name(file) + " is missing: its blocks cannot be read");
      }
      at = end;
    }
    co_return Result<void>{};
  }

  using BlocksAt = std::map<std::pair<DataFileId, RegionIndex>, BlockSet>::const_iterator;

  Task<Result<void>> judge_file(DataFileId file, BlocksAt at, BlocksAt end) {
    Result<std::vector<DataStore::Span>> spans = co_await stores_.data.spans(file);
    if (!spans) co_return spans.error();
    Result<uint64_t> allocated = co_await stores_.data.allocated_bytes(file);
    if (!allocated) co_return allocated.error();
    uint64_t mentioned = 0;
    std::map<RegionIndex, BlockSet> cut_off;
    uint32_t lost = 0;
    for (; at != end; ++at) {
      const auto& [where, blocks] = *at;
      mentioned += uint64_t{blocks.count()} * block_bytes;
      const BlockSet outside = blocks - within(*spans, where.second);
      if (outside.empty()) continue;
      lost += outside.count();
      cut_off[where.second] = outside;
    }
    if (lost > 0) {
      short_files_[file] = {at_finding(), std::move(cut_off)};
      found_.fatal(FindingKind::file_short, file_name(file) + " is cut short: " + std::to_string(lost) +
                                                " blocks of its records lie past its end, and cannot be read");
    }
    report_.data_bytes_mentioned += mentioned;
    report_.data_bytes_allocated += *allocated;
    if (options_.space && *allocated > mentioned + surplus_bytes_min)
      found_.odd(FindingKind::space_unaccounted, file_name(file) + " takes " + std::to_string(*allocated) +
                                                     " bytes of the disk, its records account for " +
                                                     std::to_string(mentioned));
    co_return Result<void>{};
  }

  static BlockSet within(const std::vector<DataStore::Span>& spans, RegionIndex region) {
    const uint64_t base = uint64_t{number(region)} * region_bytes;
    BlockSet inside;
    for (const auto& [begin, end] : spans) {
      if (end <= base || begin >= base + region_bytes) continue;
      const uint64_t first = begin <= base ? 0 : (begin - base) / block_bytes;
      inside.add(BlockRange{static_cast<uint32_t>(first),
                            static_cast<uint32_t>(std::min<uint64_t>(end - base, region_bytes) / block_bytes)});
    }
    return inside;
  }

  Task<Result<void>> chunks() {
    std::set<Digest> there;
    for (const auto& [digest, length] : seen_.small_chunks) there.insert(digest);
    Result<void> listed = co_await stores_.data.list_content([&there](const Digest& digest) { there.insert(digest); });
    if (!listed) co_return listed;
    for (const Digest& digest : there)
      if (!seen_.chunks.contains(digest) && !seen_.may_be_there(digest))
        found_.odd(FindingKind::chunk_unmentioned, chunk_name(digest) + " is not mentioned by any record");
    for (const auto& [digest, chunk] : seen_.chunks) {
      report_.chunks++;
      report_.chunk_bytes += chunk.length;
      if (!there.contains(digest)) {
        bad_chunk(digest, {FindingKind::chunk_missing, chunk_name(digest) + " is missing"});
        seen_.trusted = false;
        continue;
      }
      const auto small = seen_.small_chunks.find(digest);
      Result<uint64_t> length = uint64_t{0};
      if (small != seen_.small_chunks.end())
        length = small->second;
      else
        length = co_await stores_.data.content_bytes(digest);
      if (!length) co_return length.error();
      if (*length != chunk.length) {
        bad_chunk(digest,
                  {FindingKind::chunk_corrupt, chunk_name(digest) + " does not have the bytes of its digest: it is " +
                                                   std::to_string(*length) + " bytes long, its records say " +
                                                   std::to_string(chunk.length)});
        continue;
      }
      if (options_.data) {
        Result<void> verified = co_await verify(digest);
        if (!verified) co_return verified;
      }
    }
    co_return Result<void>{};
  }

  Task<Result<void>> verify(const Digest& digest) {
    Result<RereadChunk> read = co_await reread_chunk(stores_, stores_.records.readers(), digest, buffer_.bytes());
    if (!read) co_return read.error();
    if (!read->fault || read->fault->kind == FindingKind::chunk_corrupt) report_.chunks_verified++;
    if (read->fault) bad_chunk(digest, std::move(*read->fault));
    co_return Result<void>{};
  }

  void bad_chunk(const Digest& digest, ChunkFault fault) {
    bad_chunks_[digest] = at_finding();
    found_.fatal(fault.kind, std::move(fault.message));
  }

  /// The place in the list of the finding that comes next (past its end when the list is full).
  size_t at_finding() { return found_.all().size(); }

  /// Whose bytes they are, which the scan did not know yet.
  Result<void> find_places() {
    Wanted wanted;
    for (const auto& [file, index] : missing_files_) wanted.files.insert(file);
    for (const auto& [file, cut] : short_files_) wanted.files.insert(file);
    for (const auto& [digest, index] : bad_chunks_) wanted.chunks.insert(digest);
    if (wanted.files.empty() && wanted.chunks.empty()) return {};
    Result<Places> places = locate(stores_.records.kv(), wanted);
    if (!places) return places.error();
    const auto give = [this](size_t index, std::vector<Place> to) {
      if (index >= found_.all().size()) return;
      Finding& finding = found_.all()[index];
      if (!to.empty()) finding.layer = to.front().layer;
      finding.places = std::move(to);
    };
    for (const auto& [file, index] : missing_files_) give(index, std::move(places->files[file]));
    for (const auto& [digest, index] : bad_chunks_) give(index, std::move(places->chunks[digest]));
    for (const auto& [file, cut] : short_files_) {
      std::vector<Place> hit;
      for (Place& place : places->files[file])
        if (auto outside = cut.blocks.find(place.region); outside != cut.blocks.end()) {
          place.blocks &= outside->second;
          if (!place.blocks.empty()) hit.push_back(std::move(place));
        }
      give(cut.finding, std::move(hit));
    }
    return {};
  }

  struct CutOff {
    size_t finding = 0;
    std::map<RegionIndex, BlockSet> blocks;
  };

  StoreAccess stores_;
  CheckOptions options_;
  const AlignedBuffer buffer_{region_bytes + block_bytes};
  StoreScan seen_;
  FindingList found_;
  CheckReport report_;
  std::map<DataFileId, size_t> missing_files_;
  std::map<DataFileId, CutOff> short_files_;
  std::map<Digest, size_t> bad_chunks_;
};

}  // namespace

Task<Result<CheckReport>> examine(StoreAccess stores, CheckOptions options) {
  Checker checker{stores, std::move(options)};
  Result<CheckReport> report = co_await checker.run();
  co_return report;
}

Task<Result<std::vector<Finding>>> check(StoreAccess stores, CheckOptions options) {
  Result<CheckReport> report = co_await examine(stores, std::move(options));
  if (!report) co_return report.error();
  co_return std::move(report->findings);
}

Task<Result<BlockSet>> record_blocks_of(StoreAccess stores, LayerId layer, RegionIndex region) {
  Executor& home = Executor::here();
  co_await stores.records.readers().schedule();
  auto value = stores.records.kv().get(keys::record(layer, region), nullptr);
  co_await home.schedule();
  if (!value) co_return value.error();
  if (!value->has_value()) co_return BlockSet{};
  const auto record = RegionRecord::decode(**value);
  co_return record ? record->supplied() : BlockSet{};
}

}  // namespace atl
