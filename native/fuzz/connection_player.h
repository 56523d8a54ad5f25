// connection_player.h: one client's bytes through a whole connection, the handshake and then requests, with the machines that
// nbd/connection*.cc puts on a socket. Bytes arrive in pieces of any size, in small buffers that change, and the payload of a WRITE
// goes partly straight to its place.
#pragma once

#include <algorithm>

#include "fuzz/target.h"
#include "nbd/protocol/handshake.h"
#include "nbd/protocol/request_stream.h"

namespace atl::fuzz {

/// How bytes arrive and what becomes of payloads; decided by a seed, or the same each time.
class Arrival {
 public:
  static Arrival in_pieces_of(size_t bytes) { return {bytes, 0, false}; }
  static Arrival at_random(uint32_t seed) { return {0, seed, true}; }
  size_t next() { return random_ ? 1 + draw() % (draw() % 4 == 0 ? 4000u : 40u) : piece_; }
  /// Whether the device fails now, so that the rest of a payload is not wanted.
  bool fails() { return random_ && draw() % 16 == 0; }

 private:
  Arrival(size_t piece, uint32_t seed, bool random) : piece_(piece), state_(seed), random_(random) {}
  uint32_t draw() {
    state_ = state_ * 1664525 + 1013904223;
    return state_ >> 8;
  }
  size_t piece_;
  uint32_t state_;
  bool random_;
};

struct Served {
  nbd::Command command{};
  uint16_t flags = 0;
  uint64_t cookie = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  nbd::NbdError error{};
  std::vector<std::byte> payload;  // of an accepted WRITE, as far as it was taken
  bool failed = false;             // the device's doing: the rest was dropped
  friend bool operator==(const Served&, const Served&) = default;
};

struct Course {
  bool transmission = false;
  bool disconnected = false;
  bool lost = false;
  std::vector<Served> requests;
  friend bool operator==(const Course&, const Course&) = default;
};

class Connection {
 public:
  Connection(Bytes stream, Arrival arrival, const nbd::ExportFacts& facts)
      : stream_(stream), arrival_(arrival), facts_(facts) {}

  Course play() {
    course_.transmission = negotiate();
    if (course_.transmission) transmit();
    return std::move(course_);
  }

 private:
  size_t arrive(MutableBytes into) {
    const size_t n = std::min({arrival_.next(), into.size(), stream_.size()});
    if (n > 0) std::memcpy(into.data(), stream_.data(), n);
    stream_ = stream_.subspan(n);
    return n;
  }

  bool receive() {
    if (stream_.empty()) return false;
    const bool small = turn_++ % 3 == 0 && input_.size() < small_.size();
    const MutableBytes memory = small ? MutableBytes(small_) : MutableBytes(large_);
    input_.move_into(memory);
    EXPECT(!input_.room().empty());
    input_.received(arrive(input_.room()));
    return true;
  }

  bool negotiate() {
    using State = nbd::Handshake::State;
    static const NbdLimits limits;
    nbd::Handshake handshake{limits};
    for (;;) {
      handshake.take_output();
      switch (handshake.state()) {
        case State::negotiating: break;
        case State::open_wanted: handshake.found(facts_); continue;
        case State::list_wanted: handshake.no_list(nbd::OptionReply::err_policy, "nothing is listed"); continue;
        case State::tls_wanted: EXPECT(false); break;
        case State::closed: return false;
        case State::transmission:
          rules_ = nbd::rules_after(handshake.negotiated(), facts_.read_only, facts_.block_sizes);
          return true;
      }
      if (input_.empty() && !receive()) return false;
      input_.skip(handshake.consume(input_.unread()));
    }
  }

  void transmit() {
    using Step = nbd::RequestStream::Step;
    for (;;) {
      const Step step = requests_.next();
      if (step == Step::wants_input) {
        if (!receive()) return;
        continue;
      }
      if (step != Step::request) {
        (step == Step::lost ? course_.lost : course_.disconnected) = true;
        return;
      }
      while (!requests_.settle(facts_.size_bytes, false))
        if (!receive()) return;
      const nbd::Request& request = requests_.request();
      Served served{request.command,
                    request.flags,
                    request.cookie,
                    request.offset,
                    request.length,
                    requests_.verdict().error,
                    {},
                    false};
      if (served.error == nbd::NbdError::none && request.command == nbd::Command::write) take_payload(served);
      const bool left = requests_.payload_left() > 0 && !served.failed;
      if (left) return;  // the stream ended in the middle of it: it is never served
      if (served.error != nbd::NbdError::none) EXPECT(requests_.payload_left() == 0);
      course_.requests.push_back(std::move(served));
    }
  }

  /// In pieces, as far as they come.
  void take_payload(Served& served) {
    std::array<std::byte, 300> piece;
    while (requests_.payload_left() > 0) {
      if (arrival_.fails()) {
        served.failed = true;
        return;  // whatever is left is next()'s to drop
      }
      MutableBytes into(piece);
      into = into.first(std::min<uint64_t>(into.size(), requests_.payload_left()));
      size_t have = requests_.take_payload(into);
      while (have < into.size() && !stream_.empty()) {
        const size_t n = arrive(into.subspan(have));
        requests_.payload_received(n);
        have += n;
      }
      served.payload.insert(served.payload.end(), into.begin(), into.begin() + static_cast<ptrdiff_t>(have));
      if (have < into.size()) return;
    }
  }

  Bytes stream_;
  Arrival arrival_;
  const nbd::ExportFacts& facts_;
  Course course_;
  std::array<std::byte, 64> small_;
  std::array<std::byte, 500> large_;
  uint32_t turn_ = 0;
  nbd::InputWindow input_;
  nbd::TransmissionRules rules_;
  nbd::RequestStream requests_{input_, rules_};
};

}  // namespace atl::fuzz
