// transmission_test.cc: the judgement of a request, the mapping of errors, the heads of replies; without a socket.
#include "nbd/protocol/transmission.h"

#include <doctest/doctest.h>

#include <random>

#include "test/support/nbd_wire.h"

namespace atl::nbd {
namespace {

constexpr uint64_t size_bytes = 1 << 20;

TransmissionRules structured_rules() {
  TransmissionRules rules;
  rules.structured = true;
  rules.contexts.push_back({{std::string(base_allocation), {}, {}}, 1});
  return rules;
}

Request make(Command command, uint64_t offset, uint32_t length, uint16_t flags = 0) {
  Request request;
  request.command = command;
  request.offset = offset;
  request.length = length;
  request.flags = flags;
  return request;
}

NbdError verdict(Command command, uint64_t offset, uint32_t length, uint16_t flags = 0,
                 const TransmissionRules& rules = structured_rules(), uint64_t size = size_bytes) {
  return judge(make(command, offset, length, flags), rules, size).error;
}

constexpr Command all[] = {Command::read,  Command::write,        Command::flush,       Command::trim,
                           Command::cache, Command::write_zeroes, Command::block_status};

TEST_CASE("request: 28 bytes decode to flags, command, cookie, offset and length; without the magic to nothing") {
  test::Wire wire;
  wire.request(Command::write, 0x1122334455667788, 0xa1b2c3d4e5f60718, 0x01020304, 5);
  Request request;
  REQUIRE(wire.bytes.size() == request_bytes);
  REQUIRE(decode_request(wire.bytes.data(), false, request));
  CHECK(request.flags == 5);
  CHECK(request.command == Command::write);
  CHECK(request.cookie == 0x1122334455667788);
  CHECK(request.offset == 0xa1b2c3d4e5f60718);
  CHECK(request.length == 0x01020304);
  CHECK(request.payload == 0x01020304);
  wire.bytes[0] = std::byte{0};
  CHECK_FALSE(decode_request(wire.bytes.data(), false, request));
}

TEST_CASE("judge: FUA is legal on every command") {
  for (Command command : all) {
    const uint32_t length = command == Command::flush ? 0 : 4096;
    CHECK(verdict(command, 0, length) == NbdError::none);
    CHECK(verdict(command, 0, length, cflag_fua) == NbdError::none);
  }
}

TEST_CASE("judge: a flag that a command does not have is EINVAL") {
  const auto legal = [](Command command) -> uint16_t {
    switch (command) {
      case Command::read: return cflag_fua | cflag_df;
      case Command::write_zeroes: return cflag_fua | cflag_no_hole | cflag_fast_zero;
      case Command::block_status: return cflag_fua | cflag_req_one;
      default: return cflag_fua;
    }
  };
  for (Command command : all)
    for (int bit = 0; bit < 16; bit++) {
      const auto flag = static_cast<uint16_t>(1 << bit);
      const uint32_t length = command == Command::flush ? 0 : 4096;
      CHECK((verdict(command, 0, length, flag) == NbdError::none) == ((legal(command) & flag) != 0));
    }
}

TEST_CASE("judge: DF without structured replies was not offered: EINVAL") {
  CHECK(verdict(Command::read, 0, 512, cflag_df, TransmissionRules{}) == NbdError::inval);
}

TEST_CASE("judge: unknown commands are EINVAL") {
  for (uint16_t number : {8, 9, 100, 0xffff}) CHECK(verdict(Command{number}, 0, 0) == NbdError::inval);
}

TEST_CASE("judge: past the end a WRITE or WRITE_ZEROES is ENOSPC, all else EINVAL") {
  for (Command command : all) {
    if (command == Command::flush) continue;
    const bool writes = command == Command::write || command == Command::write_zeroes;
    const NbdError error = writes ? NbdError::nospc : NbdError::inval;
    CHECK(verdict(command, size_bytes, 1) == error);
    CHECK(verdict(command, size_bytes - 1, 2) == error);
    CHECK(verdict(command, 0, size_bytes + 1) == error);
    CHECK(verdict(command, size_bytes + 1, 0) == error);
    CHECK(verdict(command, size_bytes - 1, 1) == NbdError::none);
    CHECK(verdict(command, 0, size_bytes) == NbdError::none);
  }
}

TEST_CASE("judge: offset + length may wrap around and is still past the end") {
  for (Command command : all) {
    if (command == Command::flush) continue;
    CHECK(verdict(command, UINT64_MAX, 1) != NbdError::none);
    CHECK(verdict(command, UINT64_MAX - 511, 512) != NbdError::none);
    CHECK(verdict(command, UINT64_MAX, 0) != NbdError::none);
  }
}

TEST_CASE("judge: requests of length zero are no error, also at the very end; a block status of nothing is EINVAL") {
  for (Command command : all) {
    const NbdError expected = command == Command::block_status ? NbdError::inval : NbdError::none;
    CHECK(verdict(command, 0, 0) == expected);
    if (command != Command::flush) CHECK(verdict(command, size_bytes, 0) == expected);
  }
}

TEST_CASE("judge: whatever would write to a read-only export is EPERM, before any other fault") {
  TransmissionRules rules = structured_rules();
  rules.read_only = true;
  for (Command command : all) {
    const bool writes = command == Command::write || command == Command::write_zeroes || command == Command::trim;
    const uint32_t length = command == Command::flush ? 0 : 512;
    CHECK(verdict(command, 0, length, 0, rules) == (writes ? NbdError::perm : NbdError::none));
    if (writes) CHECK(verdict(command, size_bytes, 512, 0x8000, rules) == NbdError::perm);
  }
}

TEST_CASE("judge: a FLUSH with an offset or a length is EINVAL") {
  CHECK(verdict(Command::flush, 1, 0) == NbdError::inval);
  CHECK(verdict(Command::flush, 0, 1) == NbdError::inval);
}

TEST_CASE(
    "judge: payloads over the maximum are EINVAL, with DF EOVERFLOW; commands without payload have no such limit") {
  const uint64_t large = uint64_t{1} << 40;
  const uint32_t over = (64u << 20) + 1;
  const TransmissionRules rules = structured_rules();
  CHECK(verdict(Command::read, 0, over, 0, rules, large) == NbdError::inval);
  CHECK(verdict(Command::read, 0, over, cflag_df, rules, large) == NbdError::overflow);
  CHECK(verdict(Command::read, 0, over - 1, cflag_df, rules, large) == NbdError::none);
  CHECK(verdict(Command::write, 0, over, 0, rules, large) == NbdError::inval);
  for (Command command : {Command::trim, Command::write_zeroes, Command::cache, Command::block_status})
    CHECK(verdict(command, 0, 0xffffffff, 0, rules, large) == NbdError::none);
}

TEST_CASE("judge: where the export has a minimum block size, anything unaligned is EINVAL") {
  TransmissionRules rules = structured_rules();
  rules.block_sizes.minimum = 512;
  for (Command command : all) {
    if (command == Command::flush) continue;
    CHECK(verdict(command, 512, 512, 0, rules) == NbdError::none);
    CHECK(verdict(command, 1, 512, 0, rules) == NbdError::inval);
    CHECK(verdict(command, 512, 513, 0, rules) == NbdError::inval);
  }
}

TEST_CASE("judge: BLOCK_STATUS without a negotiated context is EINVAL") {
  TransmissionRules rules;
  rules.structured = true;
  CHECK(verdict(Command::block_status, 0, 512, 0, rules) == NbdError::inval);
}

TEST_CASE("judge: ENOTSUP is only for FAST_ZERO that would have to write") {
  CHECK(verdict(Command::write_zeroes, 0, 4096, cflag_fast_zero) == NbdError::none);
  CHECK(verdict(Command::write_zeroes, 0, 4096, cflag_no_hole) == NbdError::none);
  CHECK(verdict(Command::write_zeroes, 0, 4096, cflag_fast_zero | cflag_no_hole) == NbdError::notsup);
}

TEST_CASE("judge: whatever is accepted lies inside the export") {
  std::mt19937_64 random(20);
  for (int i = 0; i < 200'000; i++) {
    const uint64_t size = random() >> (random() % 64);
    const auto near = [&] { return size + random() % 5 - 2; };
    const uint64_t offset = random() % 2 ? near() : random() >> (random() % 64);
    const auto length = static_cast<uint32_t>(random() % 2 ? size - offset + random() % 3 : random());
    const Request request =
        make(Command{static_cast<uint16_t>(random() % 10)}, offset, length, static_cast<uint16_t>(random() % 40));
    if (!judge(request, structured_rules(), size).accepted()) continue;
    CHECK(offset <= size);
    CHECK(length <= size - offset);
  }
}

TEST_CASE("errors: the engine's codes map to the protocol's, by one table") {
  CHECK(nbd_error(Code::read_only, Command::write) == NbdError::perm);
  CHECK(nbd_error(Code::no_space, Command::write) == NbdError::nospc);
  CHECK(nbd_error(Code::too_large, Command::write) == NbdError::nospc);
  CHECK(nbd_error(Code::out_of_range, Command::write) == NbdError::nospc);
  CHECK(nbd_error(Code::out_of_range, Command::read) == NbdError::inval);
  CHECK(nbd_error(Code::io, Command::read) == NbdError::io);
  CHECK(nbd_error(Code::corrupt, Command::read) == NbdError::io);
  CHECK(nbd_error(Code::shutdown, Command::flush) == NbdError::shutdown);
  CHECK(nbd_error(Code::unsupported, Command::write_zeroes) == NbdError::inval);
}

Request with_cookie(uint64_t cookie) {
  Request request;
  request.cookie = cookie;
  return request;
}

TEST_CASE("replies: each head has the layout of the protocol") {
  ReplyHead head;
  const auto read = [&] { return WireReader(Bytes(head.bytes).first(head.size)); };
  encode_simple(head, with_cookie(77), NbdError::io);
  CHECK(head.size == simple_reply_bytes);
  WireReader simple = read();
  CHECK(simple.number<uint32_t>() == simple_reply_magic);
  CHECK(simple.number<uint32_t>() == 5);
  CHECK(simple.number<uint64_t>() == 77);

  encode_data_chunk(head, with_cookie(78), 4096, 512, true);
  WireReader data = read();
  CHECK(data.number<uint32_t>() == structured_reply_magic);
  CHECK(data.number<uint16_t>() == 1);
  CHECK(data.number<uint16_t>() == 1);
  CHECK(data.number<uint64_t>() == 78);
  CHECK(data.number<uint32_t>() == 520);
  CHECK(data.number<uint64_t>() == 4096);
  CHECK(data.left() == 0);

  encode_error_chunk(head, with_cookie(79), NbdError::inval, 3);
  WireReader error = read();
  error.number<uint32_t>();
  CHECK(error.number<uint16_t>() == 1);
  CHECK(error.number<uint16_t>() == 0x8001);
  error.number<uint64_t>();
  CHECK(error.number<uint32_t>() == 9);
  CHECK(error.number<uint32_t>() == 22);
  CHECK(error.number<uint16_t>() == 3);
  CHECK(error.left() == 0);

  encode_error_offset_chunk(head, with_cookie(80), NbdError::io, 3);
  WireReader offset = read();
  offset.number<uint64_t>();
  offset.number<uint64_t>();
  CHECK(offset.number<uint32_t>() == 17);

  encode_status_chunk(head, with_cookie(81), 7, 2, true);
  WireReader status = read();
  status.number<uint64_t>();
  status.number<uint64_t>();
  CHECK(status.number<uint32_t>() == 20);
  CHECK(status.number<uint32_t>() == 7);

  encode_none_chunk(head, with_cookie(82));
  WireReader none = read();
  none.number<uint32_t>();
  CHECK(none.number<uint16_t>() == 1);
  CHECK(none.number<uint16_t>() == 0);
  none.number<uint64_t>();
  CHECK(none.number<uint32_t>() == 0);
}

}  // namespace
}  // namespace atl::nbd
