#include "engine/uploads/ingest.h"

#include <algorithm>
#include <cstring>

namespace atl {
namespace {

constexpr size_t records_per_commit = 4096;
// MD5 is told of the chunk that is being filled in pieces of this size: few wake-ups, and little left to do at the end.
constexpr size_t bytes_per_feed = 512 << 10;
// So few bytes are hashed (some 40 µs at most) in less time than it takes to wake another thread and to come back.
constexpr size_t hashed_here_max = small_content_max;

bool all_zero(Bytes bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

std::string text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

BlockSet blocks_of(uint64_t bytes) {
  return BlockSet{BlockRange{0, static_cast<uint32_t>((bytes + block_bytes - 1) / block_bytes)}};
}

}  // namespace

Ingest::Ingest(LayerId layer, const IngestParts& parts, const IngestOptions& options)
    : layer_(layer),
      parts_(parts),
      options_(options),
      md5_(HashKind::md5, parts.hashers),
      sha256_(HashKind::sha256, parts.hashers) {}

Ingest::~Ingest() {
  VERIFY(in_flight_ == 0);
  unpin_all();
}

// ---- taking, on any thread ----

size_t Ingest::take(Bytes bytes) {
  size_t taken = 0;
  while (taken < bytes.size()) {
    if (!filling_ && !(filling_ = next_chunk())) break;
    Chunk& chunk = *filling_;
    const size_t part = std::min<size_t>(bytes.size() - taken, region_bytes - chunk.length);
    std::memcpy(chunk.bytes.data() + chunk.length, bytes.data() + taken, part);
    chunk.length += static_cast<uint32_t>(part);
    size_bytes_ += part;
    taken += part;
    if (chunk.length == region_bytes)
      hand_over(std::move(filling_));
    else if (chunk.length - chunk.fed >= bytes_per_feed)
      feed(chunk);
  }
  return taken;
}

/// Null: not now, or not at all.
std::unique_ptr<Ingest::Chunk> Ingest::next_chunk() {
  if (in_flight_.load(std::memory_order_acquire) >= chunks_in_flight || failed()) return nullptr;
  if (size_bytes_ >= max_resource_bytes) return nullptr;
  return std::make_unique<Chunk>(Chunk{parts_.buffers.take(), next_index_++});
}

void Ingest::feed(Chunk& chunk) {
  md5_.feed(chunk.filled().subspan(chunk.fed));
  chunk.fed = chunk.length;
}

void Ingest::hand_over(std::unique_ptr<Chunk> chunk) {
  feed(*chunk);
  if (options_.sha256) sha256_.feed(chunk->filled());
  in_flight_.fetch_add(1, std::memory_order_relaxed);
  spawn_on(parts_.home, process(std::move(chunk)));
}

// ---- on the home ----

Task<Result<void>> Ingest::room() {
  while (in_flight_ >= chunks_in_flight && !failed()) co_await changed_.wait();
  if (!failed() && size_bytes_ >= max_resource_bytes) fail(Error{Code::too_large, "upload: larger than 8 PiB"});
  co_return failure_;
}

Task<Result<void>> Ingest::write(Bytes bytes) {
  for (;;) {
    bytes = bytes.subspan(take(bytes));
    if (bytes.empty()) co_return failure_;
    if (Result<void> more = co_await room(); !more) co_return more;
  }
}

void Ingest::fail(Error error) {
  if (!failure_) return;  // the first one tells
  failure_ = std::move(error);
  failed_.store(true, std::memory_order_release);
}

Task<void> Ingest::process(std::unique_ptr<Chunk> chunk) {
  Result<void> processed = co_await process_chunk(*chunk);
  if (!processed) fail(std::move(processed.error()));
  // Not kept for this stream: it may be slower than we are, and stand still for long.
  parts_.buffers.give_back(std::move(chunk->bytes));
  in_flight_.fetch_sub(1, std::memory_order_release);
  changed_.wake_all();
}

Task<Result<void>> Ingest::process_chunk(Chunk& chunk) {
  const uint64_t end = chunk.index * region_bytes + chunk.length;
  std::vector<Task<Result<void>>> all;
  all.push_back(md5_.passed(end));
  if (options_.sha256) all.push_back(sha256_.passed(end));
  all.push_back(store(RegionIndex{static_cast<uint32_t>(chunk.index)}, chunk.filled()));
  Result<void> done = co_await when_all(std::move(all));
  co_return done;
}

Task<Result<void>> Ingest::store(RegionIndex region, Bytes bytes) {
  Executor& home = Executor::here();
  const bool hop = bytes.size() > hashed_here_max;
  if (hop) co_await parts_.hashers.schedule();
  const bool zero = all_zero(bytes);
  const bool first = region == RegionIndex{0};
  Result<Digest> digest = zero && !first ? Result<Digest>{Digest{}} : sha256_of(bytes);
  if (hop) co_await home.schedule();
  if (!digest) co_return digest.error();
  if (first) first_digest_ = *digest;
  if (zero) co_return Result<void>{};
  if (whole_in_one_ && bytes.size() <= inline_bytes_max) {
    stored_.push_back({region, Source::inlined(text_of(bytes))});
    co_return Result<void>{};
  }
  Result<void> there = co_await keep(region, *digest, bytes);
  co_return there;
}

Task<Result<void>> Ingest::keep(RegionIndex region, const Digest digest, Bytes bytes) {
  const Source source = Source::content(digest, static_cast<uint32_t>(bytes.size()));
  if (bytes.size() <= small_content_max) {
    stored_.push_back({region, source, false, text_of(bytes)});
    co_return Result<void>{};
  }
  co_await parts_.pins.pin(digest);
  stored_.push_back({region, source, true});
  Result<void> there = co_await put(digest, bytes);
  co_return there;
}

Task<Result<void>> Ingest::put(const Digest digest, Bytes bytes) {
  bool damaged = false;
  for (;;) {
    Result<uint64_t> references = co_await parts_.stores.records.content_references(digest);
    if (!references) co_return references.error();
    if (*references > 0) {
      Result<bool> whole = co_await is_whole(digest, bytes.size());
      if (!whole) co_return whole.error();
      if (*whole) co_return Result<void>{};  // durable already: deduplicated
      damaged = true;
    }
    const bool ours = co_await parts_.pins.begin_put(digest);
    if (ours) break;
  }
  RecordBatch intent{IntendContent{digest}};
  Result<void> done = co_await parts_.stores.records.commit(std::move(intent));
  if (done && damaged)
    done = co_await parts_.stores.data.replace_content(digest, bytes);
  else if (done)
    done = co_await parts_.stores.data.put_content(digest, bytes);
  if (done) parts_.pins.mark_good(digest);
  parts_.pins.end_put(digest);
  if (done) new_chunks_++;
  co_return done;
}

/// Can an upload rely on the chunk that records mention? Its bytes are not read again: what the scrub found is known.
Task<Result<bool>> Ingest::is_whole(const Digest digest, uint64_t length) {
  if (parts_.pins.is_bad(digest)) co_return false;
  Result<uint64_t> stored = co_await parts_.stores.data.content_bytes(digest);
  if (stored) co_return *stored == length;
  if (stored.error().code == Code::not_found) co_return false;
  co_return stored.error();
}

Task<Result<void>> Ingest::drain() {
  while (in_flight_ > 0) co_await changed_.wait();
  co_return failure_;
}

Task<Result<IngestResult>> Ingest::finish() {
  if (filling_ && !failed()) {
    whole_in_one_ = filling_->index == 0;
    hand_over(std::move(filling_));
  }
  Result<void> done = co_await drain();
  if (!done) co_return done.error();
  Result<IngestResult> result = co_await commit();
  co_return result;
}

Task<Result<IngestResult>> Ingest::whole(Bytes bytes) {
  VERIFY(size_bytes_ == 0 && !filling_ && bytes.size() <= region_bytes);
  whole_in_one_ = true;
  size_bytes_ = bytes.size();
  Result<void> done;
  if (bytes.size() <= hashed_here_max) {
    done = md5_.add(bytes);
    if (done && !bytes.empty()) done = co_await store(RegionIndex{0}, bytes);
  } else {
    std::vector<Task<Result<void>>> both;
    md5_.feed(bytes);
    both.push_back(md5_.passed(bytes.size()));
    both.push_back(store(RegionIndex{0}, bytes));
    done = co_await when_all(std::move(both));
  }
  if (!done) {
    fail(std::move(done.error()));
    co_return failure_.error();
  }
  Result<IngestResult> result = co_await commit();
  co_return result;
}

/// All chunks are there: the records, and what is known of the whole.
Task<Result<IngestResult>> Ingest::commit() {
  Result<void> done;
  for (size_t at = 0; done && at < stored_.size();) {
    RecordBatch batch;
    for (; at < stored_.size() && batch.size() < records_per_commit; at++) {
      const uint64_t first = uint64_t{number(stored_[at].region)} * region_bytes;
      const uint64_t length = std::min<uint64_t>(size_bytes_ - first, region_bytes);
      if (!stored_[at].small.empty())
        batch.push_back(StoreContent{stored_[at].source.digest, std::move(stored_[at].small)});
      batch.push_back(AssignBlocks{layer_, stored_[at].region, stored_[at].source, blocks_of(length)});
    }
    // The last write's sync covers the earlier ones: they are in the same log before it.
    const bool last = at == stored_.size();
    done = co_await parts_.stores.records.commit(std::move(batch), last ? Durability::durable : Durability::lazy);
  }
  if (!done) {
    fail(std::move(done.error()));
    co_return failure_.error();
  }
  unpin_all();
  IngestResult result{size_bytes_, {}, {}, new_chunks_};
  Result<std::string> md5 = md5_.finish_hex();
  if (!md5) co_return md5.error();
  result.md5 = std::move(*md5);
  if (size_bytes_ == 0) {
    Result<Digest> nothing = sha256_of({});
    if (!nothing) co_return nothing.error();
    first_digest_ = *nothing;
  }
  if (size_bytes_ <= region_bytes) {
    result.sha256 = first_digest_->hex();
  } else if (options_.sha256) {
    Result<std::string> sha256 = sha256_.finish_hex();
    if (!sha256) co_return sha256.error();
    result.sha256 = std::move(*sha256);
  }
  co_return result;
}

Task<Result<void>> Ingest::abort() {
  fail(Error{Code::cancelled, "upload: given up"});
  (void)co_await drain();
  // MD5 may have been told of what is not handed over, and be at it.
  if (filling_) (void)co_await md5_.passed(filling_->index * region_bytes + filling_->fed);
  filling_.reset();
  RecordBatch batch;
  for (const Stored& stored : stored_) {
    batch.push_back(DropRegion{layer_, stored.region});  // finish() may have committed some
    if (stored.pinned) batch.push_back(RetireContent{stored.source.digest});
  }
  unpin_all();
  Result<void> dropped = co_await parts_.stores.records.commit(std::move(batch));
  co_return dropped;
}

void Ingest::unpin_all() {
  for (Stored& stored : stored_)
    if (std::exchange(stored.pinned, false)) parts_.pins.unpin(stored.source.digest);
}

}  // namespace atl
