// server_state.h: what the connections of one server share: per loop (ServerLoop, touched only on that loop's thread) and in
// all (ServerState, behind a mutex that is taken when connections come, go or choose an export, never per request).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "io/blocking_pool.h"
#include "io/loop.h"
#include "nbd/protocol/exports.h"
#include "nbd/protocol/limits.h"
#include "nbd/server/admissions.h"
#include "nbd/server/buffer_pool.h"
#include "nbd/server/counters.h"
#include "nbd/server/export_counters.h"
#include "nbd/server/report_limit.h"
#include "nbd/tls/tls_credentials.h"

namespace atl::nbd {

class Connection;
class Listener;
struct ServerState;

struct ServerLoop {
  ServerLoop(Loop& on, const NbdLimits& limits, uint64_t bytes_limit);

  Loop& loop;
  BufferPool buffers;
  LoopCounters counters;

  void add(Connection& connection);
  void remove(Connection& connection);
  /// Someone armed a deadline: from now on they are looked at every tick, until none is armed.
  void need_ticks(const std::shared_ptr<ServerState>& state);

  static constexpr uint64_t tick_ns = 100'000'000;

 private:
  static Task<void> ticks(std::shared_ptr<ServerState> keeps_self, ServerLoop* self);
  bool tick();

  Connection* first_ = nullptr;
  bool ticking_ = false;
};

struct ServerState : std::enable_shared_from_this<ServerState> {
  ServerState(const NbdLimits& with, ExportResolver& resolves)
      : limits(with), resolver(resolves), exports(with.idle_exports), admissions(limits) {}

  const NbdLimits limits;
  ExportResolver& resolver;
  ExportRegistry exports;  // has a mutex of its own

  /// The share of that loop; a device's home that no listener runs on gets one at its first connection.
  ServerLoop& loop_of(Executor& home);

  /// Counts the connection in, and keeps it until leave(). closed: neither. May cut another one's handshake for it.
  Admissions::Answer enter(const std::shared_ptr<Connection>& connection);
  /// Requires: the client does not know the size of the chosen export yet (Connection::entered()).
  Admissions::Choice choose(Connection& connection, const std::string& export_name, const std::string& project);
  void take_back(Connection& connection);
  void leave(Connection& connection);
  /// The connections that came by this export name; all when null.
  std::vector<std::shared_ptr<Connection>> matching(const std::string* name);
  size_t count(const std::string* name);
  /// The connections that have chosen one of these exports and are, or are about to be, in the transmission phase.
  std::vector<std::shared_ptr<Connection>> entered(const std::vector<std::string>& names);

  /// What new TLS sessions show and demand; null: there is no TLS.
  std::shared_ptr<const TlsCredentials> tls_credentials() const;
  /// Replaces them. `busy`: the system has no thread for the first ones.
  Result<void> set_tls_credentials(std::shared_ptr<const TlsCredentials> credentials);
  /// Where handshakes are computed. REQUIRES: there have been credentials.
  JobSink& tls_pool() { return *tls_pool_; }

  // Apart from each other: what strangers do at the door hides no failing disk, and a full one hides no broken one.
  ReportLimit tls_reports;
  ReportLimit damage_reports;  // requests that failed with io or corrupt
  ReportLimit space_reports;   // with no_space

  mutable std::mutex mutex;
  // Guarded by mutex:
  std::vector<std::unique_ptr<ServerLoop>> loops;
  std::vector<std::shared_ptr<Connection>> connections;
  std::vector<std::shared_ptr<Listener>> listeners;
  Admissions admissions;
  bool shutting_down = false;

  std::atomic<uint32_t> accepting{0};  // listeners' tasks that still run
  std::atomic<uint64_t> open_connections{0};
  std::atomic<uint64_t> refused{0};

 private:
  // Guarded by mutex:
  std::shared_ptr<const TlsCredentials> tls_credentials_;

  std::unique_ptr<BlockingPool> tls_pool_;  // made once, before the first listener with TLS
};

}  // namespace atl::nbd
