// local_io.h: whole transfers at offsets of a file, on the calling loop.
//
// Short transfers are continued, interrupted ones repeated. With direct I/O (alignment > 1) the kernel takes aligned offsets, lengths and
// memory only: whatever is not goes through a bounce buffer of bounded size. All answer 0 or an errno.
#pragma once

#include "base/task.h"
#include "base/types.h"

namespace atl {

/// What direct I/O wants everywhere: the page size, which is no less than any device's sector.
constexpr uint32_t direct_alignment = 4096;

/// ENODATA: the file ends before the range does.
Task<int> read_fully(int fd, uint64_t offset, MutableBytes into, uint32_t alignment);
/// Offset and length are multiples of the alignment.
Task<int> write_fully(int fd, uint64_t offset, Bytes from, uint32_t alignment);
/// Like write_fully, of zeros.
Task<int> write_zeros(int fd, uint64_t offset, uint64_t length, uint32_t alignment);
/// fallocate(2), repeated when interrupted.
Task<int> allocate_range(int fd, int mode, uint64_t offset, uint64_t length);

}  // namespace atl
