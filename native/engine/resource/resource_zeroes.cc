// resource_zeroes.cc: WRITE_ZEROES and TRIM: blocks that read as zeros afterwards, and give their space back where that is asked for.
#include <algorithm>
#include <array>

#include "engine/resource/resource.h"

namespace atl {

Task<Result<void>> Resource::zero_region(RegionIndex region, BlockRange range, bool keep_space) {
  const uint64_t first = uint64_t{number(region)} * blocks_per_region + range.first;
  // Alone on its blocks: a write that came between the punch (or the look at the map) and the map's change would stay allocated, and
  // nothing would say so.
  BlockLocks::Claim claim{locks_, first, first + range.count(), true};
  while (!locks_.try_acquire(claim)) co_await locks_.changed();
  BlockSet own_blocks;
  BlockSet others;
  map_.for_runs(region, range, [&](BlockRange run, const Source& source) {
    if (source.kind == SourceKind::zero) return;
    const bool ours = source.kind == SourceKind::private_data && source.file == head_file();
    (ours ? own_blocks : others).add(run);
  });
  // What the head's file does not have is a record without data in any case: a copy-on-write store cannot promise space, for the next
  // snapshot would take it away again.
  const BlockSet gone = keep_space ? others : own_blocks | others;
  if (own_blocks.empty() && others.empty()) co_return Result<void>{};
  // Zeros over an ancestor's blocks free nothing and make records.
  if (!others.empty() && stores_.records.kv().low_on_space())
    co_return Error{Code::no_space, "records: only the space reserve is left"};
  // Our own blocks are zeroed or punched where they lie, at once: the record that maps them may still be the durable one, and then a
  // crash shows zeros, which is what was asked for.
  std::vector<BlockRange> runs;
  own_blocks.for_runs([&](BlockRange run) { runs.push_back(run); });
  for (const BlockRange& run : runs) {
    const uint64_t at = uint64_t{number(region)} * region_bytes + uint64_t{run.first} * block_bytes;
    const uint64_t bytes = uint64_t{run.count()} * block_bytes;
    Result<void> zeroed;
    if (keep_space)
      zeroed = co_await stores_.data.write_zeroes(head_file(), at, bytes);
    else
      zeroed = co_await stores_.data.punch(head_file(), at, bytes);
    changes_.touched(zeroed);
    if (!zeroed) co_return zeroed;
  }
  if (gone.empty()) co_return Result<void>{};
  if (!changes_.has_room(first, first + range.count())) {
    Result<void> room = co_await changes_.make_room(first, first + range.count());
    if (!room) co_return room;
  }
  HeadChanges::Marks marks{changes_};
  gone.for_runs([&](BlockRange run) { map_.assign(region, run, Source::zero()); });
  marks.zero(region, gone);
  co_return Result<void>{};
}

Task<Result<void>> Resource::zero_blocks(uint64_t first_block, uint64_t end_block, bool keep_space) {
  while (first_block < end_block) {
    const auto region = static_cast<uint32_t>(first_block / blocks_per_region);
    const uint64_t region_first = uint64_t{region} * blocks_per_region;
    const uint64_t stop = std::min(end_block, region_first + blocks_per_region);
    Result<void> done = co_await resolve_region(RegionIndex{region});
    if (!done) co_return done;
    const BlockRange range{static_cast<uint32_t>(first_block - region_first),
                           static_cast<uint32_t>(stop - region_first)};
    done = co_await zero_region(RegionIndex{region}, range, keep_space);
    if (!done) co_return done;
    first_block = stop;
  }
  co_return Result<void>{};
}

/// A part of one block.
Task<Result<void>> Resource::zero_partial(uint64_t offset, uint64_t length) {
  static constexpr std::array<std::byte, block_bytes> zeros{};
  if (length == 0) co_return Result<void>{};
  Result<void> result = co_await resolve(offset, length);
  if (!result) co_return result;
  const auto block = static_cast<uint32_t>(offset % region_bytes / block_bytes);
  bool zero = false;
  map_.for_runs(region_of(offset), {block, block + 1},
                [&](BlockRange, const Source& source) { zero = source.kind == SourceKind::zero; });
  if (!zero) result = co_await write_partial(offset, Bytes{zeros}.first(length));
  co_return result;
}

Task<Result<void>> Resource::write_zeroes(uint64_t offset, uint64_t length, WriteFlags flags) {
  Result<void> result = co_await begin_change(offset, length);
  if (!result) co_return result;
  const uint64_t end = offset + length;
  const uint64_t whole_from = (offset + block_bytes - 1) / block_bytes * block_bytes;
  const uint64_t whole_to = end / block_bytes * block_bytes;
  if (whole_from > whole_to) {
    result = co_await zero_partial(offset, length);
  } else {
    result = co_await zero_partial(offset, whole_from - offset);
    if (result) result = co_await zero_blocks(whole_from / block_bytes, whole_to / block_bytes, flags.no_hole);
    if (result) result = co_await zero_partial(whole_to, end - whole_to);
  }
  result = co_await end_with(std::move(result), flags);
  co_return result;
}

Task<Result<void>> Resource::trim(uint64_t offset, uint64_t length, WriteFlags flags) {
  Result<void> result = co_await begin_change(offset, length);
  if (!result) co_return result;
  const uint64_t first = (offset + block_bytes - 1) / block_bytes;
  const uint64_t end = (offset + length) / block_bytes;
  if (first < end) result = co_await zero_blocks(first, end, false);
  result = co_await end_with(std::move(result), flags);
  co_return result;
}

}  // namespace atl
