// ingest.h: a stream of bytes becomes a read-only layer of content chunks.
//
// Each 4 MiB of the stream is hashed (SHA-256, its name), looked up, and written when it is new; zeros take no space; a small
// chunk (source.h) is written together with the records, a very small whole object goes into its record. MD5 of the whole stream follows
// what comes in, on a thread of its own. At most `chunks_in_flight` chunks are held in memory: then take() takes nothing, and room()
// waits.
//
// Order (I7): intents, then chunks (durable), then records; the caller makes the catalog's row last. Until records refer to a
// chunk with a file it is pinned (content_pins.h). A crash or abort leaves garbage that is collected, never a record without data.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/async.h"
#include "engine/resource/resource.h"
#include "engine/space/content_pins.h"
#include "engine/uploads/chunk_buffers.h"
#include "engine/uploads/stream_hash.h"

namespace atl {

struct IngestOptions {
  /// SHA-256 of the whole stream, whatever its length. Without it the result has one where it costs nothing.
  bool sha256 = false;
};

struct IngestResult {
  uint64_t size_bytes = 0;
  std::string md5;                    // hexadecimal, of all bytes
  std::optional<std::string> sha256;  // likewise; always there for a stream of one chunk, whose name it is
  uint64_t new_chunks = 0;            // files written: small chunks do not count
};

/// What uploads share.
struct IngestParts {
  Executor& home;
  StoreAccess stores;
  JobSink& hashers;
  ContentPins& pins;
  ChunkBuffers& buffers;
};

/// One call at a time, except that abort() may follow a failed one. take() may be called on any thread, tasks run on the home.
class Ingest {
 public:
  static constexpr uint32_t chunks_in_flight = 3;

  Ingest(LayerId layer, const IngestParts& parts, const IngestOptions& options);
  ~Ingest();

  /// Copies as much of `bytes` as there is room for and answers how much that was. Less than all: see room().
  size_t take(Bytes bytes);
  /// Answers when take() will take again. An error is final: abort.
  Task<Result<void>> room();
  /// Both together: takes all of `bytes`; they may go when it answers.
  Task<Result<void>> write(Bytes bytes);
  /// After this the layer's records are durable.
  Task<Result<IngestResult>> finish();
  /// The whole stream at once, in place of all above: `bytes` (at most region_bytes) must stay until it answers.
  Task<Result<IngestResult>> whole(Bytes bytes);
  /// Gives back all that was stored. The layer must not be used.
  Task<Result<void>> abort();

 private:
  struct Chunk {
    AlignedBuffer bytes;
    uint64_t index;
    uint32_t length = 0;
    uint32_t fed = 0;  // of these MD5 has been told
    Bytes filled() const { return bytes.bytes().first(length); }
  };
  struct Stored {
    RegionIndex region;
    Source source;
    bool pinned = false;
    std::string small{};  // the bytes of a small chunk
  };

  std::unique_ptr<Chunk> next_chunk();
  void feed(Chunk& chunk);
  void hand_over(std::unique_ptr<Chunk> chunk);
  Task<void> process(std::unique_ptr<Chunk> chunk);
  Task<Result<void>> process_chunk(Chunk& chunk);
  Task<Result<void>> store(RegionIndex region, Bytes bytes);
  Task<Result<void>> keep(RegionIndex region, const Digest digest, Bytes bytes);
  Task<Result<bool>> is_whole(Digest digest, uint64_t length);
  Task<Result<void>> put(const Digest digest, Bytes bytes);
  Task<Result<void>> drain();
  Task<Result<IngestResult>> commit();
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  void fail(Error error);
  void unpin_all();

  const LayerId layer_;
  const IngestParts parts_;
  const IngestOptions options_;

  // Of whoever makes the call of the moment, on whichever thread.
  std::unique_ptr<Chunk> filling_;
  uint64_t size_bytes_ = 0;
  uint64_t next_index_ = 0;
  StreamHash md5_;
  StreamHash sha256_;  // fed where options_ ask for it

  std::atomic<uint32_t> in_flight_{0};  // chunks that were handed over; only the home counts down
  std::atomic<bool> failed_{false};     // failure_ holds an error

  // Of the home.
  bool whole_in_one_ = false;           // all of the stream is in one chunk and the end is known: it may be inlined
  std::optional<Digest> first_digest_;  // of the first chunk
  Waiters changed_;
  Result<void> failure_;
  std::vector<Stored> stored_;
  uint64_t new_chunks_ = 0;
};

}  // namespace atl
