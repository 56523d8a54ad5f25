#include "engine/health/scrub.h"

#include "base/aligned_buffer.h"
#include "engine/health/store_scan.h"
#include "store/on_pool.h"
#include "store/records/record_keys.h"

namespace atl {
namespace {

class Scrubber {
 public:
  Scrubber(StoreAccess stores, ContentPins& pins, Reclaimer& reclaimer, JobSink& threads)
      : stores_(stores), pins_(pins), reclaimer_(reclaimer), threads_(threads) {}

  Task<Result<ScrubStep>> run(ScrubFrom from) {
    VERIFY(from.max_chunks > 0);
    const auto list = [&] { return next_chunks(from); };
    Result<std::vector<Digest>> next = co_await on_pool(threads_, list);
    if (!next) co_return next.error();
    step_.end = next->size() < from.max_chunks;
    for (const Digest& digest : *next) {
      if (step_.bytes >= region_bytes) {
        step_.end = false;
        break;
      }
      Result<void> judged = co_await judge(digest);
      if (!judged) co_return judged.error();
      step_.last = digest;
      step_.chunks++;
    }
    co_return std::move(step_);
  }

 private:
  /// Blocking. Those that records mention, in order.
  Result<std::vector<Digest>> next_chunks(const ScrubFrom& from) {
    std::vector<Digest> next;
    // The first key behind that of `after`.
    const std::string first = from.after ? keys::content_refs(*from.after) + '\0' : "c";
    Result<void> scanned =
        stores_.records.kv().scan(first, keys::after("c"), nullptr, [&](std::string_view key, std::string_view) {
          if (const auto digest = keys::parse_digest("c", key)) next.push_back(*digest);
          return next.size() < from.max_chunks;
        });
    if (!scanned) return scanned.error();
    return next;
  }

  Task<Result<void>> judge(Digest digest) {
    co_await pins_.pin(digest);
    Result<std::optional<ChunkFault>> fault = co_await read_twice(digest);
    Result<uint64_t> references = co_await stores_.records.content_references(digest);
    pins_.unpin(digest);
    if (!references) co_return references.error();
    if (*references == 0) {
      pins_.mark_good(digest);
      // The reclaimer may have left it alone because of us.
      reclaimer_.notify();
      co_return Result<void>{};
    }
    if (!fault) co_return fault.error();
    if (!*fault) {
      pins_.mark_good(digest);
      co_return Result<void>{};
    }
    pins_.mark_bad(digest);
    step_.bad.push_back({digest, std::move(**fault)});
    co_return Result<void>{};
  }

  Task<Result<std::optional<ChunkFault>>> read_twice(const Digest digest) {
    Result<uint64_t> references = co_await stores_.records.content_references(digest);
    if (!references) co_return references.error();
    if (*references == 0) co_return std::optional<ChunkFault>{};  // dropped since it was listed
    std::optional<ChunkFault> fault;
    for (int readings = 0; readings == 0 || (fault && readings < 2); readings++) {
      Result<RereadChunk> read = co_await reread_chunk(stores_, threads_, digest, buffer_.bytes());
      if (!read) co_return read.error();
      step_.bytes += read->bytes;
      fault = std::move(read->fault);
    }
    co_return std::move(fault);
  }

  const StoreAccess stores_;
  ContentPins& pins_;
  Reclaimer& reclaimer_;
  JobSink& threads_;
  const AlignedBuffer buffer_{region_bytes + block_bytes};
  ScrubStep step_;
};

}  // namespace

Task<Result<ScrubStep>> scrub(StoreAccess stores, ContentPins& pins, Reclaimer& reclaimer, JobSink& threads,
                              ScrubFrom from) {
  Scrubber scrubber{stores, pins, reclaimer, threads};
  Result<ScrubStep> step = co_await scrubber.run(from);
  co_return step;
}

Task<Result<std::vector<Place>>> places_of_chunk(StoreAccess stores, JobSink& threads, Digest digest) {
  const auto look = [stores, digest] { return locate(stores.records.kv(), Wanted{{}, {digest}}); };
  Result<Places> places = co_await on_pool(threads, look);
  if (!places) co_return places.error();
  co_return std::move(places->chunks[digest]);
}

}  // namespace atl
