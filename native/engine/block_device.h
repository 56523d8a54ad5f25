// block_device.h: what the NBD server (and the addon) see of an open resource.
//
// All calls only on home(). The caller judged the request already: offset + length <= size_bytes(), a write is not to a
// read-only device (asserted). Buffers must stay until the answer. Answers carry errors in the engine's words; nbd/ maps them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/types.h"
#include "io/executor.h"
#include "store/data_store.h"

namespace atl {

struct Extent {
  uint64_t length = 0;  // bytes
  bool hole = false;    // no space allocated
  bool zero = false;    // reads as zeros
  friend bool operator==(const Extent&, const Extent&) = default;
};

/// A stretch of a read that reads as zeros; `offset` counts from where the read began.
struct ZeroRun {
  uint64_t offset = 0;
  uint64_t length = 0;
  friend bool operator==(const ZeroRun&, const ZeroRun&) = default;
};

/// What a metadata context tells of each block.
struct StatusQuestion {
  enum class Kind : uint8_t {
    allocation,  // what extents() tells; not for status()
    depth,       // which layer the data comes from: 1 the head, 2 its parent…; 0: none, the block reads as zeros
    decided,     // the same, but a layer that trimmed or zeroed the block counts too; 0: never written in any layer
    changed,     // 1: may differ from what an ancestor has there; 0: does not
  };
  Kind kind = Kind::allocation;
  // changed: the ancestor, which the asker keeps open: the layer of its head, and its size.
  LayerId since = LayerId::none;
  uint64_t since_bytes = 0;
};

/// A stretch of bytes of one status. What the bits of `flags` mean depends on the question.
struct StatusRun {
  uint64_t length = 0;  // bytes
  uint64_t flags = 0;
  friend bool operator==(const StatusRun&, const StatusRun&) = default;
};

struct WriteFlags {
  bool fua = false;  // answer only when this write (data and metadata) is durable
  bool no_hole =
      false;  // write_zeroes: keep the space that the blocks have in the device's own file; none is allocated
};

class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  virtual Executor& home() const = 0;
  virtual uint64_t size_bytes() const = 0;
  virtual bool read_only() const = 0;

  virtual Task<Result<void>> read(uint64_t offset, MutableBytes into) = 0;
  /// The same, but what is known to read as zeros is appended to `zeroes` (in order, not touching one another), and `into` is left
  /// as it was there. Nothing is added, nor allocated, for a read of data alone.
  virtual Task<Result<void>> read_sparse(uint64_t offset, MutableBytes into, std::vector<ZeroRun>& zeroes) = 0;
  /// Whether lend() would give the range now, and all of it is in memory: no disk is waited for.
  virtual bool cached(uint64_t offset, uint64_t length) {
    (void)offset, (void)length;
    return false;
  }
  /// The range, all of it data, for sendfile(2); nothing where read() must be asked. To be sent before anything else happens on home():
  /// after that it may lie elsewhere. What a client has not taken from its socket by then may still change, if that client (or
  /// another of this device) writes to these blocks meanwhile; it cannot become anybody else's data, because no data file has a place
  /// for two resources' blocks (store/records/source.h).
  virtual std::optional<FileRange> lend(uint64_t offset, uint64_t length) {
    (void)offset, (void)length;
    return std::nullopt;
  }
  virtual Task<Result<void>> write(uint64_t offset, Bytes from, WriteFlags flags) = 0;
  virtual Task<Result<void>> write_zeroes(uint64_t offset, uint64_t length, WriteFlags flags) = 0;
  /// Advice: whole blocks inside the range read as zeros afterwards and give their space back; partial blocks are left alone.
  virtual Task<Result<void>> trim(uint64_t offset, uint64_t length, WriteFlags flags) = 0;
  /// Every write answered before this call, on any connection, is durable when it answers.
  virtual Task<Result<void>> flush() = 0;
  /// Loads the metadata of the range (and may read ahead its data).
  virtual Task<Result<void>> cache(uint64_t offset, uint64_t length) = 0;
  /// Returns the length of the range at `offset`, at most `length`, for which nothing is stored, not even a record: it reads as zeros,
  /// and trimming, zeroing or caching it changes nothing. May be shorter than the actual range, also 0. Its cost does not depend on
  /// `length`.
  virtual Task<Result<uint64_t>> nothing_stored(uint64_t offset, uint64_t length) {
    (void)offset, (void)length;
    co_return uint64_t{0};
  }
  /// At least one extent, adjacent ones differ; they start at `offset` and cover at most `length`: less when `max_extents` is met, and
  /// after a bounded amount of work.
  virtual Task<Result<std::vector<Extent>>> extents(uint64_t offset, uint64_t length, uint32_t max_extents) = 0;
  /// The same for any other question than allocation; lengths as in extents(). `question` must stay until the answer.
  virtual Task<Result<std::vector<StatusRun>>> status(const StatusQuestion& question, uint64_t offset, uint64_t length,
                                                      uint32_t max_runs) {
    (void)question, (void)offset, (void)length, (void)max_runs;
    co_return Error{Code::unsupported, "this device knows no block status but its allocation"};
  }
};

}  // namespace atl
