#include "engine/ingest.h"

#include <algorithm>
#include <cstring>

namespace atl {
namespace {

constexpr size_t records_per_commit = 4096;

bool all_zero(Bytes bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

std::string text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

BlockSet blocks_of(uint64_t bytes) {
  return BlockSet{BlockRange{0, static_cast<uint32_t>((bytes + block_bytes - 1) / block_bytes)}};
}

}  // namespace

Ingest::Ingest(LayerId layer, StoreAccess stores, JobSink& hashers, ContentPins& pins)
    : layer_(layer), stores_(stores), hashers_(hashers), pins_(pins), md5_(HashKind::md5), sha256_(HashKind::sha256) {}

Ingest::~Ingest() {
  VERIFY(in_flight_ == 0);
  unpin_all();
}

Task<Result<void>> Ingest::write(Bytes bytes) {
  while (!bytes.empty()) {
    if (!failure_) co_return failure_.error();
    if (!filling_) {
      while (in_flight_ >= chunks_in_flight) co_await changed_.wait();
      if (spare_.empty()) {
        filling_ = std::make_unique<Chunk>();
      } else {
        filling_ = std::move(spare_.back());
        spare_.pop_back();
      }
      filling_->length = 0;
      filling_->index = next_index_++;
      if (size_bytes_ >= max_resource_bytes) co_return Error{Code::too_large, "upload: larger than 8 PiB"};
    }
    const size_t part = std::min<size_t>(bytes.size(), region_bytes - filling_->length);
    std::memcpy(filling_->bytes.data() + filling_->length, bytes.data(), part);
    filling_->length += static_cast<uint32_t>(part);
    size_bytes_ += part;
    bytes = bytes.subspan(part);
    if (filling_->length == region_bytes) spawn(process(std::move(filling_)));
  }
  co_return failure_;
}

Task<void> Ingest::process(std::unique_ptr<Chunk> chunk) {
  in_flight_++;
  Result<void> processed = co_await process_chunk(*chunk);
  if (!processed && failure_) failure_ = std::move(processed);
  spare_.push_back(std::move(chunk));
  in_flight_--;
  if (in_flight_ == 0) spare_.clear();  // the stream is slower than we are, and may stand still for long
  changed_.wake_all();
}

Task<Result<void>> Ingest::process_chunk(Chunk& chunk) {
  if (whole_in_one_) {
    Result<void> done = co_await store_whole(chunk);
    co_return done;
  }
  std::vector<Task<Result<void>>> both;
  both.push_back(hash_in_order(chunk));
  both.push_back(store_chunk(chunk));
  Result<void> done = co_await when_all(std::move(both));
  co_return done;
}

Task<Result<void>> Ingest::hash_in_order(Chunk& chunk) {
  Executor& home = Executor::here();
  while (hashed_ != chunk.index) co_await changed_.wait();
  const Bytes bytes = chunk.bytes.bytes().first(chunk.length);
  co_await hashers_.schedule();
  Result<void> hashed = md5_.update(bytes);
  if (hashed) hashed = sha256_.update(bytes);
  co_await home.schedule();
  hashed_++;
  changed_.wake_all();
  co_return hashed;
}

/// All of the stream lies in this chunk: one SHA-256 is its name and the stream's.
Task<Result<void>> Ingest::store_whole(Chunk& chunk) {
  Executor& home = Executor::here();
  const Bytes bytes = chunk.bytes.bytes().first(chunk.length);
  co_await hashers_.schedule();
  const bool zero = all_zero(bytes);
  Result<void> hashed = md5_.update(bytes);
  Result<Digest> digest = sha256_of(bytes);
  co_await home.schedule();
  if (!hashed) co_return hashed;
  if (!digest) co_return digest.error();
  whole_sha256_ = digest->hex();
  if (zero) co_return Result<void>{};
  if (bytes.size() <= inline_bytes_max) {
    stored_.push_back({RegionIndex{0}, Source::inlined(text_of(bytes))});
    co_return Result<void>{};
  }
  Result<void> there = co_await keep(RegionIndex{0}, *digest, bytes);
  co_return there;
}

Task<Result<void>> Ingest::store_chunk(Chunk& chunk) {
  Executor& home = Executor::here();
  const Bytes bytes = chunk.bytes.bytes().first(chunk.length);
  co_await hashers_.schedule();
  const bool zero = all_zero(bytes);
  Result<Digest> digest = zero ? Result<Digest>{Digest{}} : sha256_of(bytes);
  co_await home.schedule();
  if (!digest) co_return digest.error();
  if (zero) co_return Result<void>{};
  Result<void> there = co_await keep(RegionIndex{static_cast<uint32_t>(chunk.index)}, *digest, bytes);
  co_return there;
}

Task<Result<void>> Ingest::keep(RegionIndex region, const Digest digest, Bytes bytes) {
  const Source source = Source::content(digest, static_cast<uint32_t>(bytes.size()));
  if (bytes.size() <= small_content_max) {
    stored_.push_back({region, source, false, text_of(bytes)});
    co_return Result<void>{};
  }
  co_await pins_.pin(digest);
  stored_.push_back({region, source, true});
  Result<void> there = co_await put(digest, bytes);
  co_return there;
}

Task<Result<void>> Ingest::put(const Digest digest, Bytes bytes) {
  bool damaged = false;
  for (;;) {
    Result<uint64_t> references = co_await stores_.records.content_references(digest);
    if (!references) co_return references.error();
    if (*references > 0) {
      Result<bool> whole = co_await is_whole(digest, bytes.size());
      if (!whole) co_return whole.error();
      if (*whole) co_return Result<void>{};  // durable already: deduplicated
      damaged = true;
    }
    const bool ours = co_await pins_.begin_put(digest);
    if (ours) break;
  }
  RecordBatch intent{IntendContent{digest}};
  Result<void> done = co_await stores_.records.commit(std::move(intent));
  if (done && damaged)
    done = co_await stores_.data.replace_content(digest, bytes);
  else if (done)
    done = co_await stores_.data.put_content(digest, bytes);
  if (done) pins_.mark_good(digest);
  pins_.end_put(digest);
  if (done) new_chunks_++;
  co_return done;
}

/// Can an upload rely on the chunk that records mention? Its bytes are not read again: what the scrub found is known.
Task<Result<bool>> Ingest::is_whole(const Digest digest, uint64_t length) {
  if (pins_.is_bad(digest)) co_return false;
  Result<uint64_t> stored = co_await stores_.data.content_bytes(digest);
  if (stored) co_return *stored == length;
  if (stored.error().code == Code::not_found) co_return false;
  co_return stored.error();
}

Task<Result<void>> Ingest::drain() {
  while (in_flight_ > 0) co_await changed_.wait();
  co_return failure_;
}

Task<Result<IngestResult>> Ingest::finish() {
  if (filling_ && failure_) {
    whole_in_one_ = filling_->index == 0 && filling_->length > 0;
    spawn(process(std::move(filling_)));
  }
  Result<void> done = co_await drain();
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
    done = co_await stores_.records.commit(std::move(batch), last ? Durability::durable : Durability::lazy);
  }
  if (!done) {
    if (failure_) failure_ = done;
    co_return done.error();
  }
  unpin_all();
  Result<std::string> md5 = md5_.finish_hex();
  if (!md5) co_return md5.error();
  Result<std::string> sha256 = whole_in_one_ ? Result<std::string>{std::move(whole_sha256_)} : sha256_.finish_hex();
  if (!sha256) co_return sha256.error();
  co_return IngestResult{size_bytes_, *md5, *sha256, new_chunks_};
}

Task<Result<void>> Ingest::abort() {
  if (failure_) failure_ = Error{Code::cancelled, "upload: given up"};
  filling_.reset();
  (void)co_await drain();
  RecordBatch batch;
  for (const Stored& stored : stored_) {
    batch.push_back(DropRegion{layer_, stored.region});  // finish() may have committed some
    if (stored.pinned) batch.push_back(RetireContent{stored.source.digest});
  }
  unpin_all();
  Result<void> dropped = co_await stores_.records.commit(std::move(batch));
  co_return dropped;
}

void Ingest::unpin_all() {
  for (Stored& stored : stored_)
    if (std::exchange(stored.pinned, false)) pins_.unpin(stored.source.digest);
}

}  // namespace atl
