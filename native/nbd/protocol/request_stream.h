// request_stream.h: where each request and its payload begin and end in what a client sends; no socket and no coroutine.
//
//   received bytes -> InputWindow -> Handshake::consume() | RequestStream::next() -> settle() -> take_payload()
//
// The owner puts received bytes into the window. After the handshake it asks for the next request, and for what the protocol's
// rules make of it:
//
//   next()    wants_input | request | disconnect | lost
//   settle()  false: more input is needed first; true: verdict() holds. The payload of an accepted WRITE is the owner's to take.
//
// Invariants
//   1. No byte of a payload is parsed as a request: next() drops what is left of the last request's payload, whoever refused
//      it and wherever its owner gave up, before it looks for a header.
//   2. A refused request is settled when its payload has been dropped.
//   3. Nothing follows a request whose payload is too long to be dropped in any sensible time (ended()).
//   4. Memory is bounded: of a payload only the filter of a BLOCK_STATUS is kept here (status_filter_bytes_max).
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "nbd/protocol/transmission.h"

namespace atl::nbd {

/// The received bytes that nobody has taken yet, in memory that its owner provides.
class InputWindow {
 public:
  Bytes unread() const { return {memory_.data() + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  size_t capacity() const { return memory_.size(); }

  /// The window is in this memory from now on, with what was unread at its beginning. It may be the memory that it was in.
  /// REQUIRES: room for what is unread.
  void move_into(MutableBytes memory) {
    VERIFY(memory.size() >= size());
    if (!empty() && memory.data() != memory_.data() + begin_)
      std::memmove(memory.data(), memory_.data() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
    memory_ = memory;
  }
  /// Where the next bytes go.
  MutableBytes room() const { return memory_.subspan(end_); }
  void received(size_t bytes) {
    VERIFY(bytes <= memory_.size() - end_);
    end_ += bytes;
  }
  void skip(size_t bytes) {
    VERIFY(bytes <= size());
    begin_ += bytes;
  }
  /// Copies as much as there is, up to into.size(); returns how much that was.
  size_t take(MutableBytes into) {
    const size_t n = std::min(into.size(), size());
    if (n > 0) std::memcpy(into.data(), memory_.data() + begin_, n);
    begin_ += n;
    return n;
  }
  void drop_all() { begin_ = end_; }

 private:
  MutableBytes memory_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

class RequestStream {
 public:
  /// Both must outlive the stream.
  RequestStream(InputWindow& input, const TransmissionRules& rules) : input_(input), rules_(rules) {}

  enum class Step : uint8_t {
    wants_input,  // there is no whole header in the window
    request,      // request() is the next one; settle() it
    disconnect,   // DISC; nothing follows it
    lost,         // the magic is missing, or ended(): no later byte can be understood
  };

  /// Drops what is left of the last request's payload and reads a header.
  Step next() {
    if (!drop_payload()) return Step::wants_input;
    if (ended_) return Step::lost;
    const size_t header_bytes = rules_.extended ? extended_request_bytes : request_bytes;
    if (input_.size() < header_bytes) return Step::wants_input;
    settled_ = false;
    filter_have_ = 0;
    verdict_ = {};
    if (!decode_request(input_.unread().data(), rules_.extended, request_)) return end(Step::lost);
    input_.skip(header_bytes);
    if (request_.command == Command::disconnect) return end(Step::disconnect);
    payload_left_ = request_.payload;
    return Step::request;
  }
  Request& request() { return request_; }

  /// Takes a filter, checks the request against the export as it is now, and drops the payload of a refused one. Returns false
  /// while that needs more input. `revoked`: whatever is not settled yet is refused with ESHUTDOWN.
  bool settle(uint64_t size_bytes, bool revoked) {
    if (!settled_ && !decide(size_bytes, revoked)) return false;
    return verdict_.accepted() || drop_payload();
  }
  const Verdict& verdict() const { return verdict_; }

  /// What has not been taken or dropped of the payload of request().
  uint64_t payload_left() const { return payload_left_; }
  /// Copies what is in the window, up to into.size(); returns how much that was. When that is less, the window is empty, and the
  /// rest may be received right into its place: payload_received().
  size_t take_payload(MutableBytes into) {
    VERIFY(into.size() <= payload_left_);
    const size_t n = input_.take(into);
    payload_left_ -= n;
    return n;
  }
  void payload_received(size_t bytes) {
    VERIFY(input_.empty() && bytes <= payload_left_);
    payload_left_ -= bytes;
  }
  /// Drops what is in the window of the payload; true: all of the payload is past.
  bool drop_payload() {
    if (payload_left_ == 0) return true;
    const auto n = static_cast<size_t>(std::min<uint64_t>(payload_left_, input_.size()));
    input_.skip(n);
    payload_left_ -= n;
    return payload_left_ == 0;
  }

  /// Nothing that comes later can be understood.
  bool ended() const { return ended_; }

 private:
  Step end(Step step) {
    ended_ = true;
    return step;
  }
  bool decide(uint64_t size_bytes, bool revoked);
  bool take_filter();

  InputWindow& input_;
  const TransmissionRules& rules_;
  Request request_;
  Verdict verdict_;
  uint64_t payload_left_ = 0;
  bool settled_ = true;
  bool ended_ = false;
  std::array<std::byte, status_filter_bytes_max> filter_;
  size_t filter_have_ = 0;
};

}  // namespace atl::nbd
