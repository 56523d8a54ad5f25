// connection_handshake.cc: the handshake machine on a socket, and its questions put to the resolver and the device.
#include <cerrno>

#include "nbd/server/connection.h"

namespace atl::nbd {
namespace {

OptionReply option_error(Code code) {
  switch (code) {
    case Code::not_found: return OptionReply::err_unknown;
    case Code::shutdown: return OptionReply::err_shutdown;
    case Code::invalid: return OptionReply::err_invalid;
    default: return OptionReply::err_policy;
  }
}

/// The same for every name that opens nothing over TCP, so that none can be told from another.
constexpr const char* unknown_to_tenants =
    "no such export: over TCP, expected the export name that an attachment's connection information shows";

constexpr const char* not_listed_to_tenants =
    "exports are not listed over TCP: ask for one by the export name that its attachment shows";

/// Tenants are told the kind of failure, not its particulars.
std::string message_for(Door door, const Error& error) {
  if (door == Door::operator_door) return error.message;
  if (error.code == Code::not_found) return unknown_to_tenants;
  return std::string("the export cannot be opened: ") + code_name(error.code);
}

std::string full_message(Admissions::Choice choice, const NbdLimits& limits) {
  const bool whole_project = choice == Admissions::Choice::project_full;
  const uint32_t count = whole_project ? limits.project_connections : limits.export_connections;
  return (whole_project ? "the exports of this project have " : "this export has ") + std::to_string(count) +
         " connections, as many as it may: close one, then try again";
}

}  // namespace

Task<bool> Connection::negotiate() {
  Handshake handshake(state_->limits, tls_mode_);
  handshake_ = &handshake;
  struct Forget {
    Handshake*& pointer;
    ~Forget() { pointer = nullptr; }
  } forget{handshake_};
  if (over_limit_)
    handshake.refuse_all(OptionReply::err_policy, "this server has as many connections as it allows; try again later");
  if (deadline_ns_ == 0) arm(deadline_ns_, state_->limits.handshake_ms);
  obey();
  for (;;) {
    if (handshake.has_output()) {
      const std::vector<std::byte> output = handshake.take_output();
      const bool taken = co_await send_all(output);
      if (!taken) co_return false;
    }
    switch (handshake.state()) {
      case Handshake::State::negotiating: break;
      case Handshake::State::open_wanted: co_await answer_open(handshake); continue;
      case Handshake::State::list_wanted: co_await answer_list(handshake); continue;
      case Handshake::State::tls_wanted: {
        const bool encrypted = co_await start_tls(handshake);
        if (!encrypted) co_return false;
        continue;
      }
      case Handshake::State::closed: co_return false;
      case Handshake::State::transmission:
        deadline_ns_ = 0;
        rules_ =
            rules_after(handshake.negotiated(), open_->read_only || open_->device->read_only(), open_->block_sizes);
        co_return true;
    }
    if (input_.empty()) {
      const bool more = co_await receive();
      if (!more) co_return false;
    }
    input_.skip(handshake.consume(input_.unread()));
  }
}

/// The client is not to blame for the time that we take ourselves. Answers what is left of its own.
uint64_t Connection::stop_clock() {
  const uint64_t now = loop().now_ns();
  const uint64_t left_ns = deadline_ns_ > now ? deadline_ns_ - now : 1;
  deadline_ns_ = 0;
  return left_ns;
}

void Connection::start_clock(uint64_t left_ns) {
  if (draining_) return arm(deadline_ns_, state_->limits.linger_ms);
  deadline_ns_ = loop().now_ns() + left_ns;
  home().need_ticks(state_);
}

Task<void> Connection::answer_open(Handshake& handshake) {
  const std::string name = handshake.export_name();
  if (!open_ || open_name_ != name) {
    if (open_) open_.reset();  // one at a time; on its home
    // Before each question: a disconnect(name) that comes while the resolver thinks must find this connection.
    set_name(name);
    const uint64_t left_ns = stop_clock();
    Result<std::string> canonical = co_await state_->resolver.canonical_name(door_, name);
    Result<std::optional<OpenExport>> found = std::optional<OpenExport>{};
    if (canonical) {
      open_canonical_ = std::move(*canonical);
      set_name(open_canonical_);
      found = co_await state_->resolver.open(door_, open_canonical_);
    } else {
      found = std::move(canonical.error());
    }
    start_clock(left_ns);
    if (!found) {
      forget_name();
      const std::string message = message_for(door_, found.error());
      handshake.not_found(option_error(found.error().code), message);
      co_return;
    }
    if (!found->has_value()) {
      forget_name();
      handshake.not_found(OptionReply::err_unknown, door_ == Door::tenant ? unknown_to_tenants : "no such export");
      co_return;
    }
    open_ = std::move(*found);
    open_name_ = name;
    VERIFY(open_->device != nullptr);
    BlockSizes& sizes = open_->block_sizes;
    VERIFY(sizes.minimum > 0 && (sizes.minimum & (sizes.minimum - 1)) == 0 && sizes.preferred >= sizes.minimum);
    sizes.maximum = std::min(sizes.maximum, state_->limits.payload_bytes);
    co_await move_to(open_->device->home());
  }
  ExportFacts facts;
  if (const MetaQueries* queries = handshake.meta_queries(); queries != nullptr && queries->beyond_base()) {
    const uint64_t left_ns = stop_clock();
    Result<std::vector<MetaContext>> offered = co_await state_->resolver.contexts(door_, open_canonical_, *queries);
    start_clock(left_ns);
    if (!offered) {
      const std::string message = message_for(door_, offered.error());
      handshake.not_found(option_error(offered.error().code), message);
      co_return;
    }
    facts.contexts = std::move(*offered);
  }
  if (draining_) {
    // Disconnected or going down while the resolver thought: the lease goes back at once.
    open_.reset();
    handshake.not_found(OptionReply::err_shutdown, "the server is shutting down");
    co_return;
  }
  // Before the size is read: a reconnect() after a change of the size ends this connection, or the client is told the new size.
  if (handshake.enters()) {
    const Admissions::Choice choice = state_->choose(*this, open_canonical_, open_->project);
    if (choice != Admissions::Choice::granted) {
      open_.reset();
      forget_name();
      handshake.not_found(OptionReply::err_policy, full_message(choice, state_->limits));
      co_return;
    }
  }
  facts.size_bytes = open_->device->size_bytes();
  facts.read_only = open_->read_only || open_->device->read_only();
  facts.block_sizes = open_->block_sizes;
  facts.canonical_name = open_canonical_;
  facts.description = open_->description;
  handshake.found(facts);
  if (handshake.enters() && handshake.state() != Handshake::State::transmission) state_->take_back(*this);
}

Task<void> Connection::answer_list(Handshake& handshake) {
  const uint64_t left_ns = stop_clock();
  Result<std::vector<std::string>> names = co_await state_->resolver.list(door_);
  start_clock(left_ns);
  if (!names) {
    const OptionReply reply = option_error(names.error().code);
    const bool refused = door_ == Door::tenant && reply == OptionReply::err_policy;
    const std::string message = refused ? not_listed_to_tenants : message_for(door_, names.error());
    handshake.no_list(reply, message);
    co_return;
  }
  handshake.list(*names);
}

Task<bool> Connection::send_all(Bytes bytes) {
  while (!bytes.empty()) {
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    int32_t n;
    if (tls_ != nullptr)
      n = co_await send_encrypted({&part, 1});
    else
      n = co_await loop().sendmsg(fd_, &message, MSG_WAITALL);
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n <= 0) co_return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  co_return true;
}

void Connection::set_name(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  named_ = true;
  name_ = name;
}

void Connection::forget_name() {
  const std::lock_guard lock(state_->mutex);
  named_ = false;
}

}  // namespace atl::nbd
