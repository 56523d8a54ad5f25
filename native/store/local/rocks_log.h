// rocks_log.h: what RocksDB logs goes to Atoll's log, and to no file of its own.
//
// RocksDB's default logger appends to DIR/LOG. When the file system is full that append fails, the next one is an assertion in
// builds that have them (Debian's librocksdb), and the process aborts: a full disk would kill the server.
#pragma once

#include <rocksdb/env.h>

#include <memory>
#include <string>

#include "base/log_line.h"
#include "base/result.h"

namespace atl {

/// Warnings and errors, each as one line of at most 1 KiB.
std::shared_ptr<rocksdb::Logger> rocks_logger(LogLine log);

/// Removes the files LOG and LOG.old.<number> that RocksDB's own logger left in the directory. The caller has the database open.
Result<void> remove_rocks_log_files(const std::string& directory);

}  // namespace atl
