// connection_requests.cc: the transmission phase: requests off the input, one task for each, answers onto the output.
#include <algorithm>

#include "nbd/server/connection.h"

namespace atl::nbd {

struct Connection::LargeWrite {
  Request request;
  uint32_t pending = 1;  // pieces being written, and the reader until it has received the last
  std::optional<Error> failure;
  uint64_t failed_at = 0;
};

/// Until the client says DISC (true), or the stream ends in any other way (false).
Task<bool> Connection::transmit() {
  linger_if_idle();
  if (state_->limits.idle_ms > 0) home().need_ticks(state_);
  for (;;) {
    reading_ = true;
    while (!deaf_) {
      const RequestStream::Step step = requests_.next();
      if (step == RequestStream::Step::wants_input) break;
      if (step == RequestStream::Step::lost) co_return false;
      Request& request = requests_.request();
      request.begun_ns = loop().now_ns();
      // "The server MUST handle all outstanding requests": finish() waits for them.
      if (step == RequestStream::Step::disconnect) {
        count_request(Command::disconnect);
        co_return true;
      }
      while (in_flight_ >= state_->limits.connection_requests) {
        reader_waits();  // which may make the room
        if (in_flight_ >= state_->limits.connection_requests) co_await room_.wait();
      }
      if (deaf_) break;
      begin_request(request);
      while (!requests_.settle(open_->device->size_bytes(), draining_ && !deaf_)) {
        reader_waits();
        const bool more = co_await receive();
        if (!more) co_return end_request(0), false;
      }
      if (!requests_.verdict().accepted()) {
        refuse(request, requests_.verdict());
        continue;
      }
      const uint64_t charge = first_charge(request);
      if (!home().buffers.try_charge(account_, charge)) {
        reader_waits();
        co_await home().buffers.charge(account_, charge);
      }
      if (request.command == Command::write && (request.length > input_.size() || in_pieces(request))) {
        reader_waits();
        const bool alive = co_await take_write(request, charge);
        if (!alive) co_return false;
      } else {
        serve(request, charge);
      }
    }
    if (deaf_) input_.drop_all();
    reader_waits();
    const bool more = co_await receive();
    if (!more) co_return false;
  }
}

/// Before the reader waits for anything: the replies of the requests that it just read leave together, and with io_uring in
/// the same system call that begins the wait.
void Connection::reader_waits() {
  reading_ = false;
  start_pump();
}

/// Whether the request is served piece by piece. A READ in one chunk needs it all at once: with simple replies an error could
/// no longer be told once the data has begun.
bool Connection::in_pieces(const Request& request) const {
  if (request.length <= state_->limits.piece_bytes) return false;
  if (request.command == Command::write) return true;
  return request.command == Command::read && rules_.structured && (request.flags & cflag_df) == 0;
}

/// What is charged before a request starts; those in pieces charge each piece later.
uint64_t Connection::first_charge(const Request& request) const {
  switch (request.command) {
    case Command::read:
    case Command::write: return request_charge + (in_pieces(request) ? 0 : request.length);
    case Command::block_status: return request_charge + status_charge_per_extent * state_->limits.status_extents;
    default: return request_charge;
  }
}

/// A request that is here with all its payload.
void Connection::serve(const Request& request, uint64_t charge) {
  switch (request.command) {
    case Command::read: {
      if (in_pieces(request)) {
        serve_large_read(request);
        return;
      }
      serve_read(request, charge);
      return;
    }
    case Command::write: {
      payload_ahead_ = false;
      Buffer buffer;
      if (request.length > 0) {
        buffer = home().buffers.take(request.length);
        requests_.take_payload(buffer.first(request.length));
      }
      serve_write(request, std::move(buffer), charge);
      return;
    }
    case Command::block_status: serve_status(request, charge); return;
    default: serve_plain(request); return;
  }
}

void Connection::begin_request(const Request& request) {
  in_flight_++;
  begun_++;
  if (static_cast<size_t>(request.command) < command_kinds) count_request(request.command);
}

// ---- counting: for the loop and for the export ----

void Connection::count_request(Command command) {
  const auto kind = static_cast<size_t>(command);
  home().counters.requests[kind].add(1);
  counters_->requests[kind].add(1);
}

void Connection::count_read(uint64_t bytes) {
  home().counters.bytes_read.add(bytes);
  counters_->bytes_read.add(bytes);
}

void Connection::count_written(uint64_t bytes) {
  home().counters.bytes_written.add(bytes);
  counters_->bytes_written.add(bytes);
}

/// With its last reply.
void Connection::answered(const Request& request) {
  if (static_cast<size_t>(request.command) < command_kinds)
    counters_->answered(request.command, loop().now_ns() - request.begun_ns);
}

void Connection::queue_last(Reply& reply, const Request& request) {
  answered(request);
  queue(reply);
}

void Connection::end_request(uint64_t charge) {
  if (charge > 0) home().buffers.discharge(account_, charge);
  VERIFY(in_flight_ > 0);
  in_flight_--;
  if (!room_.empty()) room_.wake_all();
  if (in_flight_ == 0) {
    if (draining_) linger_if_idle();
    wake_finish();
  }
}

/// The device may have become smaller while the request waited for its payload or for room.
Result<void> Connection::still_inside(uint64_t offset, uint64_t length) const {
  const uint64_t size = open_->device->size_bytes();
  if (offset <= size && length <= size - offset) return {};
  return Error{Code::out_of_range, "beyond the end of the export"};
}

void Connection::error_reply(Reply& reply, const Request& request, NbdError error, std::string_view message,
                             std::optional<uint64_t> offset) {
  home().counters.errors.add(1);
  counters_->errors.add(1);
  if (!rules_.structured) {
    encode_simple(reply.head, request, error);
    reply.body = {};
    return;
  }
  reply.text = message.substr(0, 1024);
  const auto message_bytes = static_cast<uint16_t>(reply.text.size());
  if (offset) {
    encode_error_offset_chunk(reply.head, request, error, message_bytes);
    reply.text.resize(message_bytes + 8u);
    Encoder(reinterpret_cast<std::byte*>(reply.text.data()) + message_bytes).put(*offset);
  } else {
    encode_error_chunk(reply.head, request, error, message_bytes);
  }
  reply.body = std::as_bytes(std::span(reply.text));
}

void Connection::device_error_reply(Reply& reply, const Request& request, const Error& error,
                                    std::optional<uint64_t> offset) {
  // Tenants learn what kind of failure it was; file names and the like are the operator's.
  const std::string_view message =
      door_ == Door::operator_door ? std::string_view(error.message) : code_name(error.code);
  error_reply(reply, request, nbd_error(error.code, request.command), message, offset);
  report_failure(request.command, request.offset, request.length, error);
}

/// To the operator's log, if it is the storage's failure and not the client's.
void Connection::report_failure(Command command, uint64_t offset, uint64_t length, const Error& error) {
  const bool damage = error.code == Code::io || error.code == Code::corrupt;
  if (!damage && error.code != Code::no_space) return;
  ReportLimit& limit = damage ? state_->damage_reports : state_->space_reports;
  const uint64_t now = loop().now_ns();
  // One client that tries again and again on a full disk must not use up what the others have to say.
  if (error.message == said_ && now < said_until_ns_) return limit.leave_unsaid();
  const std::optional<uint64_t> unsaid = limit.may_report(now);
  if (!unsaid) return;
  said_ = error.message;
  said_until_ns_ = now + ReportLimit::window_ns;
  state_->resolver.request_failed({door_, label_, command_name(command), offset, length, error, *unsaid});
}

Connection::Detached Connection::refuse(Request request, Verdict verdict) {
  Reply reply;
  error_reply(reply, request, verdict.error, verdict.message);
  queue_last(reply, request);
  co_await sent(reply);
  end_request(0);
}

// ---- WRITE ----

/// Receives the rest of the payload and serves the request; false at the end of the stream.
Task<bool> Connection::take_write(Request request, uint64_t charge) {
  payload_ahead_ = request.length >= busy_input_bytes;
  if (in_pieces(request)) {
    const bool alive = co_await take_large_write(request);
    co_return alive;
  }
  Buffer buffer = home().buffers.take(request.length);
  const bool alive = co_await receive_payload(buffer.first(request.length));
  if (!alive) {
    buffer = Buffer{};
    end_request(charge);
    co_return false;
  }
  serve_write(request, std::move(buffer), charge);
  co_return true;
}

Connection::Detached Connection::serve_write(Request request, Buffer buffer, uint64_t charge) {
  Reply reply;
  encode_done(reply.head, request);
  if (request.length > 0) {
    const Bytes from = buffer.first(request.length);
    WriteFlags flags;
    flags.fua = request.fua();
    Result<void> result = still_inside(request.offset, request.length);
    if (result) result = co_await open_->device->write(request.offset, from, flags);
    buffer = Buffer{};
    if (!result)
      device_error_reply(reply, request, result.error());
    else
      count_written(request.length);
  }
  queue_last(reply, request);
  co_await sent(reply);
  end_request(charge);
}

/// Each piece is written as soon as it is here; the request is answered when all are.
Task<bool> Connection::take_large_write(Request request) {
  BufferPool& buffers = home().buffers;
  auto write = std::make_shared<LargeWrite>();
  write->request = request;
  bool alive = true;
  for (uint64_t at = 0; at < request.length && alive;) {
    const auto length = static_cast<uint32_t>(std::min<uint64_t>(state_->limits.piece_bytes, request.length - at));
    if (!buffers.try_charge(account_, length)) co_await buffers.charge(account_, length);
    Buffer buffer = buffers.take(length);
    alive = co_await receive_payload(buffer.first(length));
    if (!alive || write->failure) {
      buffer = Buffer{};
      buffers.discharge(account_, length);
    } else {
      write->pending++;
      write_piece(write, request.offset + at, std::move(buffer), length);
    }
    at += length;
    if (alive && write->failure) {
      alive = co_await drop_payload();
      break;
    }
  }
  if (!alive && !write->failure) write->failure = Error{Code::cancelled, "the client left"};
  if (--write->pending == 0) finish_large_write(std::move(write));
  co_return alive;
}

Connection::Detached Connection::write_piece(std::shared_ptr<LargeWrite> write, uint64_t offset, Buffer buffer,
                                             uint32_t length) {
  const Bytes from = buffer.first(length);
  const WriteFlags flags;
  Result<void> result = still_inside(offset, length);
  if (result) result = co_await open_->device->write(offset, from, flags);
  buffer = Buffer{};
  home().buffers.discharge(account_, length);
  if (!result && (!write->failure || offset < write->failed_at)) {
    write->failure = result.error();
    write->failed_at = offset;
  }
  if (--write->pending == 0) finish_large_write(std::move(write));
}

Connection::Detached Connection::finish_large_write(std::shared_ptr<LargeWrite> write) {
  const Request& request = write->request;
  // One flush for all pieces instead of one durable commit for each.
  if (!write->failure && request.fua()) {
    const Result<void> result = co_await open_->device->flush();
    if (!result) write->failure = result.error();
  }
  Reply reply;
  encode_done(reply.head, request);
  if (write->failure)
    device_error_reply(reply, request, *write->failure);
  else
    count_written(request.length);
  queue_last(reply, request);
  co_await sent(reply);
  end_request(request_charge);
}

}  // namespace atl::nbd
