#include "nbd/server/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace atl::nbd {
namespace {

// Which of the two is next depends on how much came last: a connection that goes idle, and one that asks for little at a
// time, holds the small one. So does one that sends payloads larger than either: what comes into input_ has to be copied out of
// it, the rest is received where it belongs. The small one is large enough for one 4 KiB write in one recv.
constexpr size_t idle_input_bytes = 8u << 10;

}  // namespace

Connection::Connection(std::shared_ptr<ServerState> state, ServerLoop& loop, int fd, Door door, TlsMode tls)
    : state_(std::move(state)), loop_(&loop), fd_(fd), door_(door), tls_mode_(tls) {
  account_.limit = state_->limits.connection_bytes;
  place_.connection = this;
  place_.door = door;
  if (door == Door::tenant) place_.client = client_of(fd);
  pump_job_.connection = this;
  pump_job_.run = [](Job& job) noexcept {
    Connection& self = *static_cast<PumpJob&>(job).connection;
    self.pump_posted_ = false;
    self.start_pump();
    self.wake_finish();
  };
}

Connection::~Connection() { ::close(fd_); }

void Connection::start(std::shared_ptr<ServerState> state, ServerLoop& loop, int fd, Door door, TlsMode tls) {
  auto self = std::make_shared<Connection>(state, loop, fd, door, tls);
  switch (state->enter(self)) {
    case Admissions::Answer::closed: return;
    case Admissions::Answer::over_limit: self->over_limit_ = true; break;
    case Admissions::Answer::welcome: break;
  }
  loop.counters.accepted.add(1);
  spawn(live(std::move(self)));
}

Task<void> Connection::live(std::shared_ptr<Connection> self) {
  self->home().add(*self);
  co_await self->run();
  self->home().remove(*self);
  self->state_->leave(*self);
}

Task<void> Connection::run() {
  const bool chosen = co_await negotiate();
  if (chosen) {
    transmitting_ = true;
    enter_export();
    const bool disconnected = co_await transmit();
    abandoned_ = !disconnected;
    reader_waits();
  } else {
    home().counters.handshakes_failed.add(1);
  }
  co_await finish();
}

Task<void> Connection::finish() {
  while (in_flight_ > 0 || pumping_ || pump_posted_ || out_first_ != nullptr) co_await quiet_.wait();
  // Whoever woke us is still on its way out of this object.
  co_await loop().schedule();
  deadline_ns_ = 0;
  if (tls_ != nullptr) co_await say_goodbye();
  release_input();
  rules_.contexts.clear();
  leave_export();
  open_.reset();  // on its home, where we have been since it was opened
  ::shutdown(fd_, SHUT_RDWR);
}

/// On the device's home, where the connection stays.
void Connection::enter_export() {
  label_ = !open_->label.empty() ? open_->label : open_canonical_;
  counters_ = state_->exports.enter(door_, label_, loop());
}

void Connection::leave_export() {
  if (counters_ == nullptr) return;
  counters_.reset();
  state_->exports.leave(door_, label_, loop());
}

void Connection::wake_finish() {
  if (in_flight_ == 0 && !pumping_ && !pump_posted_ && out_first_ == nullptr && !quiet_.empty()) quiet_.wake_all();
}

// ---- demands from elsewhere ----

void Connection::demand(Demand what) {
  Demand before = demand_.load();
  while (before < what && !demand_.compare_exchange_weak(before, what)) {
  }
  if (before >= what) return;
  // Either this reads the loop it is on, or it moves after this and looks at the demand when it arrives (move_to).
  struct Kick : Job {
    std::shared_ptr<Connection> connection;
  };
  Kick* kick = new Kick;
  kick->connection = shared_from_this();
  kick->run = [](Job& job) noexcept {
    std::unique_ptr<Kick> self(static_cast<Kick*>(&job));
    if (self->connection->loop().on_thread()) self->connection->obey();
  };
  loop_.load()->loop.post(*kick);
}

void Connection::obey() {
  switch (demand_.load()) {
    case Demand::none: return;
    case Demand::cut: return cut();
    case Demand::leave: deaf_ = true; break;
    case Demand::revoke: break;
  }
  if (draining_) return;
  draining_ = true;
  if (transmitting_) return linger_if_idle();
  // The client is told at its next option, if that comes soon.
  if (handshake_ != nullptr) handshake_->refuse_all(OptionReply::err_shutdown, "the server is shutting down");
  arm(deadline_ns_, state_->limits.linger_ms);
}

/// When a draining connection has answered everything: our side of the stream ends. The peer reads to its end and closes;
/// closing first could destroy our last replies on their way, should unread requests be left in our socket.
void Connection::linger_if_idle() {
  if (!draining_ || lingering_ || in_flight_ > 0 || pumping_ || out_first_ != nullptr) return;
  lingering_ = deaf_ = true;
  arm(deadline_ns_, state_->limits.linger_ms);
  if (tls_ != nullptr) {
    tls_->close();
    if (has_something_to_send()) return start_pump();  // which ends our side afterwards
  }
  ::shutdown(fd_, SHUT_WR);
}

void Connection::cut() { ::shutdown(fd_, SHUT_RDWR); }

void Connection::arm(uint64_t& deadline, uint32_t delay_ms) {
  deadline = loop().now_ns() + uint64_t{delay_ms} * 1'000'000;
  home().need_ticks(state_);
}

bool Connection::check_deadlines(uint64_t now_ns) {
  const auto passed = [&](uint64_t deadline) { return deadline != 0 && deadline <= now_ns; };
  if (passed(deadline_ns_) || passed(send_deadline_ns_)) cut();
  const bool watched = transmitting_ && !draining_ && state_->limits.idle_ms > 0;
  if (watched) leave_if_idle(now_ns);
  return deadline_ns_ != 0 || send_deadline_ns_ != 0 || watched;
}

/// Looked at by the ticks alone, so that a request costs no clock.
void Connection::leave_if_idle(uint64_t now_ns) {
  if (begun_ != begun_seen_ || in_flight_ > 0 || active_ns_ == 0) {
    begun_seen_ = begun_;
    active_ns_ = now_ns;
    return;
  }
  if (now_ns - active_ns_ < uint64_t{state_->limits.idle_ms} * 1'000'000) return;
  draining_ = deaf_ = true;
  linger_if_idle();
}

Task<void> Connection::move_to(Executor& executor) {
  ServerLoop& from = home();
  ServerLoop& to = state_->loop_of(executor);
  if (&from == &to) co_return;
  // Buffers stay with their loop; what was received already comes along.
  const std::vector<std::byte> unread(input_.unread().begin(), input_.unread().end());
  release_input();
  from.remove(*this);
  loop_.store(&to);
  co_await to.loop.schedule();
  to.add(*this);
  if (!unread.empty()) {
    input_buffer_ = to.buffers.take(std::max(unread.size(), idle_input_bytes));
    input_.move_into(input_buffer_.first(input_buffer_.capacity()));
    std::copy(unread.begin(), unread.end(), input_.room().begin());
    input_.received(unread.size());
  }
  if (deadline_ns_ != 0) to.need_ticks(state_);
  obey();
}

// ---- input ----

/// More bytes behind those that are there; false at the end of the stream.
Task<bool> Connection::receive() {
  const bool little = received_last_ < idle_input_bytes || payload_ahead_;
  const size_t want = little ? idle_input_bytes : busy_input_bytes;
  if (input_buffer_.capacity() != want) {
    Buffer next = home().buffers.take(want);
    input_.move_into(next.first(want));
    input_buffer_ = std::move(next);
  } else {
    input_.move_into(input_buffer_.first(want));
  }
  const MutableBytes room = input_.room();
  VERIFY(!room.empty());
  int32_t n;
  if (tls_ != nullptr) {
    n = co_await receive_decrypted(room);
  } else {
    do {
      n = co_await loop().recv(fd_, room);
    } while (n == -EINTR || n == -EAGAIN);
  }
  if (n <= 0) co_return false;
  received_last_ = static_cast<size_t>(n);
  input_.received(received_last_);
  co_return true;
}

void Connection::release_input() {
  input_ = InputWindow{};
  input_buffer_ = Buffer{};
}

Task<bool> Connection::receive_payload(MutableBytes into) {
  size_t have = requests_.take_payload(into);
  while (have < into.size()) {
    const MutableBytes rest = into.subspan(have);
    int32_t n;
    if (tls_ != nullptr)
      n = co_await receive_decrypted(rest);
    else
      n = co_await loop().recv(fd_, rest, MSG_WAITALL);
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n <= 0) co_return false;
    have += static_cast<size_t>(n);
    requests_.payload_received(static_cast<size_t>(n));
  }
  co_return true;
}

/// What is left of the last request's; false at the end of the stream.
Task<bool> Connection::drop_payload() {
  while (!requests_.drop_payload()) {
    const bool more = co_await receive();
    if (!more) co_return false;
  }
  co_return true;
}

}  // namespace atl::nbd
