// local_store.h: everything the engine keeps, on a local file system: DIR/data and DIR/content (local_data_store.h), DIR/records
// (rocks_kv.h).
#pragma once

#include <memory>
#include <string>

#include "base/log_line.h"
#include "base/result.h"
#include "store/data_store.h"
#include "store/kv.h"
#include "store/space_reserve.h"

namespace atl {

struct LocalStoreOptions {
  bool direct = false;         // data files bypass the page cache
  bool read_only = false;      // for check: changes nothing; fails when there is no store
  uint64_t records_reach = 0;  // the records are `corrupt` if they end before it (RocksKvOptions::reach_min)
  LogLine log{};               // the records' warnings and errors
  const SpaceReserves* reserves = nullptr;  // outlive the store; null: none
};

struct LocalStore {
  std::unique_ptr<DataStore> data;
  std::unique_ptr<Kv> kv;
};

/// Blocking. Creates the directory (its parent must be there) and what is in it where it is missing. `busy`: another process has
/// it open. `unsupported`: no direct I/O on this file system.
Result<LocalStore> open_local_store(const std::string& directory, const LocalStoreOptions& options);

}  // namespace atl
