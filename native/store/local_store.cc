#include "store/local_store.h"

#include "store/local_data_store.h"
#include "store/local_directory.h"
#include "store/rocks_kv.h"

namespace atl {

Result<LocalStore> open_local_store(const std::string& directory, const LocalStoreOptions& options) {
  if (!options.read_only)
    if (Result<void> made = make_directory(directory); !made) return std::move(made.error());

  // The records first: their lock keeps a second process away from the data.
  RocksKvOptions kv_options;
  kv_options.read_only = options.read_only;
  kv_options.reach_min = options.records_reach;
  Result<std::unique_ptr<RocksKv>> records = RocksKv::open(directory + "/records", kv_options);
  if (!records) return std::move(records.error());

  LocalDataStoreOptions data_options;
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
