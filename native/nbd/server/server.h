// server.h: the NBD server: listeners, their connections, and the orderly ends of both.
//
// Made before the loops carry anything of it, and destroyed after shutdown() has answered. listen(), disconnect(), reconnect()
// and shutdown() run on any of the loops.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "io/loop.h"
#include "nbd/protocol/exports.h"
#include "nbd/protocol/limits.h"
#include "nbd/server/counters.h"
#include "nbd/server/export_counters.h"
#include "nbd/server/listener.h"

namespace atl {

/// How many connections reconnect() found.
struct NbdReconnected {
  uint64_t ended = 0;
  uint64_t remaining = 0;  // still have requests in flight, and end when those have been answered
};

class NbdServer {
 public:
  /// The resolver outlives the server. `loops` is not empty; listeners are spread over them.
  NbdServer(std::vector<Loop*> loops, ExportResolver& resolver, NbdLimits limits = {});
  ~NbdServer();

  /// Any thread. Before the first listener with TLS; later ones are for connections that begin from then on.
  Result<void> set_tls_credentials(std::shared_ptr<const TlsCredentials> credentials);

  /// Answers the address with the real port ("127.0.0.1:10809", "unix:/path"). Errors: `invalid`: TLS without credentials; see
  /// nbd::Listener::open.
  Task<Result<std::string>> listen(ListenOptions options);

  /// All connections that came by this canonical export name: requests in flight are answered, then they are closed; cut when that takes
  /// longer than limits.drain_ms. The owner has made the resolver refuse the name before.
  Task<void> disconnect(std::string name);

  /// Ends the connections that are in the transmission phase of any of these exports (canonical names), so that their clients connect
  /// again and learn the export's present size. Requests in flight are answered, those that come later are not
  /// (Connection::Demand::leave): QEMU and the kernel send them again to the new connection. New connections are welcome
  /// meanwhile, and handshakes go on. Waits at most limits.drain_ms. A connection that has requests in flight for longer is
  /// not cut: its client would send a WRITE again whose first copy could still reach the device after later WRITEs.
  Task<NbdReconnected> reconnect(std::vector<std::string> names);

  /// No more connections; requests in flight are answered, those that come later are not (Connection::Demand::leave);
  /// handshakes get ERR_SHUTDOWN. Once.
  Task<void> shutdown();

  /// Any thread.
  NbdCounters counters() const;
  /// Any thread; no loop is asked or waits. Sorted by door and name.
  std::vector<NbdExportCounters> export_counters() const;
  const NbdLimits& limits() const;

 private:
  Task<void> drain(const std::string* name);

  std::shared_ptr<nbd::ServerState> state_;
  size_t next_loop_ = 0;  // guarded by the state's mutex
};

}  // namespace atl
