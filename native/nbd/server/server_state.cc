#include "nbd/server/server_state.h"

#include <algorithm>

#include "nbd/server/connection.h"

namespace atl::nbd {
namespace {

/// What an account may always charge: one piece beside the overhead of as many requests as may be in flight.
uint64_t guaranteed_bytes(const NbdLimits& limits) {
  return limits.piece_bytes + uint64_t{1024} * (limits.connection_requests + 1);
}

}  // namespace

ServerLoop::ServerLoop(Loop& on, const NbdLimits& limits, uint64_t bytes_limit)
    // Less than the largest request could never be served.
    : loop(on),
      buffers(std::max<uint64_t>(bytes_limit, uint64_t{limits.payload_bytes} * 2), guaranteed_bytes(limits)) {}

void ServerLoop::add(Connection& connection) {
  VERIFY(loop.on_thread() && connection.prev_on_loop_ == nullptr);
  connection.next_on_loop_ = first_;
  if (first_ != nullptr) first_->prev_on_loop_ = &connection.next_on_loop_;
  connection.prev_on_loop_ = &first_;
  first_ = &connection;
}

void ServerLoop::remove(Connection& connection) {
  VERIFY(loop.on_thread() && connection.prev_on_loop_ != nullptr);
  *connection.prev_on_loop_ = connection.next_on_loop_;
  if (connection.next_on_loop_ != nullptr) connection.next_on_loop_->prev_on_loop_ = connection.prev_on_loop_;
  connection.prev_on_loop_ = nullptr;
}

void ServerLoop::need_ticks(const std::shared_ptr<ServerState>& state) {
  if (ticking_) return;
  ticking_ = true;
  spawn(ticks(state, this));
}

Task<void> ServerLoop::ticks(std::shared_ptr<ServerState> keeps_self, ServerLoop* self) {
  (void)keeps_self;
  do {
    co_await self->loop.sleep_ns(tick_ns);
  } while (self->tick() && !self->loop.stopping());
  self->ticking_ = false;
}

bool ServerLoop::tick() {
  const uint64_t now = loop.now_ns();
  bool armed = false;
  for (Connection* at = first_; at != nullptr; at = at->next_on_loop_) armed |= at->check_deadlines(now);
  return armed;
}

ServerLoop& ServerState::loop_of(Executor& home) {
  const std::lock_guard lock(mutex);
  for (const auto& known : loops)
    if (&known->loop == &home) return *known;
  const uint64_t share = limits.total_bytes / (loops.size() + 1);
  // A device lives on a loop (block_device.h: home() is one for real devices).
  loops.push_back(std::make_unique<ServerLoop>(static_cast<Loop&>(home), limits, share));
  return *loops.back();
}

Admissions::Answer ServerState::enter(const std::shared_ptr<Connection>& connection) {
  std::shared_ptr<Connection> evicted;
  Admissions::Entry entry;
  {
    const std::lock_guard lock(mutex);
    if (shutting_down) return Admissions::Answer::closed;
    entry = admissions.enter(connection->place_);
    if (entry.evicted != nullptr) evicted = entry.evicted->connection->shared_from_this();
    if (entry.answer != Admissions::Answer::welcome) refused++;
    if (entry.answer != Admissions::Answer::closed) {
      connections.push_back(connection);
      open_connections = connections.size();
    }
  }
  if (evicted) evicted->demand(Connection::Demand::cut);
  return entry.answer;
}

Admissions::Choice ServerState::choose(Connection& connection, const std::string& export_name,
                                       const std::string& project) {
  const std::lock_guard lock(mutex);
  const Admissions::Choice choice = admissions.choose(connection.place_, export_name, project);
  if (choice == Admissions::Choice::granted)
    connection.entered_ = true;
  else
    refused++;
  return choice;
}

void ServerState::take_back(Connection& connection) {
  const std::lock_guard lock(mutex);
  connection.entered_ = false;
  admissions.take_back(connection.place_);
}

void ServerState::leave(Connection& connection) {
  const std::lock_guard lock(mutex);
  const auto at = std::find_if(connections.begin(), connections.end(),
                               [&](const std::shared_ptr<Connection>& one) { return one.get() == &connection; });
  VERIFY(at != connections.end());
  admissions.leave(connection.place_);
  std::swap(*at, connections.back());
  connections.pop_back();
  open_connections = connections.size();
}

std::vector<std::shared_ptr<Connection>> ServerState::matching(const std::string* name) {
  const std::lock_guard lock(mutex);
  std::vector<std::shared_ptr<Connection>> found;
  for (const auto& connection : connections)
    if (name == nullptr || connection->came_by(*name)) found.push_back(connection);
  return found;
}

size_t ServerState::count(const std::string* name) {
  const std::lock_guard lock(mutex);
  if (name == nullptr) return connections.size();
  return static_cast<size_t>(std::count_if(connections.begin(), connections.end(),
                                           [&](const auto& connection) { return connection->came_by(*name); }));
}

std::vector<std::shared_ptr<Connection>> ServerState::entered(const std::vector<std::string>& names) {
  const std::lock_guard lock(mutex);
  std::vector<std::shared_ptr<Connection>> found;
  for (const auto& connection : connections) {
    const auto is_its = [&](const std::string& name) { return connection->came_by(name); };
    if (connection->entered() && std::any_of(names.begin(), names.end(), is_its)) found.push_back(connection);
  }
  return found;
}

std::shared_ptr<const TlsCredentials> ServerState::tls_credentials() const {
  const std::lock_guard lock(mutex);
  return tls_credentials_;
}

Result<void> ServerState::set_tls_credentials(std::shared_ptr<const TlsCredentials> credentials) {
  const std::lock_guard lock(mutex);
  if (!tls_pool_) {
    Result<std::unique_ptr<BlockingPool>> made = BlockingPool::create("atoll-tls", 1);
    if (!made) return std::move(made.error());
    tls_pool_ = std::move(*made);
  }
  tls_credentials_ = std::move(credentials);
  return {};
}

}  // namespace atl::nbd
