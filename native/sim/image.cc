#include "sim/image.h"

#include <algorithm>
#include <cstring>

namespace atl::sim {
namespace {

/// Calls visit(block, offset in it, offset in the range, length) for each block of [offset, offset + length).
template <class Visit>
void for_blocks(uint64_t offset, uint64_t length, Visit visit) {
  for (uint64_t done = 0; done < length;) {
    const uint64_t at = offset + done;
    const uint64_t inside = at % block_bytes;
    const uint64_t count = std::min(length - done, block_bytes - inside);
    visit(at / block_bytes, inside, done, count);
    done += count;
  }
}

}  // namespace

void Image::read(uint64_t offset, MutableBytes into) const {
  for_blocks(offset, into.size(), [&](uint64_t block, uint64_t inside, uint64_t at, uint64_t count) {
    const auto found = blocks_.find(block);
    if (found == blocks_.end())
      std::memset(into.data() + at, 0, count);
    else
      std::memcpy(into.data() + at, found->second.data() + inside, count);
  });
}

void Image::write(uint64_t offset, Bytes from) {
  end_ = std::max(end_, offset + from.size());
  for_blocks(offset, from.size(), [&](uint64_t block, uint64_t inside, uint64_t at, uint64_t count) {
    std::memcpy(blocks_[block].data() + inside, from.data() + at, count);
  });
}

void Image::clear(uint64_t offset, uint64_t length) {
  for_blocks(offset, length, [&](uint64_t block, uint64_t inside, uint64_t, uint64_t count) {
    const auto found = blocks_.find(block);
    if (found == blocks_.end()) return;
    if (count == block_bytes)
      blocks_.erase(found);
    else
      std::memset(found->second.data() + inside, 0, count);
  });
}

uint64_t Image::missing_bytes(uint64_t offset, uint64_t length) const {
  uint64_t missing = 0;
  for_blocks(offset, length,
             [&](uint64_t block, uint64_t, uint64_t, uint64_t) { missing += !blocks_.contains(block); });
  return missing * block_bytes;
}

// ---- SimFile ----

void SimFile::apply(const Change& change, Image& to) {
  if (change.bytes.empty())
    to.clear(change.offset, change.length);
  else
    to.write(change.offset, change.bytes);
}

void SimFile::apply_in_part(const Change& change, Image& to, Random& random) {
  for (uint64_t done = 0; done < change.length;) {
    const uint64_t count = std::min(change.length - done, sector_bytes - (change.offset + done) % sector_bytes);
    if (random.one_in(2)) {
      Change part;
      part.offset = change.offset + done;
      part.length = count;
      if (!change.bytes.empty()) {
        const auto first = change.bytes.begin() + static_cast<std::ptrdiff_t>(done);
        part.bytes.assign(first, first + static_cast<std::ptrdiff_t>(count));
      }
      apply(part, to);
    }
    done += count;
  }
}

uint64_t SimFile::log(Change change) {
  change.number = next_number_++;
  apply(change, current_);
  unsynced_.push_back(std::move(change));
  return unsynced_.back().number;
}

uint64_t SimFile::begin(uint64_t offset, Bytes from) {
  Change change;
  change.offset = offset;
  change.length = from.size();
  change.bytes.assign(from.begin(), from.end());
  return log(std::move(change));
}

uint64_t SimFile::begin_clear(uint64_t offset, uint64_t length) {
  Change change;
  change.offset = offset;
  change.length = length;
  return log(std::move(change));
}

uint64_t SimFile::begin_zeros(uint64_t offset, uint64_t length) {
  return begin(offset, std::vector<std::byte>(length));
}

void SimFile::end(uint64_t change) {
  for (Change& at : unsynced_)
    if (at.number == change) at.ended = true;
}

void SimFile::end_all() {
  for (Change& at : unsynced_) at.ended = true;
}

void SimFile::begin_failed(uint64_t offset, Bytes from, Random& random) {
  for (uint64_t done = 0; done < from.size();) {
    const uint64_t count = std::min(from.size() - done, sector_bytes - (offset + done) % sector_bytes);
    if (random.one_in(2)) end(begin(offset + done, from.subspan(done, count)));
    done += count;
  }
}

std::vector<uint64_t> SimFile::ended() const {
  std::vector<uint64_t> changes;
  for (const Change& change : unsynced_)
    if (change.ended) changes.push_back(change.number);
  return changes;
}

std::vector<uint64_t> SimFile::with_covered(const std::vector<uint64_t>& changes) const {
  std::vector<const Change*> all;
  for (auto at = unsynced_.rbegin(); at != unsynced_.rend(); ++at) {
    const bool overlaps = std::any_of(all.begin(), all.end(), [&](const Change* later) {
      return at->offset < later->offset + later->length && later->offset < at->offset + at->length;
    });
    if (overlaps || std::binary_search(changes.begin(), changes.end(), at->number)) all.push_back(&*at);
  }
  std::vector<uint64_t> numbers;
  for (auto at = all.rbegin(); at != all.rend(); ++at) numbers.push_back((*at)->number);
  return numbers;
}

void SimFile::sync(const std::vector<uint64_t>& ended) {
  const std::vector<uint64_t> changes = with_covered(ended);
  for (auto at = unsynced_.begin(); at != unsynced_.end();) {
    if (std::binary_search(changes.begin(), changes.end(), at->number)) {
      apply(*at, durable_);
      at = unsynced_.erase(at);
    } else {
      ++at;
    }
  }
}

void SimFile::fail_sync(const std::vector<uint64_t>& ended, Random& random) {
  const std::vector<uint64_t> changes = with_covered(ended);
  for (auto at = unsynced_.begin(); at != unsynced_.end();) {
    if (std::binary_search(changes.begin(), changes.end(), at->number)) {
      apply_in_part(*at, durable_, random);
      at = unsynced_.erase(at);
    } else {
      ++at;
    }
  }
}

void SimFile::cut_power(Random& random) {
  for (const Change& change : unsynced_) {
    const uint64_t fate = random.below(3);
    if (fate == 0) apply(change, durable_);
    if (fate == 1) apply_in_part(change, durable_, random);
  }
  drop_caches();
}

void SimFile::drop_caches() {
  unsynced_.clear();
  current_ = durable_;
}

}  // namespace atl::sim
