#include "store/local/local_io.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/aligned_buffer.h"
#include "io/loop.h"

namespace atl {
namespace {

constexpr uint64_t bounce_bytes_max = 1 << 20;
constexpr uint64_t zeros_bytes = 256 << 10;
alignas(direct_alignment) constinit std::byte zeros[zeros_bytes]{};  // never written

bool aligned(uint64_t offset, const void* memory, uint64_t length, uint32_t alignment) {
  return ((offset | length | reinterpret_cast<uintptr_t>(memory)) & (alignment - 1)) == 0;
}

/// Only files opened for direct I/O want aligned memory.
Loop::Caching caching_of(uint32_t alignment) {
  return alignment > 1 ? Loop::Caching::uncached : Loop::Caching::page_cache;
}

/// Everything is aligned. `done`: how many bytes came before the end of the file.
Task<int> read_to_end(int fd, uint64_t offset, MutableBytes into, uint32_t alignment, uint64_t& done) {
  done = 0;
  while (done < into.size()) {
    const int32_t result = co_await Loop::here().read(fd, into.subspan(done), offset + done, caching_of(alignment));
    if (result == -EINTR) continue;
    if (result < 0) co_return -result;
    done += static_cast<uint64_t>(result);
    if (result == 0) break;
    if (done % alignment != 0) {
      // Cut short inside a sector: by the end of the file, or else there is no way to go on.
      struct stat now;
      if (::fstat(fd, &now) != 0) co_return errno;
      if (static_cast<uint64_t>(now.st_size) > offset + done) co_return EIO;
      break;
    }
  }
  co_return 0;
}

Task<int> read_bounced(int fd, uint64_t offset, MutableBytes into, uint32_t alignment) {
  const uint64_t first = offset / alignment * alignment;
  const uint64_t end = (offset + into.size() + alignment - 1) / alignment * alignment;
  AlignedBuffer bounce{std::min(end - first, bounce_bytes_max)};
  while (!into.empty()) {
    const uint64_t begin = offset / alignment * alignment;
    const MutableBytes piece = bounce.bytes().first(std::min<uint64_t>(end - begin, bounce.size()));
    uint64_t done = 0;
    const int error = co_await read_to_end(fd, begin, piece, alignment, done);
    if (error != 0) co_return error;
    const uint64_t skip = offset - begin;
    const uint64_t count = std::min<uint64_t>(piece.size() - skip, into.size());
    if (done < skip + count) co_return ENODATA;
    std::memcpy(into.data(), piece.data() + skip, count);
    into = into.subspan(count);
    offset += count;
  }
  co_return 0;
}

Task<int> write_aligned(int fd, uint64_t offset, Bytes from, Loop::Caching caching) {
  while (!from.empty()) {
    const int32_t result = co_await Loop::here().write(fd, from, offset, caching);
    if (result == -EINTR) continue;
    if (result < 0) co_return -result;
    if (result == 0) co_return EIO;  // a regular file never says so; going on would not end
    from = from.subspan(static_cast<uint64_t>(result));
    offset += static_cast<uint64_t>(result);
  }
  co_return 0;
}

}  // namespace

Task<int> read_fully(int fd, uint64_t offset, MutableBytes into, uint32_t alignment) {
  if (!aligned(offset, into.data(), into.size(), alignment)) {
    const int error = co_await read_bounced(fd, offset, into, alignment);
    co_return error;
  }
  uint64_t done = 0;
  const int error = co_await read_to_end(fd, offset, into, alignment, done);
  co_return error == 0 && done < into.size() ? ENODATA : error;
}

Task<int> write_fully(int fd, uint64_t offset, Bytes from, uint32_t alignment) {
  VERIFY(((offset | from.size()) & (alignment - 1)) == 0);
  if (aligned(offset, from.data(), from.size(), alignment)) {
    const int error = co_await write_aligned(fd, offset, from, caching_of(alignment));
    co_return error;
  }
  AlignedBuffer bounce{std::min<uint64_t>(from.size(), bounce_bytes_max)};
  while (!from.empty()) {
    const MutableBytes piece = bounce.bytes().first(std::min(from.size(), bounce.size()));
    std::memcpy(piece.data(), from.data(), piece.size());
    const int error = co_await write_aligned(fd, offset, piece, caching_of(alignment));
    if (error != 0) co_return error;
    from = from.subspan(piece.size());
    offset += piece.size();
  }
  co_return 0;
}

Task<int> write_zeros(int fd, uint64_t offset, uint64_t length, uint32_t alignment) {
  while (length > 0) {
    const Bytes piece{zeros, std::min(length, zeros_bytes)};
    const int error = co_await write_aligned(fd, offset, piece, caching_of(alignment));
    if (error != 0) co_return error;
    offset += piece.size();
    length -= piece.size();
  }
  co_return 0;
}

Task<int> allocate_range(int fd, int mode, uint64_t offset, uint64_t length) {
  while (true) {
    const int32_t result = co_await Loop::here().fallocate(fd, mode, offset, length);
    if (result != -EINTR) co_return -result;
  }
}

}  // namespace atl
