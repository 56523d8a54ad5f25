// reread_chunk.h: is a content chunk what its name says? For check and scrub, which must say it in the same words.
#pragma once

#include <optional>
#include <string>

#include "base/task.h"
#include "engine/health/findings.h"
#include "engine/resource/resource.h"

namespace atl {

struct ChunkFault {
  FindingKind kind{};
  std::string message;
};

struct RereadChunk {
  uint64_t bytes = 0;               // read
  std::optional<ChunkFault> fault;  // none: the chunk is good
};

/// Reads the chunk and computes its digest, on one of `threads` (a small chunk: on the record store's readers). `buffer`: as for DataStore::reread_content. An error: the digest could
/// not be computed; what is wrong with the chunk is no error.
Task<Result<RereadChunk>> reread_chunk(StoreAccess stores, JobSink& threads, Digest digest, MutableBytes buffer);

}  // namespace atl
