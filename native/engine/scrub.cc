#include "engine/scrub.h"

#include "base/aligned_buffer.h"
#include "engine/store_scan.h"
#include "store/hashing.h"
#include "store/record_keys.h"

namespace atl {
namespace {

/// Chunks that records mention, in order. Blocking.
Result<std::vector<Digest>> next_chunks(Kv& kv, const ScrubStep& step) {
  std::vector<Digest> next;
  // The first key after that of `after`.
  const std::string from = step.from_start ? "c" : keys::content_refs(step.after) + '\0';
  Result<void> scanned = kv.scan(from, keys::after("c"), nullptr, [&](std::string_view key, std::string_view) {
    if (auto digest = keys::parse_digest("c", key)) next.push_back(*digest);
    return next.size() < step.max_chunks;
  });
  if (!scanned) return scanned.error();
  return next;
}

/// What is wrong with the chunk, or nothing.
Task<Result<std::optional<Finding>>> verify(StoreAccess stores, JobSink& hashing, Digest digest, MutableBytes buffer,
                                            uint64_t& bytes) {
  const auto bad = [&](FindingKind kind, const std::string& words) {
    return std::optional<Finding>{Finding{kind, true, chunk_name(digest) + words, LayerId::none, {}}};
  };
  Result<uint64_t> read = co_await stores.data.reread_content(digest, buffer);
  if (!read) {
    // Dropped since it was listed? Its count went first.
    Result<uint64_t> references = co_await stores.records.content_references(digest);
    if (!references) co_return references.error();
    if (*references == 0) co_return std::optional<Finding>{};
    if (read.error().code == Code::not_found) co_return bad(FindingKind::chunk_missing, " is missing");
    co_return bad(FindingKind::chunk_unreadable, " cannot be read: " + read.error().message);
  }
  bytes += *read;
  Executor& home = Executor::here();
  co_await hashing.schedule();
  Result<Digest> hashed = sha256_of(buffer.first(*read));
  co_await home.schedule();
  if (!hashed) co_return hashed.error();
  if (*hashed == digest) co_return std::optional<Finding>{};
  co_return bad(FindingKind::chunk_corrupt, " does not have the bytes of its digest");
}

}  // namespace

Task<Result<ScrubResult>> scrub(StoreAccess stores, JobSink& hashing, ScrubStep step) {
  Executor& home = Executor::here();
  co_await stores.records.readers().schedule();
  Result<std::vector<Digest>> next = next_chunks(stores.records.kv(), step);
  co_await home.schedule();
  if (!next) co_return next.error();
  ScrubResult result;
  result.end = next->empty();
  Wanted bad;
  const AlignedBuffer buffer{region_bytes + block_bytes};
  for (const Digest& digest : *next) {
    Result<std::optional<Finding>> found = co_await verify(stores, hashing, digest, buffer.bytes(), result.bytes);
    if (!found) co_return found.error();
    result.last = digest;
    result.chunks++;
    if (!*found) continue;
    result.bad.push_back(std::move(**found));
    bad.chunks.insert(digest);
  }
  if (result.bad.empty()) co_return std::move(result);
  co_await stores.records.readers().schedule();
  Result<Places> places = locate(stores.records.kv(), bad);
  co_await home.schedule();
  if (!places) co_return places.error();
  auto finding = result.bad.begin();
  for (const Digest& digest : bad.chunks) (finding++)->places = std::move(places->chunks[digest]);
  co_return std::move(result);
}

}  // namespace atl
