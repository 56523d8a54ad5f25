// connection_ranges.cc: the commands that are about a range but carry no bytes of it. A range may be as long as the export: it is
// worked off in steps, so that others have their turn, and no further once nobody waits for the answer.
#include <algorithm>

#include "nbd/server/connection.h"

namespace atl::nbd {

Connection::Detached Connection::serve_plain(Request request) {
  Reply reply;
  Result<void> result = still_inside(request.offset, request.length);
  if (result) {
    if (request.command == Command::flush)
      result = co_await open_->device->flush();
    else
      result = co_await change_range(request);
  }
  if (!result)
    device_error_reply(reply, request, result.error());
  else
    encode_done(reply.head, request);
  queue_last(reply, request);
  co_await sent(reply);
  end_request(request_charge);
}

/// Between two steps. An error: stop.
Result<void> Connection::may_go_on(uint64_t offset, uint64_t length) const {
  if (abandoned_ || broken_) return Error{Code::cancelled, "the client left"};
  return still_inside(offset, length);
}

/// TRIM, WRITE_ZEROES, CACHE.
Task<Result<void>> Connection::change_range(Request request) {
  const uint64_t step = state_->limits.range_step_bytes;
  const uint64_t end = request.offset + request.length;
  const bool in_steps = request.length > step - request.offset % step;
  for (uint64_t at = request.offset; at < end;) {
    if (in_steps) {
      const Result<uint64_t> nothing = co_await open_->device->nothing_stored(at, end - at);
      if (!nothing) co_return nothing.error();
      at +=
          *nothing;  // where nothing is left to do the device is asked all the same, with a length of 0: it may be refusing changes
    }
    // Steps end at multiples of their size: a block that were cut in two would be trimmed by neither.
    const uint64_t length = std::min(end - at, step - at % step);
    WriteFlags flags;
    flags.fua = request.fua() && length == request.length;
    flags.no_hole = (request.flags & cflag_no_hole) != 0;
    Result<void> result = co_await change_step(request.command, at, length, flags);
    if (!result) co_return result;
    at += length;
    if (at == end) break;
    co_await loop().schedule();
    result = may_go_on(at, end - at);
    if (!result) co_return result;
  }
  // One flush for all steps instead of a durable commit for each.
  if (in_steps && request.fua() && request.command != Command::cache) {
    Result<void> result = co_await open_->device->flush();
    co_return result;
  }
  co_return Result<void>{};
}

Task<Result<void>> Connection::change_step(Command command, uint64_t offset, uint64_t length, WriteFlags flags) {
  BlockDevice& device = *open_->device;
  switch (command) {
    case Command::trim: return device.trim(offset, length, flags);
    case Command::write_zeroes: return device.write_zeroes(offset, length, flags);
    case Command::cache: return device.cache(offset, length);
    default: VERIFY(!"a command that was judged");
  }
  __builtin_unreachable();
}

// ---- BLOCK_STATUS ----

/// `max_runs` at most, as one context describes the range.
Task<Result<std::vector<StatusRun>>> Connection::status_step(const SelectedContext& context, uint64_t offset,
                                                             uint64_t length, uint32_t max_runs) {
  if (context.question.kind != StatusQuestion::Kind::allocation) {
    Result<std::vector<StatusRun>> runs = co_await open_->device->status(context.question, offset, length, max_runs);
    co_return runs;
  }
  Result<std::vector<Extent>> extents = co_await open_->device->extents(offset, length, max_runs);
  if (!extents) co_return extents.error();
  std::vector<StatusRun> runs;
  runs.reserve(extents->size());
  for (const Extent& extent : *extents)
    runs.push_back({extent.length, (extent.hole ? state_hole : 0u) | (extent.zero ? state_zero : 0u)});
  co_return runs;
}

/// The same of a range of any length. It may end early, which the client takes for "ask on from there".
Task<Result<std::vector<StatusRun>>> Connection::status_of(const SelectedContext& context, uint64_t offset,
                                                           uint64_t length, uint32_t max_runs) {
  const uint64_t end = offset + length;
  std::vector<StatusRun> runs;
  uint64_t at = offset;
  for (uint32_t steps = 0; at < end && steps < state_->limits.status_steps; steps++) {
    if (steps > 0) {
      co_await loop().schedule();
      const Result<void> on = may_go_on(at, end - at);
      if (!on) co_return on.error();
    }
    // One more than there is room for: it may go on what the last step ended with.
    const uint32_t room = max_runs - static_cast<uint32_t>(runs.size()) + (runs.empty() ? 0 : 1);
    Result<std::vector<StatusRun>> more = co_await status_step(context, at, end - at, room);
    if (!more) co_return more.error();
    VERIFY(!more->empty() && more->size() <= room);
    for (const StatusRun& run : *more) {
      VERIFY(run.length > 0 && run.length <= end - at);
      if (!runs.empty() && runs.back().flags == run.flags)
        runs.back().length += run.length;
      else if (runs.size() == max_runs)
        co_return runs;
      else
        runs.push_back(run);
      at += run.length;
    }
  }
  co_return runs;
}

/// One chunk for each context that is asked for, in the order of their ids; each may end where it likes ("the number of blocks
/// and cumulative length need not be identical"). An error of one is the error of all.
Connection::Detached Connection::serve_status(Request request, uint64_t charge) {
  std::vector<const SelectedContext*> asked;
  for (size_t i = 0; i < rules_.contexts.size(); i++)
    if ((request.contexts & (1u << i)) != 0) asked.push_back(&rules_.contexts[i]);
  VERIFY(!asked.empty() && rules_.contexts.size() <= 32);
  const uint32_t share = std::max<uint32_t>(state_->limits.status_extents / asked.size(), 1);
  const uint32_t max_runs = (request.flags & cflag_req_one) != 0 ? 1 : share;
  Reply reply;
  std::vector<std::byte> body;  // of the first chunk, then the other chunks whole
  Result<void> told = still_inside(request.offset, request.length);
  for (const SelectedContext* context : asked) {
    if (!told) break;
    Result<std::vector<StatusRun>> runs = co_await status_of(*context, request.offset, request.length, max_runs);
    if (!runs) {
      told = runs.error();
      break;
    }
    ReplyHead head;
    encode_status_chunk(head, request, context->id, static_cast<uint32_t>(runs->size()), context == asked.back());
    if (context == asked.front())
      reply.head = head;
    else
      body.insert(body.end(), head.bytes.begin(), head.bytes.begin() + head.size);
    for (const StatusRun& run : *runs) {
      if (request.extended) {
        append_be(body, run.length);
        append_be(body, run.flags);
      } else {
        VERIFY(run.length <= UINT32_MAX && run.flags <= UINT32_MAX);
        append_be(body, static_cast<uint32_t>(run.length));
        append_be(body, static_cast<uint32_t>(run.flags));
      }
    }
  }
  if (told)
    reply.body = body;
  else
    device_error_reply(reply, request, told.error());
  queue_last(reply, request);
  co_await sent(reply);
  end_request(charge);
}

}  // namespace atl::nbd
