#include "store/local/local_store.h"

#include "store/local/local_data_store.h"
#include "store/local/rocks_kv.h"
#include "store/local_directory.h"

#include <algorithm>

namespace atl {
namespace {

/// All that the records hold in memory can be written to the reserve, and as much again: or else a full file system could not be
/// recovered from, nor started on.
uint64_t write_buffer_bytes(const SpaceReserve& reserve) {
  return std::clamp<uint64_t>(reserve.target_bytes() / 2, 4u << 20, RocksKvOptions{}.write_buffer_bytes);
}

}  // namespace

Result<LocalStore> open_local_store(const std::string& directory, const LocalStoreOptions& options) {
  if (!options.read_only)
    if (Result<void> made = make_directory(directory); !made) return std::move(made.error());

  // The records first: their lock keeps a second process away from the data.
  RocksKvOptions kv_options;
  kv_options.read_only = options.read_only;
  kv_options.reach_min = options.records_reach;
  kv_options.log = options.log;
  LocalDataStoreOptions data_options;
  if (options.reserves != nullptr) {
    kv_options.reserve = options.reserves->on(directory + "/records");
    if (kv_options.reserve != nullptr) kv_options.write_buffer_bytes = write_buffer_bytes(*kv_options.reserve);
    // New data makes new records.
    for (const char* part : {"/records", "/data", "/content"})
      if (SpaceReserve* reserve = options.reserves->on(directory + part); reserve != nullptr)
        if (std::find(data_options.reserves.begin(), data_options.reserves.end(), reserve) ==
            data_options.reserves.end())
          data_options.reserves.push_back(reserve);
  }
  Result<std::unique_ptr<RocksKv>> records = RocksKv::open(directory + "/records", kv_options);
  if (!records) return std::move(records.error());

  data_options.direct = options.direct;
  data_options.read_only = options.read_only;
  Result<std::unique_ptr<LocalDataStore>> data = LocalDataStore::open(directory, data_options);
  if (!data) return std::move(data.error());

  LocalStore store;
  store.data = std::move(*data);
  store.kv = std::move(*records);
  return store;
}

}  // namespace atl
