#include "engine/health/reread_chunk.h"

#include "engine/health/store_scan.h"
#include "store/hashing.h"
#include "store/on_pool.h"

namespace atl {

Task<Result<RereadChunk>> reread_chunk(StoreAccess stores, JobSink& threads, Digest digest, MutableBytes buffer) {
  const auto faulty = [digest](FindingKind kind, const std::string& words) {
    RereadChunk found;
    found.fault = ChunkFault{kind, chunk_name(digest) + words};
    return found;
  };
  constexpr auto other_bytes = " does not have the bytes of its digest";
  Result<std::optional<std::string>> small = co_await stores.records.small_content(digest);
  if (!small && small.error().code == Code::corrupt) co_return faulty(FindingKind::chunk_corrupt, other_bytes);
  if (!small) co_return faulty(FindingKind::chunk_unreadable, " cannot be read: " + small.error().message);
  RereadChunk result;
  if (*small) {
    result.bytes = (*small)->size();
    co_return std::move(result);
  }
  Result<uint64_t> read = co_await stores.data.reread_content(digest, buffer, threads);
  if (!read && read.error().code == Code::not_found) co_return faulty(FindingKind::chunk_missing, " is missing");
  if (!read) co_return faulty(FindingKind::chunk_unreadable, " cannot be read: " + read.error().message);
  const auto hash = [bytes = buffer.first(*read)] { return sha256_of(bytes); };
  Result<Digest> hashed = co_await on_pool(threads, hash);
  if (!hashed) co_return hashed.error();
  if (!(*hashed == digest)) result = faulty(FindingKind::chunk_corrupt, other_bytes);
  result.bytes = *read;
  co_return std::move(result);
}

}  // namespace atl
