// sparse_read.h: what every answer of read_sparse() must be, whatever the device, and what is in a file that it lends.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "engine/block_device.h"

namespace atl::testing {

/// What a buffer is full of before it is read into.
constexpr std::byte left_out{0xa5};

/// The runs are in order, inside, not empty, do not touch, and were left as they were; then they are filled with the zeros they mean.
inline void fill_left_out(std::vector<std::byte>& bytes, const std::vector<ZeroRun>& zeroes) {
  uint64_t end = 0;
  for (const ZeroRun& run : zeroes) {
    REQUIRE((run.offset > end || (run.offset == 0 && end == 0)));
    REQUIRE(run.length > 0);
    end = run.offset + run.length;
    REQUIRE(end <= bytes.size());
    const auto from = bytes.begin() + static_cast<ptrdiff_t>(run.offset);
    const auto to = from + static_cast<ptrdiff_t>(run.length);
    REQUIRE(std::all_of(from, to, [](std::byte byte) { return byte == left_out; }));
    std::fill(from, to, std::byte{0});
  }
}

/// On the device's home; nothing where it lends nothing. Past the file's end there are zeros.
inline Task<std::optional<std::vector<std::byte>>> lent_bytes(BlockDevice* device, uint64_t offset, uint64_t length) {
  const std::optional<FileRange> range = device->lend(offset, length);
  if (!range) co_return std::nullopt;
  std::optional<std::vector<std::byte>> bytes(length);
  VERIFY(::pread(range->fd, bytes->data(), length, static_cast<off_t>(range->offset)) >= 0);
  co_return bytes;
}

}  // namespace atl::testing
