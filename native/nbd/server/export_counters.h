// export_counters.h: what is counted for each export, and who keeps it.
//
// Invariants
//   1. One object for each (door, name, loop). Whatever the resolver does (a resource that was closed and opened again lives on
//      another loop; a name may come to mean another device), an object has one writer: its loop. Readers add up the loops.
//   2. The mutex is taken when a connection enters or leaves the transmission phase, and by readers to copy pointers: never by a
//      request.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "nbd/protocol/exports.h"
#include "nbd/server/counters.h"

namespace atl {

/// Which requests share a histogram. other: TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS.
enum class LatencyKind : uint8_t { read, write, flush, other };
constexpr size_t latency_kinds = 4;

/// Bucket 0 counts what took less than 1 µs, bucket i what took [2^(i-1), 2^i) µs, the last one everything from 2^22 µs (4.2 s) on.
constexpr size_t latency_buckets = 24;
using LatencyHistogram = std::array<uint64_t, latency_buckets>;

/// Sums at one moment, since the export's first connection (NbdLimits::idle_exports: or since it was forgotten); all but
/// `connections` only grow. Numbers of one object may be a request apart from each other.
struct NbdExportCounters {
  Door door{};
  std::string name;                                     // OpenExport::label
  uint64_t connections = 0;                             // in the transmission phase now
  uint64_t accepted = 0;                                // that ever were
  std::array<uint64_t, nbd::command_kinds> requests{};  // by nbd::Command; refused ones included
  uint64_t errors = 0;                                  // requests answered with an error
  uint64_t bytes_read = 0;                              // payload of successful READs
  uint64_t bytes_written = 0;                           // payload of successful WRITEs
  /// By LatencyKind; errors included. From the header's arrival in the reader, a wait for room and for the payload included, until
  /// the last reply is queued for the socket: how fast the client reads is not in it, but for a READ in several pieces.
  std::array<LatencyHistogram, latency_kinds> latency{};
};

namespace nbd {

struct alignas(64) ExportCounters {
  Counter errors, bytes_read, bytes_written;
  std::array<Counter, command_kinds> requests;
  std::array<std::array<Counter, latency_buckets>, latency_kinds> latency;

  /// Of a request that has its answer. REQUIRES: a known command.
  void answered(Command command, uint64_t took_ns) {
    const auto bucket = std::min<size_t>(std::bit_width(took_ns / 1000), latency_buckets - 1);
    latency[static_cast<size_t>(kind_of(command))][bucket].add(1);
  }

 private:
  static LatencyKind kind_of(Command command) {
    switch (command) {
      case Command::read: return LatencyKind::read;
      case Command::write: return LatencyKind::write;
      case Command::flush: return LatencyKind::flush;
      default: return LatencyKind::other;
    }
  }
};

/// All exports that have connections, and of the others those that had one last.
class ExportRegistry {
 public:
  explicit ExportRegistry(uint32_t idle_max) : idle_max_(idle_max) {}

  /// A connection on this loop begins to serve the export. `name` is the label, never a secret.
  std::shared_ptr<ExportCounters> enter(Door door, const std::string& name, const Executor& loop);
  /// It has written its last number.
  void leave(Door door, const std::string& name, const Executor& loop);
  /// Any thread; sorted by door and name.
  std::vector<NbdExportCounters> read() const;

 private:
  using Key = std::tuple<Door, std::string, const Executor*>;
  struct Entry {
    std::shared_ptr<ExportCounters> counters = std::make_shared<ExportCounters>();
    uint64_t connections = 0;
    uint64_t accepted = 0;
    std::list<Key>::iterator idle{};  // while there are no connections, but for a new one
  };

  const uint32_t idle_max_;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::map<Key, Entry> exports_;
  std::list<Key> idle_;  // who had a connection longest ago is first
};

}  // namespace nbd
}  // namespace atl
