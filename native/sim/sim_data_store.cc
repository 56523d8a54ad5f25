#include "sim/sim_data_store.h"

#include <algorithm>
#include <cstring>

#include "io/executor.h"

namespace atl::sim {
namespace {

constexpr size_t dropped_max = 64;
constexpr int rubbish = 0xa5;

Error absent(const Digest& digest) { return Error{Code::not_found, "content " + digest.hex() + ": not there"}; }

}  // namespace

Result<void> SimDataStore::alive() const {
  if (generation_ == disk_.generation_) return {};
  return Error{Code::io, "the simulated machine is off"};
}

Task<Result<void>> SimDataStore::pass() {
  Executor& home = Executor::here();
  constexpr uint64_t slow = 50;
  const DiskOptions& options = disk_.options_;
  uint64_t delay_ns = options.latency_ns_max == 0 ? 0 : disk_.random_.below(options.latency_ns_max);
  if (options.slow_one_in != 0 && disk_.random_.one_in(options.slow_one_in)) delay_ns *= slow;
  co_await home.sleep_ns(delay_ns);
  disk_.tick();
  co_return alive();
}

Result<void> SimDataStore::has_space(uint64_t more_bytes) const {
  const uint64_t capacity = disk_.options_.capacity_bytes;
  if (more_bytes == 0 || capacity == UINT64_MAX) return {};
  if (disk_.allocated_bytes() + more_bytes > capacity) return Error{Code::no_space, "the simulated disk is full"};
  return {};
}

Result<void> SimDataStore::may_change(DataFileId file) const {
  if (failed_.contains(file)) return Error{Code::io, "data file is read-only since a sync failed"};
  return {};
}

Task<Result<void>> SimDataStore::finish(DataFileId file, uint64_t change) {
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  const auto found = disk_.files_.find(file);
  if (found != disk_.files_.end()) found->second.end(change);
  co_return Result<void>{};
}

// ---- Data files ----

Task<Result<void>> SimDataStore::read(DataFileId file, uint64_t offset, MutableBytes into) {
  VERIFY(offset <= max_resource_bytes && into.size() <= max_resource_bytes - offset);
  std::memset(into.data(), rubbish, into.size());
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (auto error = disk_.fault(Operation::read)) co_return std::move(*error);
  counters_.bytes_read += into.size();
  const auto found = disk_.files_.find(file);
  if (found == disk_.files_.end() || found->second.current().end() < offset + into.size())
    co_return Error{Code::corrupt, "the simulated data file is missing, or ends before the range does"};
  found->second.current().read(offset, into);
  co_return Result<void>{};
}

Task<Result<void>> SimDataStore::write(DataFileId file, uint64_t offset, Bytes from) {
  VERIFY(offset <= max_resource_bytes && from.size() <= max_resource_bytes - offset);
  VERIFY(((offset | from.size()) & (write_alignment() - 1)) == 0);
  const std::vector<std::byte> copy{from.begin(), from.end()};
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (Result<void> may = may_change(file); !may) co_return may;
  counters_.bytes_written += from.size();
  const auto found = disk_.files_.find(file);
  const uint64_t more = found == disk_.files_.end() ? Image{}.missing_bytes(offset, from.size())
                                                    : found->second.current().missing_bytes(offset, from.size());
  Result<void> space = has_space(more);
  auto error = disk_.fault(Operation::write);
  if (error && !copy.empty()) disk_.files_[file].begin_failed(offset, copy, disk_.random_);
  if (error) co_return std::move(*error);
  if (!space) co_return space;
  if (copy.empty()) co_return Result<void>{};
  const uint64_t change = disk_.files_[file].begin(offset, copy);
  Result<void> finished = co_await finish(file, change);
  VERIFY(std::equal(copy.begin(), copy.end(), from.begin(), from.end()));
  co_return finished;
}

Task<Result<void>> SimDataStore::punch(DataFileId file, uint64_t offset, uint64_t length) {
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (Result<void> may = may_change(file); !may) co_return may;
  if (auto error = disk_.fault(Operation::punch)) co_return std::move(*error);
  const auto found = disk_.files_.find(file);
  if (found == disk_.files_.end() || length == 0) co_return Result<void>{};
  counters_.bytes_punched += length;
  const uint64_t change = found->second.begin_clear(offset, length);
  Result<void> finished = co_await finish(file, change);
  co_return finished;
}

Task<Result<void>> SimDataStore::write_zeroes(DataFileId file, uint64_t offset, uint64_t length) {
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (Result<void> may = may_change(file); !may) co_return may;
  if (auto error = disk_.fault(Operation::write_zeroes)) co_return std::move(*error);
  if (length == 0) co_return Result<void>{};
  const auto found = disk_.files_.find(file);
  const uint64_t more = found == disk_.files_.end() ? Image{}.missing_bytes(offset, length)
                                                    : found->second.current().missing_bytes(offset, length);
  if (Result<void> space = has_space(more); !space) co_return space;
  const uint64_t change = disk_.files_[file].begin_zeros(offset, length);
  Result<void> finished = co_await finish(file, change);
  co_return finished;
}

Task<Result<void>> SimDataStore::sync(DataFileId file) {
  if (Result<void> may = may_change(file); !may) co_return may;
  const auto at_start = disk_.files_.find(file);
  const std::vector<uint64_t> changes =
      at_start == disk_.files_.end() ? std::vector<uint64_t>{} : at_start->second.ended();
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (Result<void> may = may_change(file); !may) co_return may;
  counters_.syncs++;
  const auto found = disk_.files_.find(file);
  if (auto error = disk_.fault(Operation::sync)) {
    failed_[file] = true;
    if (found != disk_.files_.end()) found->second.fail_sync(changes, disk_.random_);
    co_return std::move(*error);
  }
  if (found != disk_.files_.end()) found->second.sync(changes);
  Result<void> answered = co_await pass();
  co_return answered;
}

Task<Result<void>> SimDataStore::reopen(DataFileId file) {
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (auto error = disk_.fault(Operation::reopen)) co_return std::move(*error);
  const auto found = disk_.files_.find(file);
  if (found != disk_.files_.end()) found->second.drop_caches();
  failed_.erase(file);
  co_return Result<void>{};
}

Task<Result<void>> SimDataStore::remove(DataFileId file) {
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (auto error = disk_.fault(Operation::remove)) co_return std::move(*error);
  disk_.files_.erase(file);
  failed_.erase(file);
  Result<void> answered = co_await pass();
  co_return answered;
}

Task<Result<uint64_t>> SimDataStore::allocated_bytes(DataFileId file) {
  if (Result<void> on = alive(); !on) co_return std::move(on.error());
  const auto found = disk_.files_.find(file);
  co_return found == disk_.files_.end() ? uint64_t{0} : found->second.allocated_bytes();
}

Task<Result<std::vector<DataStore::Span>>> SimDataStore::spans(DataFileId file) {
  if (Result<void> on = alive(); !on) co_return std::move(on.error());
  // Its files have no ends: what was never written is a hole.
  if (!disk_.files_.contains(file)) co_return std::vector<Span>{};
  co_return std::vector<Span>{{0, max_resource_bytes}};
}

// ---- Content ----

Task<Result<void>> SimDataStore::put_content(const Digest& digest, Bytes bytes) {
  VERIFY(!bytes.empty() && bytes.size() <= region_bytes);
  const Digest name = digest;
  std::vector<std::byte> copy{bytes.begin(), bytes.end()};
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (auto error = disk_.fault(Operation::put_content)) co_return std::move(*error);
  if (!disk_.content_.contains(name)) {
    if (Result<void> space = has_space(copy.size()); !space) co_return space;
    counters_.content_bytes_written += copy.size();
    disk_.content_.emplace(name, copy);
    std::erase_if(disk_.dropped_, [&](const Disk::Dropped& chunk) { return chunk.digest == name; });
  }
  Result<void> answered = co_await pass();
  VERIFY(std::equal(copy.begin(), copy.end(), bytes.begin(), bytes.end()));
  co_return answered;
}

Task<Result<void>> SimDataStore::replace_content(const Digest& digest, Bytes bytes) {
  const Digest name = digest;
  std::vector<std::byte> copy{bytes.begin(), bytes.end()};
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (auto error = disk_.fault(Operation::put_content)) co_return std::move(*error);
  if (Result<void> space = has_space(copy.size()); !space) co_return space;
  counters_.content_bytes_written += copy.size();
  disk_.content_.insert_or_assign(name, std::move(copy));
  std::erase_if(disk_.dropped_, [&](const Disk::Dropped& chunk) { return chunk.digest == name; });
  Result<void> answered = co_await pass();
  co_return answered;
}

Task<Result<void>> SimDataStore::read_content(const Digest& digest, uint64_t offset, MutableBytes into) {
  const Digest name = digest;
  std::memset(into.data(), rubbish, into.size());
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (auto error = disk_.fault(Operation::read_content)) co_return std::move(*error);
  const auto found = disk_.content_.find(name);
  if (found == disk_.content_.end()) co_return absent(name);
  counters_.bytes_read += into.size();
  const std::vector<std::byte>& chunk = found->second;
  if (offset > chunk.size() || into.size() > chunk.size() - offset)
    co_return Error{Code::corrupt, "content " + name.hex() + ": ends before the range does"};
  std::memcpy(into.data(), chunk.data() + offset, into.size());
  co_return Result<void>{};
}

Task<Result<uint64_t>> SimDataStore::reread_content(const Digest& digest, MutableBytes into, JobSink&) {
  const Digest name = digest;
  Result<uint64_t> bytes = co_await content_bytes(name);
  if (!bytes) co_return bytes;
  const uint64_t have = std::min<uint64_t>(*bytes, into.size());
  Result<void> read = co_await read_content(name, 0, into.first(have));
  if (!read) co_return std::move(read.error());
  co_return have;
}

Task<Result<void>> SimDataStore::drop_content(const Digest& digest) {
  const Digest name = digest;
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  if (auto error = disk_.fault(Operation::drop_content)) co_return std::move(*error);
  const auto found = disk_.content_.find(name);
  if (found == disk_.content_.end()) co_return Result<void>{};
  disk_.dropped_.push_back({name, std::move(found->second)});
  disk_.content_.erase(found);
  if (disk_.dropped_.size() > dropped_max) disk_.dropped_.pop_front();
  Result<void> answered = co_await pass();
  co_return answered;
}

Task<Result<void>> SimDataStore::sync_drops() {
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  disk_.dropped_.clear();
  Result<void> answered = co_await pass();
  co_return answered;
}

Task<Result<uint64_t>> SimDataStore::content_bytes(const Digest& digest) {
  const Digest name = digest;
  Result<void> passed = co_await pass();
  if (!passed) co_return std::move(passed.error());
  const auto found = disk_.content_.find(name);
  if (found == disk_.content_.end()) co_return absent(name);
  co_return uint64_t{found->second.size()};
}

Task<Result<void>> SimDataStore::list_files(std::function<void(DataFileId)> visit) {
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  std::vector<DataFileId> there;
  for (const auto& [id, file] : disk_.files_) there.push_back(id);
  for (const DataFileId id : there) visit(id);
  co_return Result<void>{};
}

Task<Result<void>> SimDataStore::list_content(std::function<void(const Digest&)> visit) {
  Result<void> passed = co_await pass();
  if (!passed) co_return passed;
  std::vector<Digest> there;
  for (const auto& [digest, bytes] : disk_.content_) there.push_back(digest);
  for (const Digest& digest : there) visit(digest);
  co_return Result<void>{};
}

}  // namespace atl::sim
