#include "engine/resource/region_map.h"

#include <algorithm>

namespace atl {

// Source id 0 is zeros for ever: the source of everything that was never written.
RegionMap::RegionMap() { table_.push_back(Interned{Source::zero(), 1}); }

RegionMap::~RegionMap() {
  for (auto& page : pages_)
    if (page)
      for (uint64_t word : *page)
        if (word != 0 && !is_uniform(word)) delete &mixed_of(word);
}

uint64_t& RegionMap::word_at(RegionIndex region) {
  const uint32_t page = number(region) / regions_per_page;
  if (page >= pages_.size()) pages_.resize(page + 1);
  if (!pages_[page]) pages_[page] = std::make_unique<Page>();
  return (*pages_[page])[number(region) % regions_per_page];
}

RegionMap::SourceId RegionMap::intern(const Source& source) {
  if (source.kind == SourceKind::zero || source.kind == SourceKind::none) {
    table_[0].references++;
    return 0;
  }
  if (source.kind == SourceKind::private_data)
    if (auto found = files_.find(source.file); found != files_.end()) {
      table_[found->second].references++;
      return found->second;
    }
  SourceId id = 0;
  if (free_.empty()) {
    id = static_cast<SourceId>(table_.size());
    table_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  table_[id] = Interned{source, 1};
  if (source.kind == SourceKind::private_data) files_[source.file] = id;
  return id;
}

void RegionMap::unreference(SourceId id) {
  Interned& entry = table_[id];
  VERIFY(entry.references > 0);
  if (--entry.references > 0 || id == 0) return;
  if (entry.source.kind == SourceKind::private_data) files_.erase(entry.source.file);
  entry.source = Source{};
  free_.push_back(id);
}

void RegionMap::clear(uint64_t& word) {
  if (word == 0) return;
  if (is_uniform(word)) {
    unreference(uniform_source(word));
  } else {
    Mixed* mixed = &mixed_of(word);
    for (SourceId id : mixed->sources) unreference(id);
    delete mixed;
    mixed_regions_--;
  }
  word = 0;
}

template <class Skip>
uint32_t RegionMap::first_not(uint32_t from, uint32_t end, Skip skip) const {
  while (from < end) {
    const uint32_t page = from / regions_per_page;
    const auto page_end = static_cast<uint32_t>(std::min<uint64_t>(end, (uint64_t{page} + 1) * regions_per_page));
    if (page >= pages_.size()) return skip(0) ? end : from;
    if (!pages_[page]) {
      if (!skip(0)) return from;
      from = page_end;
      continue;
    }
    for (const Page& words = *pages_[page]; from < page_end; from++)
      if (!skip(words[from % regions_per_page])) return from;
  }
  return end;
}

uint32_t RegionMap::end_of_zeros(uint32_t from, uint32_t end) const {
  return first_not(from, end, [](uint64_t word) { return word == zeros_word; });
}

uint32_t RegionMap::next_data(uint32_t from, uint32_t end) const {
  return first_not(from, end, [](uint64_t word) { return word == 0 || word == zeros_word; });
}

void RegionMap::forget(uint32_t first, uint32_t end) {
  const auto unresolved = [](uint64_t word) { return word == 0; };
  while ((first = first_not(first, end, unresolved)) < end) clear(word_at(RegionIndex{first++}));
}

void RegionMap::install(RegionIndex region, const RegionRecord& record) {
  uint64_t& word = word_at(region);
  clear(word);
  word = uint64_t{intern(Source::zero())} << 2 | 1;
  for (const auto& [source, blocks] : record.sources())
    blocks.for_runs([&](BlockRange run) { assign(region, run, source); });
}

bool RegionMap::all_from(RegionIndex region, BlockRange range, DataFileId file) const {
  const auto found = files_.find(file);
  if (found == files_.end()) return false;
  const uint64_t at = word(region);
  VERIFY(at != 0);
  if (is_uniform(at)) return uniform_source(at) == found->second;
  const Mixed& mixed = mixed_of(at);
  for (uint32_t block = range.first; block < range.end; block++)
    if (mixed.sources[mixed.slot(block)] != found->second) return false;
  return true;
}

void RegionMap::Mixed::set_slot(BlockRange range, uint32_t slot) {
  if (!wide && slot > UINT8_MAX) {
    wide = std::make_unique<std::array<uint16_t, blocks_per_region>>();
    std::copy(narrow.begin(), narrow.end(), wide->begin());
  }
  if (wide)
    std::fill(wide->begin() + range.first, wide->begin() + range.end, static_cast<uint16_t>(slot));
  else
    std::fill(narrow.begin() + range.first, narrow.begin() + range.end, static_cast<uint8_t>(slot));
}

void RegionMap::assign(RegionIndex region, BlockRange range, const Source& source) {
  if (range.count() == 0) return;
  uint64_t& word = word_at(region);
  VERIFY(word != 0 && range.end <= blocks_per_region);
  const SourceId id = intern(source);
  if (range.count() == blocks_per_region) {
    clear(word);
    word = uint64_t{id} << 2 | 1;
    return;
  }
  if (is_uniform(word)) {
    if (uniform_source(word) == id) {
      unreference(id);
      return;
    }
    auto* mixed = new Mixed{};
    mixed->sources.push_back(uniform_source(word));
    word = reinterpret_cast<uint64_t>(mixed) | 2;
    mixed_regions_++;
  }
  Mixed& mixed = mixed_of(word);
  auto slot = std::find(mixed.sources.begin(), mixed.sources.end(), id);
  if (slot == mixed.sources.end()) {
    if (mixed.sources.size() == UINT8_MAX + 1 || mixed.sources.size() == 2 * blocks_per_region) {
      tidy(word);  // overwritten sources may have left their slots
      if (is_uniform(word)) {
        unreference(id);
        assign(region, range, source);
        return;
      }
    }
    slot = mixed.sources.insert(mixed.sources.end(), id);
  } else {
    unreference(id);  // the region refers to it already
  }
  mixed.set_slot(range, static_cast<uint32_t>(slot - mixed.sources.begin()));
  if (mixed.slot(0) == mixed.slot(blocks_per_region - 1) && mixed.slot(0) == mixed.slot(range.first)) tidy(word);
}

void RegionMap::tidy(uint64_t& word) {
  Mixed& mixed = mixed_of(word);
  bool uniform = true;
  std::vector<bool> used(mixed.sources.size());
  for (uint32_t block = 0; block < blocks_per_region; block++) {
    used[mixed.slot(block)] = true;
    uniform &= mixed.slot(block) == mixed.slot(0);
  }
  if (uniform) {
    const SourceId id = mixed.sources[mixed.slot(0)];
    table_[id].references++;
    clear(word);
    word = uint64_t{id} << 2 | 1;
    return;
  }
  std::vector<uint32_t> moved(mixed.sources.size());
  std::vector<SourceId> kept;
  for (size_t slot = 0; slot < used.size(); slot++) {
    if (used[slot]) {
      moved[slot] = static_cast<uint32_t>(kept.size());
      kept.push_back(mixed.sources[slot]);
    } else {
      unreference(mixed.sources[slot]);
    }
  }
  if (kept.size() == mixed.sources.size()) return;
  std::array<uint32_t, blocks_per_region> slots{};
  for (uint32_t block = 0; block < blocks_per_region; block++) slots[block] = moved[mixed.slot(block)];
  mixed.sources = std::move(kept);
  if (mixed.sources.size() <= UINT8_MAX) mixed.wide.reset();
  for (uint32_t block = 0; block < blocks_per_region; block++)
    mixed.set_slot(BlockRange{block, block + 1}, slots[block]);
}

size_t RegionMap::memory_bytes() const {
  size_t bytes = table_.size() * sizeof(Interned) + mixed_regions_ * sizeof(Mixed);
  for (const auto& page : pages_)
    if (page) bytes += sizeof(Page);
  return bytes;
}

}  // namespace atl
