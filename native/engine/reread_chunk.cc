#include "engine/reread_chunk.h"

#include "engine/store_scan.h"
#include "store/hashing.h"
#include "store/on_pool.h"

namespace atl {

Task<Result<RereadChunk>> reread_chunk(StoreAccess stores, JobSink& threads, Digest digest, MutableBytes buffer) {
  RereadChunk result;
  Result<std::optional<std::string>> small = co_await stores.records.small_content(digest);
  if (small && *small) {
    result.bytes = (*small)->size();
    co_return std::move(result);
  }
  if (!small) {
    if (small.error().code == Code::corrupt)
      result.fault =
          ChunkFault{FindingKind::chunk_corrupt, chunk_name(digest) + " does not have the bytes of its digest"};
    else
      result.fault =
          ChunkFault{FindingKind::chunk_unreadable, chunk_name(digest) + " cannot be read: " + small.error().message};
    co_return std::move(result);
  }
  Result<uint64_t> read = co_await stores.data.reread_content(digest, buffer, threads);
  if (!read) {
    if (read.error().code == Code::not_found)
      result.fault = ChunkFault{FindingKind::chunk_missing, chunk_name(digest) + " is missing"};
    else
      result.fault =
          ChunkFault{FindingKind::chunk_unreadable, chunk_name(digest) + " cannot be read: " + read.error().message};
    co_return std::move(result);
  }
  result.bytes = *read;
  const auto hash = [bytes = buffer.first(*read)] { return sha256_of(bytes); };
  Result<Digest> hashed = co_await on_pool(threads, hash);
  if (!hashed) co_return hashed.error();
  if (!(*hashed == digest))
    result.fault =
        ChunkFault{FindingKind::chunk_corrupt, chunk_name(digest) + " does not have the bytes of its digest"};
  co_return std::move(result);
}

}  // namespace atl
