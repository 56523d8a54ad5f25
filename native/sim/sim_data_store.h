// sim_data_store.h: DataStore in RAM over a simulated disk, with delays, failures and power cuts (disk.h).
//
// It also watches its caller: a buffer must not change while a write is under way, and is not to be looked at before a read has
// ended (it is filled with rubbish first).
#pragma once

#include "sim/disk.h"

namespace atl::sim {

class SimDataStore final : public DataStore {
 public:
  explicit SimDataStore(Disk& disk) : disk_(disk), generation_(disk.generation_) {}

  uint32_t write_alignment() const override { return disk_.options_.write_alignment; }
  Task<Result<void>> read(DataFileId file, uint64_t offset, MutableBytes into) override;
  Task<Result<void>> write(DataFileId file, uint64_t offset, Bytes from) override;
  Task<Result<void>> punch(DataFileId file, uint64_t offset, uint64_t length) override;
  Task<Result<void>> write_zeroes(DataFileId file, uint64_t offset, uint64_t length) override;
  Task<Result<void>> sync(DataFileId file) override;
  Task<Result<void>> reopen(DataFileId file) override;
  Task<Result<void>> remove(DataFileId file) override;
  Task<Result<uint64_t>> allocated_bytes(DataFileId file) override;
  Task<Result<std::vector<Span>>> spans(DataFileId file) override;
  Task<Result<void>> put_content(const Digest& digest, Bytes bytes) override;
  Task<Result<void>> replace_content(const Digest& digest, Bytes bytes) override;
  Task<Result<void>> read_content(const Digest& digest, uint64_t offset, MutableBytes into) override;
  Task<Result<uint64_t>> reread_content(const Digest& digest, MutableBytes into, JobSink& threads) override;
  Task<Result<void>> drop_content(const Digest& digest) override;
  Task<Result<void>> sync_drops() override;
  Task<Result<uint64_t>> content_bytes(const Digest& digest) override;
  Task<Result<void>> list_files(std::function<void(DataFileId)> visit) override;
  Task<Result<void>> list_content(std::function<void(const Digest&)> visit) override;
  Counters counters() const override { return counters_; }

 private:
  /// Half of an operation's time. An error when the power is gone by then.
  Task<Result<void>> pass();
  Result<void> alive() const;
  Result<void> has_space(uint64_t more_bytes) const;
  Result<void> may_change(DataFileId file) const;
  /// The second half of a change: the time until its caller hears of it.
  Task<Result<void>> finish(DataFileId file, uint64_t change);

  Disk& disk_;
  const uint64_t generation_;
  std::map<DataFileId, bool> failed_;
  Counters counters_;
};

}  // namespace atl::sim
