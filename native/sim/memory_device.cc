#include "sim/memory_device.h"

#include <algorithm>
#include <cstring>

namespace atl {

/// Counts a call in and out.
struct MemoryDevice::Running {
  MemoryDevice& device;
  explicit Running(MemoryDevice& of) : device(of) {
    const uint32_t now = ++device.running;
    if (now > device.running_max) device.running_max = now;
  }
  ~Running() { device.running--; }
};

MemoryDevice::~MemoryDevice() {
  VERIFY(running == 0);
  if (alive) --*alive;
}

void MemoryDevice::check_range(uint64_t offset, uint64_t length) const {
  VERIFY(home_.on_thread());
  VERIFY(offset <= size_bytes_ && length <= size_bytes_ - offset);
}

/// The common delays and failures. Nothing of it costs a frame when no knob is set (see the callers).
Task<Result<void>> MemoryDevice::enter(Call call) {
  while (held_) co_await holders_.wait();
  if (delay_ns) {
    const uint64_t delay = delay_ns(call);
    if (delay > 0) co_await home_.sleep_ns(delay);
  }
  if (fail) {
    std::optional<Error> error = fail(call);
    if (error) co_return std::move(*error);
  }
  co_return Result<void>{};
}

void MemoryDevice::release() {
  held_ = false;
  holders_.wake_all();
}

void MemoryDevice::resize(uint64_t size_bytes) {
  if (size_bytes < size_bytes_) zero(size_bytes, size_bytes_ - size_bytes, false);
  size_bytes_ = size_bytes;
  pages_.resize((size_bytes + page_bytes - 1) / page_bytes);
}

void MemoryDevice::allocate() {
  for (std::unique_ptr<Page>& page : pages_)
    if (page == nullptr) page = std::make_unique<Page>();
}

Task<Result<void>> MemoryDevice::read(uint64_t offset, MutableBytes into) {
  std::vector<ZeroRun> zeroes;
  Result<void> read = co_await read_sparse(offset, into, zeroes);
  for (const ZeroRun& run : zeroes) std::memset(into.data() + run.offset, 0, run.length);
  co_return read;
}

Task<Result<void>> MemoryDevice::read_sparse(uint64_t offset, MutableBytes into, std::vector<ZeroRun>& zeroes) {
  check_range(offset, into.size());
  const Running inside(*this);
  if (held_ || delay_ns || fail) {
    const Call call{Verb::read, offset, into.size(), {}};
    Result<void> entered = co_await enter(call);
    if (!entered) co_return entered;
  }
  for (size_t done = 0; done < into.size();) {
    const uint64_t at = offset + done;
    const size_t in_page = at % page_bytes;
    const size_t n = std::min<size_t>(page_bytes - in_page, into.size() - done);
    if (const Page* page = pages_[at / page_bytes].get())
      std::memcpy(into.data() + done, page->bytes + in_page, n);
    else if (!zeroes.empty() && zeroes.back().offset + zeroes.back().length == done)
      zeroes.back().length += n;
    else
      zeroes.push_back({done, n});
    done += n;
  }
  co_return Result<void>{};
}

Task<Result<void>> MemoryDevice::write(uint64_t offset, Bytes from, WriteFlags flags) {
  check_range(offset, from.size());
  VERIFY(!read_only_);
  const Running inside(*this);
  if (flags.fua) fua_writes++;
  if (held_ || delay_ns || fail) {
    const Call call{Verb::write, offset, from.size(), flags};
    Result<void> entered = co_await enter(call);
    if (!entered) co_return entered;
  }
  for (size_t done = 0; done < from.size();) {
    const uint64_t at = offset + done;
    const size_t in_page = at % page_bytes;
    const size_t n = std::min<size_t>(page_bytes - in_page, from.size() - done);
    std::unique_ptr<Page>& page = pages_[at / page_bytes];
    if (page == nullptr) page = std::make_unique<Page>();
    std::memcpy(page->bytes + in_page, from.data() + done, n);
    done += n;
  }
  co_return Result<void>{};
}

void MemoryDevice::zero(uint64_t offset, uint64_t length, bool keep_space) {
  for (uint64_t done = 0; done < length;) {
    const uint64_t at = offset + done;
    const size_t in_page = at % page_bytes;
    const size_t n = static_cast<size_t>(std::min<uint64_t>(page_bytes - in_page, length - done));
    std::unique_ptr<Page>& page = pages_[at / page_bytes];
    if (keep_space && page == nullptr) page = std::make_unique<Page>();
    if (page != nullptr) {
      if (n == page_bytes && !keep_space)
        page.reset();
      else
        std::memset(page->bytes + in_page, 0, n);
    }
    done += n;
  }
}

Task<Result<void>> MemoryDevice::write_zeroes(uint64_t offset, uint64_t length, WriteFlags flags) {
  check_range(offset, length);
  VERIFY(!read_only_);
  const Running inside(*this);
  if (flags.fua) fua_writes++;
  const Call call{Verb::write_zeroes, offset, length, flags};
  Result<void> entered = co_await enter(call);
  if (!entered) co_return entered;
  zero(offset, length, flags.no_hole);
  co_return Result<void>{};
}

Task<Result<void>> MemoryDevice::trim(uint64_t offset, uint64_t length, WriteFlags flags) {
  check_range(offset, length);
  VERIFY(!read_only_);
  const Running inside(*this);
  if (flags.fua) fua_writes++;
  const Call call{Verb::trim, offset, length, flags};
  Result<void> entered = co_await enter(call);
  if (!entered) co_return entered;
  const uint64_t first = (offset + block_bytes - 1) / block_bytes * block_bytes;
  const uint64_t end = (offset + length) / block_bytes * block_bytes;
  if (first < end) zero(first, end - first, false);
  co_return Result<void>{};
}

Task<Result<void>> MemoryDevice::flush() {
  VERIFY(home_.on_thread());
  const Running inside(*this);
  const Call call{Verb::flush, 0, 0, {}};
  Result<void> entered = co_await enter(call);
  if (!entered) co_return entered;
  flushes++;
  co_return Result<void>{};
}

Task<Result<void>> MemoryDevice::cache(uint64_t offset, uint64_t length) {
  check_range(offset, length);
  const Running inside(*this);
  const Call call{Verb::cache, offset, length, {}};
  Result<void> entered = co_await enter(call);
  co_return entered;
}

Task<Result<uint64_t>> MemoryDevice::nothing_stored(uint64_t offset, uint64_t length) {
  check_range(offset, length);
  uint64_t at = offset;
  while (at < offset + length && pages_[at / page_bytes] == nullptr) at = (at / page_bytes + 1) * page_bytes;
  co_return std::min(at, offset + length) - offset;
}

Task<Result<std::vector<Extent>>> MemoryDevice::extents(uint64_t offset, uint64_t length, uint32_t max_extents) {
  check_range(offset, length);
  length = std::min(length, status_bytes_max);
  VERIFY(length > 0 && max_extents > 0);
  const Running inside(*this);
  const Call call{Verb::extents, offset, length, {}};
  Result<void> entered = co_await enter(call);
  if (!entered) co_return std::move(entered.error());
  std::vector<Extent> found;
  for (uint64_t at = offset; at < offset + length;) {
    const uint64_t n = std::min(page_bytes - at % page_bytes, offset + length - at);
    const bool hole = pages_[at / page_bytes] == nullptr;
    if (!found.empty() && found.back().hole == hole) {
      found.back().length += n;
    } else {
      if (found.size() == max_extents) break;
      found.push_back(Extent{n, hole, hole});
    }
    at += n;
  }
  co_return found;
}

Task<Result<std::vector<StatusRun>>> MemoryDevice::status(const StatusQuestion& question, uint64_t offset,
                                                          uint64_t length, uint32_t max_runs) {
  check_range(offset, length);
  length = std::min(length, status_bytes_max);
  VERIFY(length > 0 && max_runs > 0 && status_of);
  const Running inside(*this);
  const Call call{Verb::status, offset, length, {}};
  Result<void> entered = co_await enter(call);
  if (!entered) co_return std::move(entered.error());
  std::vector<StatusRun> found;
  for (uint64_t at = offset; at < offset + length;) {
    const uint64_t n = std::min(page_bytes - at % page_bytes, offset + length - at);
    const uint64_t flags = status_of(question, at / page_bytes);
    if (!found.empty() && found.back().flags == flags) {
      found.back().length += n;
    } else {
      if (found.size() == max_runs) break;
      found.push_back(StatusRun{n, flags});
    }
    at += n;
  }
  co_return found;
}

}  // namespace atl
