#include "engine/resource/resource.h"

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.h"
#include "base/mutation.h"
#include "io/page_cache_io.h"

namespace atl {
namespace {

// So many regions of zeros in a row are looked at one by one before the next one with anything in it is sought: a seek has to wait for
// another thread.
constexpr uint32_t zeros_before_seek = 4;
// What one answer about extents looks at: 16 GiB of data.
constexpr uint32_t extents_regions_max = 4096;

/// Calls visit(RegionIndex, BlockRange) for each region that blocks [first, end) of a resource touch.
template <class Visit>
void for_regions(uint64_t first, uint64_t end, Visit visit) {
  while (first < end) {
    const auto region = static_cast<uint32_t>(first / blocks_per_region);
    const uint64_t region_first = uint64_t{region} * blocks_per_region;
    const uint64_t stop = std::min(end, region_first + blocks_per_region);
    visit(RegionIndex{region},
          BlockRange{static_cast<uint32_t>(first - region_first), static_cast<uint32_t>(stop - region_first)});
    first = stop;
  }
}

/// Fills `into` from `offset` of `bytes`; what lies past their end is zeros.
void copy_out(const std::string& bytes, uint64_t offset, MutableBytes into) {
  const uint64_t from = std::min<uint64_t>(offset, bytes.size());
  const uint64_t have = std::min<uint64_t>(bytes.size() - from, into.size());
  std::memcpy(into.data(), bytes.data() + from, have);
  std::memset(into.data() + have, 0, into.size() - have);
}

}  // namespace

Result<void> judge(const ResourceSpec& spec) {
  if (spec.layers.empty()) return Error{Code::invalid, "resource " + spec.id + ": a chain has at least one layer"};
  if (spec.size_bytes > max_resource_bytes)
    return Error{Code::too_large, "resource " + spec.id + ": larger than 8 PiB"};
  if (!spec.read_only && spec.size_bytes % block_bytes != 0)
    return Error{Code::invalid, "resource " + spec.id + ": a writable resource's size is a multiple of 4096"};
  std::vector<LayerId> ids;
  for (const ChainLayer& layer : spec.layers) ids.push_back(layer.id);
  std::sort(ids.begin(), ids.end());
  if (ids.front() == LayerId::none || std::adjacent_find(ids.begin(), ids.end()) != ids.end())
    return Error{Code::invalid, "resource " + spec.id + ": layer 0, or one layer twice in the chain"};
  return {};
}

Resource::Resource(ResourceSpec spec, StoreAccess stores, Executor& home, ReadEpochs& epochs)
    : id_(std::move(spec.id)),
      read_only_(spec.read_only),
      size_bytes_(spec.size_bytes),
      stores_(stores),
      home_(home),
      epochs_(epochs),
      chain_(std::make_shared<RetainedChain>(stores.records.index(), std::move(spec.layers))),
      changes_(id_, chain_, stores, home) {}

Result<void> Resource::within(uint64_t offset, uint64_t length) const {
  if (offset <= size_bytes_ && length <= size_bytes_ - offset) return {};
  return Error{Code::out_of_range,
               "resource " + id_ + ": the request ends past its " + std::to_string(size_bytes_) + " bytes"};
}

// ---- the map ----

Task<Result<void>> Resource::resolve_region(RegionIndex region) {
  while (!map_.resolved(region)) {
    if (auto walking = resolving_.find(region); walking != resolving_.end()) {
      co_await walking->second->wait();
      continue;  // resolved now, or that walk failed and ours may not
    }
    resolving_.emplace(region, std::make_unique<Waiters>());
    const std::shared_ptr<const RetainedChain> chain = chain_;
    Result<RegionRecord> record = co_await stores_.records.resolve(chain, region);
    auto walked = resolving_.extract(region);
    // A chain that was replaced meanwhile may have been walked too late: a merge moves records into a layer that it does not have.
    if (record && chain == chain_) map_.install(region, *record);
    walked.mapped()->wake_all();
    if (!record) co_return record.error();
  }
  co_return Result<void>{};
}

/// Regions that the map does not know are sought among the records, all at once: asking for one after the other takes seconds for an
/// empty terabyte. The answer holds when it is given: whoever changes such a region resolves it first, which the map shows. That
/// does not hold for a chain that was replaced meanwhile: a merge may have moved records into a layer that it does not have.
Task<Result<uint32_t>> Resource::end_of_nothing(uint32_t from, uint32_t end) {
  VERIFY(home_.on_thread());
  from = map_.end_of_zeros(from, end);
  if (from == end || map_.resolved(RegionIndex{from})) co_return from;
  const std::shared_ptr<const RetainedChain> chain = chain_;
  Result<uint32_t> recorded = co_await stores_.records.next_recorded(chain, from, end);
  if (!recorded) co_return recorded;
  if (chain != chain_) co_return from;
  co_return map_.next_data(from, *recorded);
}

Task<Result<uint64_t>> Resource::nothing_stored(uint64_t offset, uint64_t length) {
  if (Result<void> inside = within(offset, length); !inside) co_return inside.error();
  if (length == 0) co_return uint64_t{0};
  const uint64_t end = offset + length;
  const auto regions = static_cast<uint32_t>((end + region_bytes - 1) / region_bytes);
  Result<uint32_t> next = co_await end_of_nothing(number(region_of(offset)), regions);
  if (!next) co_return next.error();
  co_return std::clamp(uint64_t{*next} * region_bytes, offset, end) - offset;
}

Task<Result<void>> Resource::resolve(uint64_t offset, uint64_t length) {
  VERIFY(home_.on_thread());
  if (length == 0) co_return Result<void>{};
  const uint32_t last = number(region_of(offset + length - 1));
  for (bool waited = true; waited;) {
    waited = false;
    for (uint32_t at = number(region_of(offset)); at <= last; at++) {
      if (map_.resolved(RegionIndex{at})) continue;
      Result<void> resolved = co_await resolve_region(RegionIndex{at});
      if (!resolved) co_return resolved;
      // A shrink may have come meanwhile, which makes regions unresolved: those before this one are looked at again.
      if (Result<void> inside = within(offset, length); !inside) co_return inside;
      waited = true;
    }
  }
  co_return Result<void>{};
}

// ---- reading ----

void Resource::plan(uint64_t offset, uint64_t length, std::vector<Segment>& segments) const {
  const uint64_t end = offset + length;
  for_regions(offset / block_bytes, (end + block_bytes - 1) / block_bytes, [&](RegionIndex region, BlockRange range) {
    const uint64_t base = uint64_t{number(region)} * region_bytes;
    map_.for_runs(region, range, [&](BlockRange run, const Source& source) {
      const uint64_t from = std::max(offset, base + uint64_t{run.first} * block_bytes);
      const uint64_t to = std::min(end, base + uint64_t{run.end} * block_bytes);
      // One data file goes on from region to region at its natural offset: one read.
      const bool same_file = !segments.empty() && source.kind == SourceKind::private_data &&
                             segments.back().source.kind == SourceKind::private_data &&
                             segments.back().source.file == source.file;
      if (same_file)
        segments.back().length += to - from;
      else
        segments.push_back(Segment{from, to - from, source});
    });
  });
}

Task<Result<void>> Resource::read_segment(const Segment& segment, MutableBytes into) {
  switch (segment.source.kind) {
    case SourceKind::none:
    case SourceKind::zero: std::memset(into.data(), 0, into.size()); break;
    case SourceKind::private_data: {
      Result<void> read = co_await stores_.data.read(segment.source.file, segment.offset, into);
      co_return read;
    }
    case SourceKind::content: {
      const Digest digest = segment.source.digest;
      if (segment.source.length <= small_content_max) {
        Result<std::optional<std::string>> small = co_await stores_.records.small_content(digest);
        if (!small) co_return small.error();
        if (*small) {
          copy_out(**small, segment.offset % region_bytes, into);
          co_return Result<void>{};
        }
      }
      // The last block's rest, past the end of the chunk.
      const uint64_t at = segment.offset % region_bytes;
      const uint64_t have =
          std::min<uint64_t>(into.size(), segment.source.length - std::min<uint64_t>(at, segment.source.length));
      std::memset(into.data() + have, 0, into.size() - have);
      if (have == 0) co_return Result<void>{};
      Result<void> read = co_await stores_.data.read_content(digest, at, into.first(have));
      // Our record says that it is there.
      if (!read && read.error().code == Code::not_found) read.error().code = Code::corrupt;
      co_return read;
    }
    case SourceKind::inline_bytes: {
      copy_out(segment.source.inline_bytes, segment.offset % region_bytes, into);
      break;
    }
  }
  co_return Result<void>{};
}

/// With `zeroes` as in read_sparse(), without it all of `into` is filled.
Task<Result<void>> Resource::read_mapped(uint64_t offset, MutableBytes into, std::vector<ZeroRun>* zeroes) {
  const ReadEpochs::Reading reading{epochs_};
  // The common case allocates nothing: all in one data file.
  const BlockRange range{static_cast<uint32_t>(offset % region_bytes / block_bytes),
                         static_cast<uint32_t>((offset % region_bytes + into.size() + block_bytes - 1) / block_bytes)};
  if (range.end <= blocks_per_region && map_.all_from(region_of(offset), range, head_file())) {
    Result<void> read = co_await stores_.data.read(head_file(), offset, into);
    co_return read;
  }
  std::vector<Segment> segments;
  plan(offset, into.size(), segments);
  if (zeroes != nullptr) {
    std::erase_if(segments, [&](const Segment& segment) {
      if (segment.source.kind != SourceKind::zero) return false;
      const uint64_t at = segment.offset - offset;
      if (!zeroes->empty() && zeroes->back().offset + zeroes->back().length == at)
        zeroes->back().length += segment.length;
      else
        zeroes->push_back({at, segment.length});
      return true;
    });
    if (segments.empty()) co_return Result<void>{};
  }
  if (segments.size() == 1) {
    const Segment& only = segments.front();
    Result<void> read = co_await read_segment(only, into.subspan(only.offset - offset, only.length));
    co_return read;
  }
  std::vector<Task<Result<void>>> parts;
  parts.reserve(segments.size());
  for (const Segment& segment : segments)
    parts.push_back(read_segment(segment, into.subspan(segment.offset - offset, segment.length)));
  Result<void> read = co_await when_all(std::move(parts));
  co_return read;
}

Task<Result<void>> Resource::read(uint64_t offset, MutableBytes into) {
  VERIFY(home_.on_thread());
  if (Result<void> inside = within(offset, into.size()); !inside) co_return inside;
  if (into.empty()) co_return Result<void>{};
  Result<void> resolved = co_await resolve(offset, into.size());
  if (!resolved) co_return resolved;
  Result<void> read = co_await read_mapped(offset, into);
  co_return read;
}

Task<Result<void>> Resource::read_sparse(uint64_t offset, MutableBytes into, std::vector<ZeroRun>& zeroes) {
  VERIFY(home_.on_thread() && zeroes.empty());
  if (Result<void> inside = within(offset, into.size()); !inside) co_return inside;
  if (into.empty()) co_return Result<void>{};
  Result<void> resolved = co_await resolve(offset, into.size());
  if (!resolved) co_return resolved;
  Result<void> read = co_await read_mapped(offset, into, &zeroes);
  co_return read;
}

/// Where one region's part of one file has all of the range, and all of it is data.
std::optional<FileRange> Resource::locate(uint64_t offset, uint64_t length) const {
  const RegionIndex region = region_of(offset);
  const uint64_t inside = offset % region_bytes;
  if (length == 0 || !within(offset, length) || inside + length > region_bytes || !map_.resolved(region))
    return std::nullopt;
  const BlockRange range{static_cast<uint32_t>(inside / block_bytes),
                         static_cast<uint32_t>((inside + length + block_bytes - 1) / block_bytes)};
  const Source* source = nullptr;
  uint32_t runs = 0;
  map_.for_runs(region, range, [&](BlockRange, const Source& from) {
    source = &from;
    runs++;
  });
  if (runs != 1) return std::nullopt;
  if (source->kind == SourceKind::private_data) return stores_.data.locate(source->file, offset, length);
  if (source->kind == SourceKind::content && source->length > small_content_max && inside + length <= source->length)
    return stores_.data.locate_content(source->digest, inside);
  return std::nullopt;
}

bool Resource::cached(uint64_t offset, uint64_t length) {
  VERIFY(home_.on_thread());
  const std::optional<FileRange> range = locate(offset, length);
  if (!range || !in_page_cache(range->fd, range->offset, length)) return false;
  stores_.data.count_sent(length);  // once, here: lend() is asked anew whenever the socket was full
  return true;
}

std::optional<FileRange> Resource::lend(uint64_t offset, uint64_t length) {
  VERIFY(home_.on_thread());
  return locate(offset, length);
}

Task<Result<void>> Resource::cache(uint64_t offset, uint64_t length) {
  if (Result<void> inside = within(offset, length); !inside) co_return inside;
  Result<void> resolved = co_await resolve(offset, length);
  co_return resolved;
}

Task<Result<std::vector<Extent>>> Resource::extents(uint64_t offset, uint64_t length, uint32_t max_extents) {
  VERIFY(home_.on_thread() && length > 0 && max_extents > 0);
  if (Result<void> inside = within(offset, length); !inside) co_return inside.error();
  std::vector<Extent> found;
  const auto add = [&](uint64_t bytes, bool zero) {
    if (!found.empty() && found.back().zero == zero) {
      found.back().length += bytes;
      return true;
    }
    if (found.size() == max_extents) return false;
    found.push_back(Extent{bytes, zero, zero});
    return true;
  };
  const uint64_t end = offset + length;
  const auto regions = static_cast<uint32_t>((end + region_bytes - 1) / region_bytes);
  uint32_t zeros = 0;  // regions in a row
  // Region by region: a query over a whole terabyte that is cut short by max_extents must not resolve it all.
  uint64_t at = offset;
  for (uint32_t looked_at = 0; at < end && looked_at < extents_regions_max; looked_at++) {
    uint64_t to = std::min(end, (at / region_bytes + 1) * region_bytes);
    if (zeros == zeros_before_seek) {
      Result<uint32_t> next = co_await end_of_nothing(number(region_of(at)), regions);
      if (!next) co_return next.error();
      to = std::clamp(uint64_t{*next} * region_bytes, at, end);
      VERIFY(add(to - at, true));  // goes on what is there
      at = to;
      zeros = 0;
      continue;
    }
    Result<void> resolved = co_await resolve(at, to - at);
    if (!resolved) co_return resolved.error();
    std::vector<Segment> segments;
    plan(at, to - at, segments);
    for (const Segment& segment : segments)
      if (!add(segment.length, segment.source.kind == SourceKind::zero)) co_return found;
    zeros = segments.size() == 1 && segments.front().source.kind == SourceKind::zero ? zeros + 1 : 0;
    at = to;
  }
  co_return found;
}

// ---- changing ----

Task<Result<void>> Resource::begin_change(uint64_t offset, uint64_t length) {
  VERIFY(home_.on_thread() && !read_only_);
  while (held_) co_await released_.wait();
  if (Result<void> writable = changes_.writable(); !writable) co_return writable;
  if (Result<void> inside = within(offset, length); !inside) co_return inside;
  changes_in_flight_++;
  if (!changes_.prepared()) {
    Result<void> prepared = co_await changes_.prepare();
    if (!prepared) {
      end_change();
      co_return prepared;
    }
  }
  co_return Result<void>{};
}

void Resource::end_change() {
  if (--changes_in_flight_ == 0) drained_.wake_all();
}

Task<Result<void>> Resource::end_with(Result<void> result, WriteFlags flags) {
  end_change();
  if (result && flags.fua) result = co_await flush();
  co_return result;
}

void Resource::own(RegionIndex region, BlockRange range, HeadChanges::Marks& marks) {
  map_.assign(region, range, Source::private_data(head_file()));
  marks.own(region, range);
}

Task<Result<void>> Resource::write(uint64_t offset, Bytes from, WriteFlags flags) {
  Result<void> result = co_await begin_change(offset, from.size());
  if (!result) co_return result;
  result = co_await resolve(offset, from.size());
  if (result) {
    const uint64_t end = offset + from.size();
    const uint64_t whole_from = (offset + block_bytes - 1) / block_bytes * block_bytes;
    const uint64_t whole_to = end / block_bytes * block_bytes;
    if (whole_from > whole_to) {  // inside one block
      result = co_await write_partial(offset, from);
    } else {
      if (whole_from < whole_to)
        result = co_await write_blocks(whole_from, from.subspan(whole_from - offset, whole_to - whole_from));
      if (result && offset < whole_from) result = co_await write_partial(offset, from.first(whole_from - offset));
      if (result && whole_to < end) result = co_await write_partial(whole_to, from.last(end - whole_to));
    }
  }
  result = co_await end_with(std::move(result), flags);
  co_return result;
}

Task<Result<void>> Resource::write_blocks(uint64_t offset, Bytes from) {
  const uint64_t first = offset / block_bytes;
  const uint64_t end = first + from.size() / block_bytes;
  BlockLocks::Claim claim{locks_, first, end, false};
  while (!locks_.try_acquire(claim)) co_await locks_.changed();
  DataFileId file = head_file();
  if (mutated(Mutation::overwrite_sealed))
    map_.for_runs(
        region_of(offset),
        {static_cast<uint32_t>(first % blocks_per_region), static_cast<uint32_t>(first % blocks_per_region) + 1},
        [&](BlockRange, const Source& source) {
          if (source.kind == SourceKind::private_data) file = source.file;
        });
  Result<void> written = co_await stores_.data.write(file, offset, from);
  changes_.touched(written);
  if (!written || file != head_file()) co_return written;
  if (!changes_.has_room(first, end)) {
    Result<void> room = co_await changes_.make_room(first, end);
    if (!room) co_return room;
  }
  HeadChanges::Marks marks{changes_};
  for_regions(first, end, [&](RegionIndex region, BlockRange range) {
    if (!map_.all_from(region, range, head_file())) own(region, range, marks);
  });
  co_return Result<void>{};
}

Task<Result<void>> Resource::write_partial(uint64_t offset, Bytes from) {
  if (from.empty()) co_return Result<void>{};
  const uint64_t block = offset / block_bytes;
  VERIFY((offset + from.size() - 1) / block_bytes == block);
  const RegionIndex region = region_of(offset);
  const auto in_region = static_cast<uint32_t>(block % blocks_per_region);
  const BlockRange range{in_region, in_region + 1};
  const uint32_t alignment = stores_.data.write_alignment();
  const bool aligned = offset % alignment == 0 && from.size() % alignment == 0;

  BlockLocks::Claim claim{locks_, block, block + 1, true};
  while (!locks_.try_acquire(claim)) co_await locks_.changed();
  if (aligned && map_.all_from(region, range, head_file())) {
    Result<void> written = co_await stores_.data.write(head_file(), offset, from);
    changes_.touched(written);
    co_return written;
  }
  const AlignedBuffer whole{block_bytes};
  Result<void> read = co_await read_mapped(block * block_bytes, whole.bytes());
  if (!read) co_return read;
  if (mutated(Mutation::partial_over_zeros)) std::memset(whole.data(), 0, block_bytes);
  std::memcpy(whole.data() + offset % block_bytes, from.data(), from.size());
  Result<void> written = co_await stores_.data.write(head_file(), block * block_bytes, whole.bytes());
  changes_.touched(written);
  if (!written) co_return written;
  if (!changes_.has_room(block, block + 1)) {
    Result<void> room = co_await changes_.make_room(block, block + 1);
    if (!room) co_return room;
  }
  HeadChanges::Marks marks{changes_};
  if (!map_.all_from(region, range, head_file())) own(region, range, marks);
  co_return Result<void>{};
}

// ---- making durable ----

Task<Result<void>> Resource::flush() {
  VERIFY(home_.on_thread());
  if (read_only_) co_return Result<void>{};
  Result<void> flushed = co_await changes_.flush();
  co_return flushed;
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

// ---- a new head, a shorter chain ----

void Resource::resume(uint64_t size_bytes, std::vector<ChainLayer> layers) {
  VERIFY(home_.on_thread() && held_ && !layers.empty() && changes_in_flight_ == 0);
  if (layers.front().id != head()) changes_.next_head();
  if (size_bytes < size_bytes_ && !mutated(Mutation::stale_after_shrink)) {
    // What lay beyond the new end must not come back from the map when the resource grows again.
    map_.forget(static_cast<uint32_t>(size_bytes / region_bytes),
                static_cast<uint32_t>((size_bytes_ + region_bytes - 1) / region_bytes));
  }
  size_bytes_ = size_bytes;
  if (layers != chain_->layers()) chain_ = std::make_shared<RetainedChain>(stores_.records.index(), std::move(layers));
  held_ = false;
  released_.wake_all();
}

void Resource::unlink(LayerId parent, LayerId child, uint64_t child_limit_blocks) {
  VERIFY(home_.on_thread());
  std::vector<ChainLayer> layers = chain_->layers();
  for (size_t i = 0; i + 1 < layers.size(); i++)
    if (layers[i].id == child && layers[i + 1].id == parent) {
      layers[i].parent_limit_blocks = child_limit_blocks;
      layers.erase(layers.begin() + static_cast<ptrdiff_t>(i) + 1);
      chain_ = std::make_shared<RetainedChain>(stores_.records.index(), std::move(layers));
      return;
    }
}

}  // namespace atl
