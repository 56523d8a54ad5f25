// ingest.h: a stream of bytes becomes a read-only layer of content chunks.
//
// Each 4 MiB of the stream is hashed (SHA-256, its name), looked up, and written when it is new; zeros take no space; a small
// chunk (source.h) is written together with the records, a very small whole object goes into its record. At most
// `chunks_in_flight` chunks are held in memory: write() waits for a free one.
//
// Order (I7): intents, then chunks (durable), then records; the caller makes the catalog's row last. Until records refer to a
// chunk with a file it is pinned (content_pins.h). A crash or abort leaves garbage that is collected, never a record without data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/async.h"
#include "engine/content_pins.h"
#include "engine/resource.h"
#include "store/hashing.h"

namespace atl {

struct IngestResult {
  uint64_t size_bytes = 0;
  std::string md5;          // hexadecimal, of all bytes
  std::string sha256;       // likewise
  uint64_t new_chunks = 0;  // files written: small chunks do not count
};

/// Lives on one executor. One call at a time, except that abort() may follow a failed one.
class Ingest {
 public:
  static constexpr uint32_t chunks_in_flight = 3;

  /// `hashers`: a pool for the hashing; two threads of it are used at a time.
  Ingest(LayerId layer, StoreAccess stores, JobSink& hashers, ContentPins& pins);
  ~Ingest();

  /// Takes all of `bytes`; they may go when it answers. An error is final: abort.
  Task<Result<void>> write(Bytes bytes);
  /// After this the layer's records are durable.
  Task<Result<IngestResult>> finish();
  /// Gives back all that was stored. The layer must not be used.
  Task<Result<void>> abort();

 private:
  struct Chunk {
    AlignedBuffer bytes{region_bytes};
    uint32_t length = 0;
    uint64_t index = 0;
  };
  struct Stored {
    RegionIndex region;
    Source source;
    bool pinned = false;
    std::string small{};  // the bytes of a small chunk
  };

  Task<void> process(std::unique_ptr<Chunk> chunk);
  Task<Result<void>> process_chunk(Chunk& chunk);
  Task<Result<void>> hash_in_order(Chunk& chunk);
  Task<Result<void>> store_chunk(Chunk& chunk);
  Task<Result<void>> store_whole(Chunk& chunk);
  Task<Result<void>> keep(RegionIndex region, const Digest digest, Bytes bytes);
  Task<Result<bool>> is_whole(Digest digest, uint64_t length);
  Task<Result<void>> put(const Digest digest, Bytes bytes);
  Task<Result<void>> drain();
  void unpin_all();

  const LayerId layer_;
  StoreAccess stores_;
  JobSink& hashers_;
  ContentPins& pins_;
  std::unique_ptr<Chunk> filling_;
  std::vector<std::unique_ptr<Chunk>> spare_;
  uint64_t size_bytes_ = 0;
  uint64_t next_index_ = 0;
  uint64_t hashed_ = 0;  // chunks that went through the running hashes: they go in order
  uint32_t in_flight_ = 0;
  bool whole_in_one_ = false;  // finishing a stream that fits one chunk: that is hashed once, and may be inlined
  std::string whole_sha256_;   // then
  Waiters changed_;
  Result<void> failure_;
  RunningHash md5_;
  RunningHash sha256_;
  std::vector<Stored> stored_;
  uint64_t new_chunks_ = 0;
};

}  // namespace atl
