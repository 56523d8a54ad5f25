#include "nbd/server/server.h"

#include <algorithm>

#include "nbd/server/connection.h"
#include "nbd/server/server_state.h"

namespace atl {

using nbd::Connection;
using nbd::Listener;
using nbd::ServerLoop;
using nbd::ServerState;

namespace {

constexpr uint64_t ms = 1'000'000;

// After a cut a connection only waits for its own device.
constexpr uint64_t cut_wait_ns = 2'000 * ms;
constexpr uint64_t poll_ns = 2 * ms;

/// Ends are rare and short, so that looking again is simpler than being told. False: the time is over.
template <class Condition>
Task<bool> wait_until(Condition condition, uint64_t time_ns) {
  Loop& loop = Loop::here();
  const uint64_t end = loop.now_ns() + time_ns;
  while (!condition()) {
    if (loop.now_ns() >= end || loop.stopping()) co_return false;
    co_await loop.sleep_ns(poll_ns);
  }
  co_return true;
}

}  // namespace

NbdServer::NbdServer(std::vector<Loop*> loops, ExportResolver& resolver, NbdLimits limits)
    : state_(std::make_shared<ServerState>(limits, resolver)) {
  VERIFY(!loops.empty());
  VERIFY(limits.piece_bytes >= 4096 && limits.piece_bytes <= limits.payload_bytes);
  VERIFY(limits.connection_requests > 0 && limits.connections > 0);
  for (Loop* loop : loops)
    state_->loops.push_back(std::make_unique<ServerLoop>(*loop, limits, limits.total_bytes / loops.size()));
}

NbdServer::~NbdServer() {
  const std::lock_guard lock(state_->mutex);
  VERIFY(state_->listeners.empty());  // shutdown() was not awaited
}

Result<void> NbdServer::set_tls_credentials(std::shared_ptr<const TlsCredentials> credentials) {
  return state_->set_tls_credentials(std::move(credentials));
}

Task<Result<std::string>> NbdServer::listen(ListenOptions options) {
  if (options.tls != TlsMode::off && state_->tls_credentials() == nullptr)
    co_return Error{Code::invalid, "TLS on " + options.address + " needs a certificate or pre-shared keys"};
  Result<std::vector<std::shared_ptr<Listener>>> opened = Listener::open(options);
  if (!opened) co_return std::move(opened.error());
  const std::string address = opened->front()->address();
  const std::lock_guard lock(state_->mutex);
  if (state_->shutting_down) co_return Error{Code::shutdown, "the server is shutting down"};
  for (std::shared_ptr<Listener>& listener : *opened) {
    ServerLoop* loop = state_->loops[next_loop_++ % state_->loops.size()].get();
    state_->listeners.push_back(listener);
    state_->accepting++;
    spawn_on(loop->loop, Listener::accept(state_, std::move(listener), loop));
  }
  co_return address;
}

Task<void> NbdServer::drain(const std::string* name) {
  ServerState& state = *state_;
  const auto demand = name == nullptr ? Connection::Demand::leave : Connection::Demand::revoke;
  for (const auto& connection : state.matching(name)) connection->demand(demand);
  const auto gone = [&state, name] { return state.count(name) == 0; };
  const bool drained = co_await wait_until(gone, state.limits.drain_ms * ms);
  if (drained) co_return;
  for (const auto& connection : state.matching(name)) connection->demand(Connection::Demand::cut);
  const bool ended = co_await wait_until(gone, cut_wait_ns);
  (void)ended;  // a device that does not answer keeps its connection; the state lives as long as they do
}

Task<void> NbdServer::disconnect(std::string name) { co_await drain(&name); }

Task<NbdReconnected> NbdServer::reconnect(std::vector<std::string> names) {
  std::vector<std::weak_ptr<Connection>> leaving;  // a connection goes when nobody holds it
  for (const auto& connection : state_->entered(names)) {
    connection->demand(Connection::Demand::leave);
    leaving.push_back(connection);
  }
  const auto remaining = [&leaving] {
    return static_cast<uint64_t>(
        std::count_if(leaving.begin(), leaving.end(), [](const auto& connection) { return !connection.expired(); }));
  };
  const bool all = co_await wait_until([&] { return remaining() == 0; }, state_->limits.drain_ms * ms);
  const uint64_t left = all ? 0 : remaining();
  co_return NbdReconnected{leaving.size() - left, left};
}

Task<void> NbdServer::shutdown() {
  ServerState& state = *state_;
  std::vector<std::shared_ptr<Listener>> listeners;
  {
    const std::lock_guard lock(state.mutex);
    state.shutting_down = true;
    listeners.swap(state.listeners);
  }
  for (const auto& listener : listeners) listener->close();
  co_await drain(nullptr);
  const auto quiet = [&state] { return state.accepting == 0; };
  const bool ended = co_await wait_until(quiet, cut_wait_ns);
  (void)ended;
}

NbdCounters NbdServer::counters() const {
  const std::lock_guard lock(state_->mutex);
  NbdCounters sum;
  sum.connections = state_->open_connections;
  sum.refused = state_->refused;
  for (const auto& loop : state_->loops) {
    const nbd::LoopCounters& from = loop->counters;
    sum.accepted += from.accepted.get();
    sum.handshakes_failed += from.handshakes_failed.get();
    sum.errors += from.errors.get();
    sum.bytes_read += from.bytes_read.get();
    sum.bytes_written += from.bytes_written.get();
    for (size_t i = 0; i < nbd::command_kinds; i++) sum.requests[i] += from.requests[i].get();
  }
  return sum;
}

std::vector<NbdExportCounters> NbdServer::export_counters() const { return state_->exports.read(); }

const NbdLimits& NbdServer::limits() const { return state_->limits; }

}  // namespace atl
