// store_access.h: the stores that the engine works on.
#pragma once

#include "store/data_store.h"
#include "store/dirty_log/dirty_log.h"
#include "store/records/record_store.h"

namespace atl {

struct StoreAccess {
  DataStore& data;
  RecordStore& records;
  /// Null: what was not flushed dies with the process (the stores of tests).
  DirtyLogs* dirty_logs = nullptr;
};

}  // namespace atl
