// connection_reads.cc: READ: what is data is sent, what reads as zeros is only told, where the client understands that.
#include <algorithm>
#include <cstring>

#include "nbd/server/connection.h"

namespace atl::nbd {

/// With structured replies what reads as zeros is left out of `into` and listed in `zeroes`.
Task<Result<void>> Connection::read_from_device(uint64_t at, MutableBytes into, std::vector<ZeroRun>& zeroes) {
  BlockDevice& device = *open_->device;
  return rules_.structured ? device.read_sparse(at, into, zeroes) : device.read(at, into);
}

/// DF wants one chunk: where that cannot be one hole, it is data, zeros and all.
void Connection::fill_for_one_chunk(MutableBytes bytes, std::vector<ZeroRun>& zeroes) {
  if (zeroes.empty() || zeroes.front().length == bytes.size()) return;
  for (const ZeroRun& run : zeroes) std::memset(bytes.data() + run.offset, 0, run.length);
  zeroes.clear();
}

/// Answers the stretch of a READ at `at`: one chunk of data, or as many chunks as data and zeroes take turns. `chunks` and
/// `bytes` stay until the last chunk is sent; "chunks MUST describe at least one byte".
void Connection::queue_content(std::vector<Reply>& chunks, const Request& request, uint64_t at, Bytes bytes,
                               const std::vector<ZeroRun>& zeroes, bool last) {
  chunks.clear();
  chunks.reserve(zeroes.size() * 2 + 1);  // they are linked: none may move
  const auto data = [&](uint64_t from, uint64_t to) {
    if (from == to) return;
    Reply& chunk = chunks.emplace_back();
    chunk.body = bytes.subspan(from, to - from);
    encode_data_chunk(chunk.head, request, at + from, static_cast<uint32_t>(to - from), last && to == bytes.size());
  };
  uint64_t done = 0;
  for (const ZeroRun& run : zeroes) {
    data(done, run.offset);
    done = run.offset + run.length;
    encode_hole_chunk(chunks.emplace_back().head, request, at + run.offset, static_cast<uint32_t>(run.length),
                      last && done == bytes.size());
  }
  data(done, bytes.size());
  for (Reply& chunk : chunks) queue(chunk);
}

/// A READ that fits into one piece, or that must be answered in one.
Connection::Detached Connection::serve_read(Request request, uint64_t charge) {
  Reply reply;
  Buffer buffer;
  std::vector<ZeroRun> zeroes;
  std::vector<Reply> chunks;  // only where something reads as zeros
  if (request.length == 0) {
    if (rules_.structured)
      encode_none_chunk(reply.head, request);
    else
      encode_simple(reply.head, request, NbdError::none);
  } else if (may_lend(request.offset, request.length)) {
    count_read(request.length);
    lend(reply, request, request.offset, request.length, true);
  } else {
    buffer = home().buffers.take(request.length);
    const MutableBytes into = buffer.first(request.length);
    Result<void> result = still_inside(request.offset, request.length);
    if (result) result = co_await read_from_device(request.offset, into, zeroes);
    if (!result) {
      device_error_reply(reply, request, result.error());
      buffer = Buffer{};
      zeroes.clear();
    } else {
      count_read(request.length);
      if ((request.flags & cflag_df) != 0) fill_for_one_chunk(into, zeroes);
      if (!zeroes.empty()) {
        queue_content(chunks, request, request.offset, into, zeroes, true);
      } else {
        if (rules_.structured)
          encode_data_chunk(reply.head, request, request.offset, static_cast<uint32_t>(request.length), true);
        else
          encode_simple(reply.head, request, NbdError::none);
        reply.body = into;
      }
    }
  }
  answered(request);
  if (chunks.empty()) queue(reply);
  co_await sent(chunks.empty() ? reply : chunks.back());
  buffer = Buffer{};
  reply.copied = Buffer{};
  end_request(charge);
}

/// In pieces, each with chunks of its own: the next is read while the last is being sent.
Connection::Detached Connection::serve_large_read(Request request) {
  BufferPool& buffers = home().buffers;
  struct Piece {
    std::vector<Reply> chunks;
    Buffer buffer;
    uint64_t charge = 0;
  };
  Piece pieces[2];
  uint32_t turn = 0;
  bool failed = false;
  for (uint64_t at = 0; at < request.length && !failed && !broken_; turn++) {
    const auto length = static_cast<uint32_t>(std::min<uint64_t>(state_->limits.piece_bytes, request.length - at));
    Piece& piece = pieces[turn % 2];
    Piece& other = pieces[(turn + 1) % 2];
    if (piece.charge > 0) {
      co_await sent(piece.chunks.back());
      buffers.discharge(account_, piece.charge);
      piece.charge = 0;
    }
    if (!buffers.try_charge(account_, length)) {
      // What we hold ourselves goes back before we wait, or two such readers could wait for each other.
      if (other.charge > 0) {
        co_await sent(other.chunks.back());
        other.buffer = Buffer{};
        buffers.discharge(account_, other.charge);
        other.charge = 0;
      }
      co_await buffers.charge(account_, length);
    }
    piece.charge = length;
    const bool last = at + length == request.length;
    if (may_lend(request.offset + at, length)) {
      piece.chunks.clear();
      lend(piece.chunks.emplace_back(), request, request.offset + at, length, last);
      queue(piece.chunks.back());
      count_read(length);
      at += length;
      continue;
    }
    if (piece.buffer.capacity() < length) piece.buffer = buffers.take(length);
    const MutableBytes into = piece.buffer.first(length);
    std::vector<ZeroRun> zeroes;
    Result<void> result = still_inside(request.offset + at, length);
    if (result) result = co_await read_from_device(request.offset + at, into, zeroes);
    if (!result) {
      failed = true;
      piece.chunks.clear();
      device_error_reply(piece.chunks.emplace_back(), request, result.error(), request.offset + at);
      queue(piece.chunks.back());
    } else {
      queue_content(piece.chunks, request, request.offset + at, into, zeroes, last);
      count_read(length);
    }
    at += length;
  }
  answered(request);
  for (uint32_t i = 0; i < 2; i++) {
    Piece& piece = pieces[(turn + i) % 2];
    if (piece.charge == 0) continue;
    co_await sent(piece.chunks.back());
    piece.buffer = Buffer{};
    piece.chunks.clear();
    buffers.discharge(account_, piece.charge);
  }
  end_request(request_charge);
}

}  // namespace atl::nbd
