// records_world.h: one resource over a simulated disk, opened so that its map knows nothing: what it shows it must ask the records for.
#pragma once

#include <doctest/doctest.h>

#include <memory>

#include "engine/resource/resource.h"
#include "sim/disk.h"
#include "sim/machine.h"
#include "test/support/busy_pool.h"

namespace atl::testing {

/// Its tests decide when the threads that read records have time (`readers`).
struct RecordsWorld {
  static constexpr LayerId old_head{1};
  static constexpr LayerId new_head{2};
  static constexpr uint64_t size_bytes = 10 * region_bytes;

  sim::Machine machine{1};
  sim::Disk disk{1, {}};
  sim::SimExecutor& home = machine.add_executor();
  sim::SimPool& committer = machine.add_pool();
  BusyPool readers{machine.add_pool(2)};
  std::unique_ptr<DataStore> data = disk.open_data();
  std::unique_ptr<Kv> kv = disk.open_kv();
  RecordStore records{*kv, committer, readers};
  ReadEpochs epochs;
  std::unique_ptr<Resource> resource;

  RecordsWorld() {
    REQUIRE(records.recover().ok());
    open();
  }
  ~RecordsWorld() {
    machine.run_until_idle();
    resource.reset();
  }

  /// Opens the resource, or opens it again with an empty map.
  void open() {
    machine.run_until_idle();
    resource = std::make_unique<Resource>(ResourceSpec{"r", size_bytes, false, {{old_head, 0}}},
                                          StoreAccess{*data, records}, home, epochs);
  }
  static void must(Result<void> result) { REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message)); }
};

}  // namespace atl::testing
