// scrub.h: reads content chunks again while they are served, in the order of their digests, and compares them with their names:
// damage on the disk is found while a copy may still be at hand.
//
// A step at a time; how fast is the caller's business (src/core/health/scrub.ts). All that blocks, and the digests, is done on the threads that
// the caller gives; the bytes are read past the page cache (DataStore::reread_content), those
// of small chunks from the record store.
//
// Invariants
//   1. Only chunks that a committed record mentions are looked at, and a finding is told only of one that still is at its end.
//   2. The chunk is pinned meanwhile, so that it is not dropped: what is missing then is really missing. A chunk whose last reference
//      went under the pin is shown to the reclaimer again.
//   3. A bad chunk is marked as such: an upload of the same bytes writes it anew (content_pins.h).
//   4. A fault is told when two readings agree that there is one: an upload may have put the chunk's file right in between.
#pragma once

#include <optional>
#include <vector>

#include "engine/health/reread_chunk.h"
#include "engine/space/content_pins.h"
#include "engine/space/reclaimer.h"

namespace atl {

struct ScrubFrom {
  std::optional<Digest> after;  // chunks with a larger digest are next; none: the first ones
  uint32_t max_chunks = 1;      // not 0
};

struct BadChunk {
  Digest digest;
  ChunkFault fault;
};

struct ScrubStep {
  bool end = false;  // no further chunk is there
  std::optional<Digest> last;
  uint64_t chunks = 0;
  uint64_t bytes = 0;
  std::vector<BadChunk> bad;  // in the order of their digests
};

/// Ends after max_chunks, or when a region's worth of bytes has been read. On the pins' executor. An error: the records cannot be read.
Task<Result<ScrubStep>> scrub(StoreAccess stores, ContentPins& pins, Reclaimer& reclaimer, JobSink& threads,
                              ScrubFrom from);

/// Where records mention the chunk (at most places_max places), found by reading all of them.
Task<Result<std::vector<Place>>> places_of_chunk(StoreAccess stores, JobSink& threads, Digest digest);

}  // namespace atl
