// data_store.h: where bytes are kept. One narrow interface; the local file system and the simulator implement it, RADOS will.
//
// Called on any executor; each call resumes its awaiter on the executor it came from. Calls on overlapping ranges of one
// data file are ordered by the engine, never by the store.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/types.h"
#include "io/executor.h"

namespace atl {

/// A stretch of a file for the kernel to send from; the file stays open as long as `keep` lives.
struct FileRange {
  int fd = -1;
  uint64_t offset = 0;  // in that file
  std::shared_ptr<const void> keep;
};

class DataStore {
 public:
  virtual ~DataStore() = default;

  /// Writes to data files must have offset and length in multiples of this (1 when buffered, 4096 when direct). A power of two <= block_bytes.
  virtual uint32_t write_alignment() const = 0;

  // ---- data files: sparse, created by the first write, up to max_resource_bytes long (split below a file system's limit) ----

  /// Fills `into` exactly. Holes are zeros. `corrupt` where the file is not there or ends before the range does: only what was written is
  /// ever asked for, and zeros in place of it would be taken for it.
  virtual Task<Result<void>> read(DataFileId file, uint64_t offset, MutableBytes into) = 0;
  /// Where read() would find the range, when that is one file, open already, that is read through the page cache. The file may
  /// end before the range does: then read() tells.
  virtual std::optional<FileRange> locate(DataFileId file, uint64_t offset, uint64_t length) {
    (void)file, (void)offset, (void)length;
    return std::nullopt;
  }
  /// Not durable before sync. On an error any part of the range may have been written.
  virtual Task<Result<void>> write(DataFileId file, uint64_t offset, Bytes from) = 0;
  /// The range reads back as zeros and its space is given back (block-aligned ranges). Not durable before sync.
  virtual Task<Result<void>> punch(DataFileId file, uint64_t offset, uint64_t length) = 0;
  /// The range reads back as zeros and its space stays (or becomes) allocated.
  virtual Task<Result<void>> write_zeroes(DataFileId file, uint64_t offset, uint64_t length) = 0;
  /// Everything written to the file before this call is durable when it answers. After a failure the bytes written since
  /// the last good sync are in doubt (invariant I6): the file refuses changes and syncs with `io` until reopen() or remove(),
  /// and the engine stops trusting the resource.
  virtual Task<Result<void>> sync(DataFileId file) = 0;
  /// Goes back to what is durable: drops what caches hold of the file and ends its refusal after a failed sync. No change
  /// may be under way on the file; reads may. A file that is not there is no error.
  virtual Task<Result<void>> reopen(DataFileId file) = 0;
  /// Gives all space back, durably. A file that is not there is no error.
  virtual Task<Result<void>> remove(DataFileId file) = 0;
  /// Of a file that remove() is to be called for, and that nobody reads any more: gives space back for a moment, and answers whether there is more
  /// that may take long. False: remove() is quick.
  virtual Task<Result<bool>> shrink(DataFileId file) {
    (void)file;
    co_return false;
  }
  /// Bytes allocated on the device, for usage and check; 0 when not there.
  virtual Task<Result<uint64_t>> allocated_bytes(DataFileId file) = 0;
  /// [begin, end) of the file, in bytes.
  struct Span {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  /// For check: what is there of the file, in order and apart from each other. What was made durable lies within; holes do not count as missing.
  virtual Task<Result<std::vector<Span>>> spans(DataFileId file) = 0;

  // ---- content chunks: immutable, named by their SHA-256 ----

  /// Durable when it answers, whole or not there. A chunk that is there already is left as it is.
  virtual Task<Result<void>> put_content(const Digest& digest, Bytes bytes) = 0;
  /// Likewise, in place of what is there and damaged: readers find the one or the other.
  virtual Task<Result<void>> replace_content(const Digest& digest, Bytes bytes) = 0;
  /// Fills `into` from `offset` of the chunk. `not_found` when there is no such chunk, `corrupt` when it ends before the range does.
  virtual Task<Result<void>> read_content(const Digest& digest, uint64_t offset, MutableBytes into) = 0;
  /// As locate(), of a chunk; the range ends before the chunk does.
  virtual std::optional<FileRange> locate_content(const Digest& digest, uint64_t offset) {
    (void)digest, (void)offset;
    return std::nullopt;
  }
  /// So many bytes were sent from a range that locate() or locate_content() gave.
  virtual void count_sent(uint64_t bytes) { (void)bytes; }
  /// locate_content() of its start, the file being opened when it is not: no less than `length` bytes long, or `corrupt`. Nothing where
  /// chunks are no files of this machine: read_content() it is then.
  virtual Task<Result<std::optional<FileRange>>> open_content(const Digest& digest, uint64_t length) {
    (void)digest, (void)length;
    co_return std::optional<FileRange>{};
  }
  /// For check and scrub: the chunk as the device has it, past all caches where the platform can do that, at low priority, by one of
  /// `threads`. Fills `into` (aligned to block_bytes; at least region_bytes + block_bytes) from the chunk's start and answers how many
  /// bytes there were, up to into.size(). `not_found` when there is no such chunk.
  virtual Task<Result<uint64_t>> reread_content(const Digest& digest, MutableBytes into, JobSink& threads) = 0;
  /// One that is not there is no error. Not durable before sync_drops(): after a power cut a dropped chunk may be back.
  virtual Task<Result<void>> drop_content(const Digest& digest) = 0;
  /// All chunks dropped before this call stay away, whatever happens: one call for many drops.
  virtual Task<Result<void>> sync_drops() = 0;
  /// The chunk's length in bytes; `not_found` when there is none.
  virtual Task<Result<uint64_t>> content_bytes(const Digest& digest) = 0;

  // ---- for check: what is really there ----
  virtual Task<Result<void>> list_files(std::function<void(DataFileId)> visit) = 0;
  virtual Task<Result<void>> list_content(std::function<void(const Digest&)> visit) = 0;

  /// Monotonic counts since start, readable from any thread.
  struct Counters {
    uint64_t bytes_written = 0;  // data files
    uint64_t bytes_read = 0;     // data files and content
    uint64_t content_bytes_written = 0;
    uint64_t syncs = 0;
    uint64_t bytes_punched = 0;
  };
  virtual Counters counters() const = 0;
};

}  // namespace atl
