#include "sim/content.h"

#include <algorithm>
#include <cstring>

#include "base/verify.h"

namespace atl::sim {

void fill_cell(Stamp stamp, MutableBytes cell) {
  VERIFY(cell.size() == cell_bytes);
  for (size_t at = 0; at < cell_bytes; at += sizeof stamp) std::memcpy(cell.data() + at, &stamp, sizeof stamp);
}

std::optional<Stamp> read_cell(Bytes cell) {
  VERIFY(cell.size() == cell_bytes);
  Stamp stamp = 0;
  std::memcpy(&stamp, cell.data(), sizeof stamp);
  if (std::memcmp(cell.data(), cell.data() + sizeof stamp, cell_bytes - sizeof stamp) != 0) return std::nullopt;
  return stamp;
}

std::string describe(Stamp stamp) {
  if (stamp == zeros) return "zeros";
  if (stamp == 0xa5a5a5a5a5a5a5a5u) return "bytes that no store filled in";
  return "what change " + std::to_string(stamp >> 20) + " wrote into cell " + std::to_string(stamp & 0xfffff);
}

template <class Visit>
void Content::for_known(CellRange cells, Visit visit) {
  if (cells.first >= cells.end) return;
  for (auto block = blocks_.lower_bound(cells.first / cells_per_block); block != blocks_.end(); ++block) {
    const uint64_t base = block->first * cells_per_block;
    if (base >= cells.end) break;
    const uint64_t from = std::max(base, cells.first);
    const uint64_t to = std::min(base + cells_per_block, cells.end);
    for (uint64_t cell = from; cell < to; cell++) visit(cell, block->second[cell - base]);
  }
}

Content::Cell& Content::known(uint64_t cell) {
  Cell& versions = blocks_[cell / cells_per_block][cell % cells_per_block];
  if (versions.empty()) {
    versions.push_back(Version{zeros, 0, 0, never, false});
    // Only those that zero can be under way on a cell that is not known.
    for (const Change& change : changing_)
      if (change.cells.first <= cell && cell < change.cells.end)
        versions.push_back(Version{change.zero ? zeros : stamp_of(change.id, cell), change.id, never, never, false});
  }
  return versions;
}

void Content::add_versions(const Change& change) {
  if (change.zero) {
    for_known(change.cells, [&](uint64_t, Cell& cell) {
      if (!cell.empty()) cell.push_back(Version{zeros, change.id, never, never, false});
    });
  } else {
    for (uint64_t at = change.cells.first; at < change.cells.end; at++)
      known(at).push_back(Version{stamp_of(change.id, at), change.id, never, never, false});
  }
}

uint64_t Content::begin_change(CellRange cells, bool zero) {
  VERIFY(!frozen_);
  const Change change{tick(), cells, zero};
  add_versions(change);
  changing_.push_back(change);
  return change.id;
}

void Content::end_change(uint64_t id, Outcome outcome) {
  const auto found = std::find_if(changing_.begin(), changing_.end(), [&](const Change& at) { return at.id == id; });
  if (found == changing_.end()) return;  // a crash came first
  const Change change = *found;
  changing_.erase(found);
  const uint64_t now = tick();
  for_known(change.cells, [&](uint64_t, Cell& cell) {
    const auto own = std::find_if(cell.begin(), cell.end(), [&](const Version& at) { return at.began == id; });
    if (own == cell.end()) return;
    if (outcome == Outcome::not_begun) {
      cell.erase(own);
      return;
    }
    own->ended = now;
    if (outcome == Outcome::failed) return;
    for (Version& other : cell) {
      if (other.ended >= id) continue;
      other.replaced = std::min(other.replaced, now);
      if (outcome == Outcome::durable) other.gone = true;
    }
  });
}

void Content::put(uint64_t cell, Stamp stamp) {
  const uint64_t now = tick();
  blocks_[cell / cells_per_block][cell % cells_per_block] = {Version{stamp, now, now, never, false}};
}

uint64_t Content::begin_read() {
  reads_++;
  return tick();
}

std::optional<std::string> Content::end_read(uint64_t began, uint64_t first_cell, Bytes bytes, bool settled) {
  reads_--;
  const uint64_t now = tick();
  for (size_t at = 0; at + cell_bytes <= bytes.size(); at += cell_bytes) {
    const uint64_t number = first_cell + at / cell_bytes;
    const auto block = blocks_.find(number / cells_per_block);
    static const Cell none;
    const Cell& seen = block == blocks_.end() ? none : block->second[number % cells_per_block];
    const std::optional<Stamp> stamp = read_cell(bytes.subspan(at, cell_bytes));
    const bool may = seen.empty() ? stamp == zeros : std::any_of(seen.begin(), seen.end(), [&](const Version& version) {
      return version.stamp == stamp && version.replaced > began;
    });
    if (!may) return complaint(number, seen, stamp, began);
    if (seen.empty()) continue;
    Cell& cell = block->second[number % cells_per_block];
    if (frozen_ || settled) {
      std::erase_if(cell, [&](const Version& version) { return version.stamp != *stamp; });
      if (cell.size() > 1) cell.resize(1);
      continue;
    }
    const bool quiet = std::all_of(cell.begin(), cell.end(), [&](const Version& version) {
      return version.ended < began || version.replaced != never;
    });
    if (!quiet) continue;
    for (Version& version : cell)
      if (version.stamp != *stamp && version.replaced == never) version.replaced = now;
  }
  return std::nullopt;
}

std::optional<std::string> Content::may_be_zeros(uint64_t began, CellRange cells) {
  std::optional<std::string> wrong;
  for_known(cells, [&](uint64_t number, Cell& cell) {
    const bool may = cell.empty() || std::any_of(cell.begin(), cell.end(), [&](const Version& version) {
                       return version.stamp == zeros && version.replaced > began;
                     });
    if (!may && !wrong) wrong = complaint(number, cell, zeros, began);
  });
  return wrong;
}

std::vector<uint64_t> Content::known_blocks() const {
  std::vector<uint64_t> numbers;
  for (const auto& [number, block] : blocks_) numbers.push_back(number);
  return numbers;
}

std::string Content::complaint(uint64_t cell, const Cell& versions, std::optional<Stamp> found, uint64_t began) const {
  std::string words = "block " + std::to_string(cell / cells_per_block) + ", cell " +
                      std::to_string(cell % cells_per_block) + " (cell " + std::to_string(cell) + " in all) reads as " +
                      (found ? describe(*found) : "a mix of several writes");
  words += "; it may be ";
  if (versions.empty()) return words + "zeros only";
  std::vector<Stamp> may;
  bool once = false;
  for (const Version& version : versions) {
    once |= version.stamp == found;
    if (version.replaced > began) may.push_back(version.stamp);
  }
  std::sort(may.begin(), may.end());
  may.erase(std::unique(may.begin(), may.end()), may.end());
  for (size_t i = 0; i < may.size(); i++) words += (i == 0 ? "" : " or ") + describe(may[i]);
  if (once) words += ". What was found had been replaced before the read began";
  return words;
}

void Content::drop_gone(Cell& cell) const {
  std::erase_if(cell, [](const Version& version) { return version.gone; });
  if (cell.size() == 1 && cell.front().stamp == zeros && cell.front().ended != never && changing_.empty()) cell.clear();
}

void Content::flushed(uint64_t since) {
  for (auto block = blocks_.begin(); block != blocks_.end();) {
    bool empty = true;
    for (Cell& cell : block->second) {
      for (Version& version : cell)
        if (version.replaced < since) version.gone = true;
      if (reads_ == 0) drop_gone(cell);
      empty &= cell.empty();
    }
    block = empty ? blocks_.erase(block) : std::next(block);
  }
}

void Content::lost_caches() {
  const uint64_t now = tick();
  changing_.clear();
  for (auto& [number, block] : blocks_)
    for (Cell& cell : block) {
      std::erase_if(cell, [](const Version& version) { return version.gone; });
      for (Version& version : cell) {
        version.ended = std::min(version.ended, now);
        version.replaced = never;
      }
    }
}

void Content::truncate(uint64_t from) {
  const uint64_t now = tick();
  for_known({from, UINT64_MAX}, [&](uint64_t, Cell& cell) {
    if (cell.empty()) return;
    for (Version& version : cell)
      if (version.ended != never) {
        version.replaced = std::min(version.replaced, now);
        version.gone = true;
      }
    if (reads_ == 0) std::erase_if(cell, [](const Version& version) { return version.gone; });
    cell.push_back(Version{zeros, now, now, never, false});
  });
}

std::shared_ptr<Content> Content::fork(bool frozen) const {
  auto copy = std::make_shared<Content>(clock_);
  const uint64_t now = ++clock_;
  copy->frozen_ = frozen;
  for (const auto& [number, block] : blocks_)
    for (size_t i = 0; i < block.size(); i++)
      for (const Version& version : block[i])
        if (version.replaced == never)
          copy->blocks_[number][i].push_back(Version{version.stamp, now, now, never, false});
  return copy;
}

size_t Content::doubts() const {
  size_t count = 0;
  for (const auto& [number, block] : blocks_)
    for (const Cell& cell : block) {
      std::vector<Stamp> stamps;
      for (const Version& version : cell)
        if (!version.gone) stamps.push_back(version.stamp);
      std::sort(stamps.begin(), stamps.end());
      count += std::unique(stamps.begin(), stamps.end()) - stamps.begin() > 1;
    }
  return count;
}

}  // namespace atl::sim
