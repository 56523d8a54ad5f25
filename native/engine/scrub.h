// scrub.h: reads content chunks again, in the order of their digests, and compares them with their names: damage on the disk is
// found while a copy may still be at hand.
//
// A step at a time; the caller decides how fast (src/core/scrub.ts). What is held of a chunk is one buffer; the digest is computed on
// the given threads, the bytes are read past the page cache (DataStore::reread_content).
#pragma once

#include <vector>

#include "engine/findings.h"
#include "engine/resource.h"

namespace atl {

struct ScrubStep {
  Digest after;             // chunks whose digest is larger are next
  bool from_start = false;  // `after` does not count
  uint32_t max_chunks = 1;
};

struct ScrubResult {
  bool end = false;  // there was no further chunk
  Digest last;       // the last one looked at, unless there was none
  uint64_t chunks = 0;
  uint64_t bytes = 0;
  std::vector<Finding> bad;
};

/// Chunks that are dropped meanwhile are passed over.
Task<Result<ScrubResult>> scrub(StoreAccess stores, JobSink& hashing, ScrubStep step);

}  // namespace atl
