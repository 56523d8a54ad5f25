// request_stream_test.cc: where requests and payloads begin and end, without a socket.
#include "nbd/protocol/request_stream.h"

#include <doctest/doctest.h>

#include "test/support/nbd_wire.h"

namespace atl::nbd::test {
namespace {

constexpr uint64_t size_bytes = 1 << 20;

TransmissionRules rules_of(bool extended) {
  TransmissionRules rules;
  rules.structured = rules.extended = extended;
  if (extended) rules.contexts.push_back({{std::string(base_allocation), {}, {}}, 1});
  rules.block_sizes.maximum = 4096;
  return rules;
}

Wire header(bool extended, Command command, uint64_t cookie, uint64_t offset, uint64_t length, uint16_t flags = 0) {
  Wire wire;
  wire.u32(extended ? extended_request_magic : request_magic)
      .u16(flags)
      .u16(static_cast<uint16_t>(command))
      .u64(cookie);
  wire.u64(offset);
  return extended ? wire.u64(length) : wire.u32(static_cast<uint32_t>(length));
}

/// A whole WRITE, and zeros up to that length.
std::vector<std::byte> crafted(bool extended, size_t bytes) {
  Wire wire = header(extended, Command::write, 0xbad, 0, 16);
  wire.bytes.resize(bytes);
  return wire.bytes;
}

/// A stream whose bytes arrive `piece` at a time.
struct Feed {
  TransmissionRules rules;
  std::vector<std::byte> bytes;
  size_t piece;
  size_t fed = 0;
  std::array<std::byte, 512> memory;
  InputWindow input;
  RequestStream stream{input, rules};

  Feed(bool extended, const Wire& wire, size_t at_once)
      : rules(rules_of(extended)), bytes(wire.bytes), piece(at_once) {}
  bool more() {
    input.move_into(memory);
    const size_t n = std::min({piece, bytes.size() - fed, input.room().size()});
    if (n == 0) return false;
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(fed), n, input.room().begin());
    input.received(n);
    fed += n;
    return true;
  }
  RequestStream::Step next() {
    for (;;) {
      const RequestStream::Step step = stream.next();
      if (step != RequestStream::Step::wants_input || !more()) return step;
    }
  }
  bool settle(bool revoked = false) {
    while (!stream.settle(size_bytes, revoked))
      if (!more()) return false;
    return true;
  }
  /// The next request, settled: its cookie and the verdict.
  std::pair<uint64_t, NbdError> request(bool revoked = false) {
    REQUIRE(next() == RequestStream::Step::request);
    REQUIRE(settle(revoked));
    return {stream.request().cookie, stream.verdict().error};
  }
};

using Settled = std::pair<uint64_t, NbdError>;

TEST_CASE(
    "request stream: the payload of a refused request is dropped before it counts as settled, in whatever pieces") {
  for (const bool extended : {false, true})
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{33}, SIZE_MAX}) {
      Wire wire = header(extended, Command::write, 1, size_bytes, 1000).append(crafted(extended, 1000));
      wire.append(header(extended, Command::write, 2, 0, 200, 0x8000).bytes).append(crafted(extended, 200));
      if (extended) {
        wire.append(header(true, Command::read, 3, 0, 300, cflag_payload_len).bytes).append(crafted(true, 300));
        wire.append(header(true, Command{99}, 4, 0, 300, cflag_payload_len).bytes).append(crafted(true, 300));
        wire.append(header(true, Command::block_status, 5, 0, 300, cflag_payload_len).bytes).append(crafted(true, 300));
        wire.append(header(true, Command::block_status, 6, 0, 64, cflag_payload_len).bytes).append(crafted(true, 64));
      }
      wire.append(header(extended, Command::flush, 7, 0, 0).bytes);
      Feed feed(extended, wire, piece);
      CHECK(feed.request() == Settled{1, NbdError::nospc});
      CHECK(feed.stream.payload_left() == 0);
      CHECK(feed.request() == Settled{2, NbdError::inval});
      if (extended)
        for (uint64_t cookie = 3; cookie <= 6; cookie++) CHECK(feed.request() == Settled{cookie, NbdError::inval});
      CHECK(feed.request() == Settled{7, NbdError::none});
      CHECK(feed.next() == RequestStream::Step::wants_input);
    }
}

TEST_CASE("request stream: what its owner leaves of an accepted WRITE's payload is dropped by the next request") {
  for (const bool extended : {false, true})
    for (const size_t taken : {size_t{0}, size_t{1}, size_t{28}, size_t{32}, size_t{999}, size_t{1000}}) {
      Wire wire = header(extended, Command::write, 1, 0, 1000).append(crafted(extended, 1000));
      wire.append(header(extended, Command::flush, 2, 0, 0).bytes);
      Feed feed(extended, wire, 40);
      CHECK(feed.request() == Settled{1, NbdError::none});
      std::vector<std::byte> into(taken);
      for (size_t have = 0; have < taken;) {
        have += feed.stream.take_payload(MutableBytes(into).subspan(have));
        if (have < taken) REQUIRE(feed.more());
      }
      CHECK(std::equal(into.begin(), into.end(), crafted(extended, 1000).begin()));
      CHECK(feed.request() == Settled{2, NbdError::none});
    }
}

TEST_CASE("request stream: what is received right into its place is not looked for in the window") {
  Wire wire = header(false, Command::write, 1, 0, 100).append(crafted(false, 60));
  Feed feed(false, wire, SIZE_MAX);
  CHECK(feed.request() == Settled{1, NbdError::none});
  std::vector<std::byte> into(100);
  CHECK(feed.stream.take_payload(into) == 60);
  CHECK(feed.stream.payload_left() == 40);
  feed.stream.payload_received(40);
  feed.bytes = header(false, Command::flush, 2, 0, 0).bytes;
  feed.fed = 0;
  CHECK(feed.request() == Settled{2, NbdError::none});
}

TEST_CASE(
    "request stream: a filter that comes in pieces is read whole; a filter is read and then refused when revoked") {
  for (const size_t piece : {size_t{1}, size_t{5}, SIZE_MAX}) {
    Wire wire = header(true, Command::block_status, 1, 0, 12, cflag_payload_len).u64(8192).u32(1);
    wire.append(header(true, Command::block_status, 2, 0, 12, cflag_payload_len).bytes).u64(8192).u32(1);
    wire.append(header(true, Command::flush, 3, 0, 0).bytes);
    Feed feed(true, wire, piece);
    CHECK(feed.request() == Settled{1, NbdError::none});
    CHECK(feed.stream.request().length == 8192);
    CHECK(feed.stream.request().contexts == 1);
    CHECK(feed.request(true) == Settled{2, NbdError::shutdown});
    CHECK(feed.request() == Settled{3, NbdError::none});
  }
}

TEST_CASE("request stream: nothing is parsed after an over-long payload, DISC, or a header without the magic") {
  const auto ends_with = [](const Wire& last, bool is_request, RequestStream::Step step) {
    Wire wire = last;
    for (int i = 0; i < 20; i++) wire.append(crafted(true, 48));
    Feed feed(true, wire, SIZE_MAX);
    if (is_request) {
      CHECK(feed.request() == Settled{1, NbdError::inval});
      CHECK(feed.stream.ended());
    }
    CHECK(feed.next() == step);
    CHECK(feed.next() == RequestStream::Step::lost);
  };
  const auto lost = RequestStream::Step::lost;
  ends_with(header(true, Command::write, 1, 0, 4097), true, lost);
  ends_with(header(true, Command::trim, 1, 0, UINT64_MAX, cflag_payload_len), true, lost);
  ends_with(header(true, Command::disconnect, 1, 0, 100, cflag_payload_len), false, RequestStream::Step::disconnect);
  ends_with(header(false, Command::flush, 1, 0, 0).u32(0), false, lost);
}

TEST_CASE(
    "request stream: with compact headers PAYLOAD_LEN announces nothing, and a WRITE over the maximum is dropped") {
  Wire wire = header(false, Command::trim, 1, 0, 4096, cflag_payload_len);
  wire.append(header(false, Command::write, 2, 0, 10'000).bytes).append(crafted(false, 10'000));
  wire.append(header(false, Command::flush, 3, 0, 0).bytes);
  Feed feed(false, wire, 100);
  CHECK(feed.request() == Settled{1, NbdError::inval});
  CHECK(feed.request() == Settled{2, NbdError::inval});
  CHECK(feed.request() == Settled{3, NbdError::none});
}

TEST_CASE("input window: what is unread moves along into new memory and to the front of the same") {
  std::array<std::byte, 8> small{};
  std::array<std::byte, 16> large{};
  InputWindow input;
  CHECK(input.empty());
  CHECK(input.room().empty());
  input.move_into(small);
  for (size_t i = 0; i < 8; i++) input.room()[i] = static_cast<std::byte>(i);
  input.received(8);
  input.skip(3);
  CHECK(input.room().empty());
  input.move_into(small);
  CHECK(input.room().size() == 3);
  CHECK(input.unread()[0] == std::byte{3});
  input.move_into(large);
  CHECK(input.room().size() == 11);
  std::array<std::byte, 8> into{};
  CHECK(input.take(into) == 5);
  CHECK(into[0] == std::byte{3});
  CHECK(into[4] == std::byte{7});
  CHECK(input.empty());
}

}  // namespace
}  // namespace atl::nbd::test
