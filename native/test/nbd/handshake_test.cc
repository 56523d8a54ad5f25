// handshake_test.cc: the option haggling alone, byte by byte, without a socket.
#include <doctest/doctest.h>

#include <random>

#include "test/support/nbd_session.h"

namespace atl::nbd {
namespace {

using namespace test;

TEST_CASE("handshake: the greeting is fixed newstyle with no zeroes") {
  const NbdLimits limits;
  Handshake machine(limits);
  const auto greeting = machine.take_output();
  WireReader reader(greeting);
  CHECK(reader.number<uint64_t>() == init_magic);
  CHECK(reader.number<uint64_t>() == option_magic);
  CHECK(reader.number<uint16_t>() == 3);
  CHECK(reader.left() == 0);
}

TEST_CASE("handshake: an unknown client flag closes the connection") {
  for (uint32_t flags : {4u, 8u, 0x80000000u, 7u}) {
    Session session(flags);
    CHECK(session.machine.state() == Handshake::State::closed);
    CHECK(session.received.empty());
  }
}

TEST_CASE("handshake: a wrong option magic closes the connection") {
  Session session;
  Wire wire;
  wire.u64(option_magic + 1).u32(3).u32(0);
  session.feed(wire);
  CHECK(session.machine.state() == Handshake::State::closed);
}

TEST_CASE("handshake: GO sends INFO_EXPORT before ACK and enters transmission") {
  Session session;
  const auto answers = session.option(Option::go, go_data("disk"));
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].type == OptionReply::info);
  WireReader info(answers[0].data);
  CHECK(info.number<uint16_t>() == 0);
  CHECK(info.number<uint64_t>() == 1 << 20);
  const uint16_t flags = info.number<uint16_t>();
  CHECK(flags == transmission_flags(false, {}, Option::go));
  CHECK((flags & tflag_send_df) == 0);
  CHECK(answers[1].type == OptionReply::ack);
  CHECK(session.machine.state() == Handshake::State::transmission);
  CHECK(session.machine.export_name() == "disk");
}

TEST_CASE("handshake: INFO answers the same and the session goes on to GO") {
  Session session;
  const auto info = session.option(Option::info, go_data("disk", {Info::block_size}));
  CHECK(session.machine.state() == Handshake::State::negotiating);
  const auto go = session.option(Option::go, go_data("disk", {Info::block_size}));
  REQUIRE(info.size() == go.size());
  for (size_t i = 0; i < go.size(); i++) {
    CHECK(info[i].type == go[i].type);
    CHECK(info[i].data == go[i].data);
  }
  CHECK(session.machine.state() == Handshake::State::transmission);
}

TEST_CASE("handshake: GO answers each information that was asked for, and ignores kinds it does not know") {
  Session session;
  const auto answers =
      session.option(Option::go, go_data("alias", {Info::name, Info{77}, Info::description, Info::block_size}));
  REQUIRE(answers.size() == 5);
  CHECK(answers[1].text(2) == "disk");  // the canonical name
  CHECK(answers[2].text(2) == "a disk");
  WireReader sizes(answers[3].data);
  CHECK(sizes.number<uint16_t>() == 3);
  CHECK(sizes.number<uint32_t>() == 1);
  CHECK(sizes.number<uint32_t>() == 4096);
  CHECK(sizes.number<uint32_t>() == 64u << 20);
  CHECK(sizes.left() == 0);
  CHECK(answers[4].type == OptionReply::ack);
}

TEST_CASE("handshake: an export with a minimum block size wants clients that ask for it") {
  Session session;
  auto answers = session.option(Option::go, go_data("direct"));
  REQUIRE(answers.size() == 3);  // INFO_EXPORT, INFO_BLOCK_SIZE unasked, the error
  CHECK(answers[1].data[1] == std::byte{3});
  CHECK(answers[2].type == OptionReply::err_block_size_reqd);
  CHECK(session.machine.state() == Handshake::State::negotiating);
  answers = session.option(Option::go, go_data("direct", {Info::block_size}));
  CHECK(answers.back().type == OptionReply::ack);
  CHECK(session.machine.state() == Handshake::State::transmission);

  Session old;
  Wire name;
  name.text("direct");
  old.option(Option::export_name, name);
  CHECK(old.machine.state() == Handshake::State::closed);
}

TEST_CASE("handshake: GO for an unknown export answers ERR_UNKNOWN and the session stays usable") {
  Session session;
  CHECK(is_error(session.option(Option::go, go_data("nothing")), OptionReply::err_unknown));
  CHECK(session.option(Option::list).size() == 3);
  CHECK(session.option(Option::go, go_data("disk")).back().type == OptionReply::ack);
}

TEST_CASE("handshake: a read-only export says so and offers no TRIM, WRITE_ZEROES or FAST_ZERO") {
  Session session;
  const auto answers = session.option(Option::go, go_data("ro"));
  WireReader info(answers[0].data);
  info.number<uint16_t>();
  info.number<uint64_t>();
  const uint16_t flags = info.number<uint16_t>();
  CHECK((flags & tflag_read_only) != 0);
  CHECK((flags & (tflag_send_trim | tflag_send_write_zeroes | tflag_send_fast_zero)) == 0);
  CHECK((flags & (tflag_send_flush | tflag_send_fua | tflag_can_multi_conn | tflag_send_cache)) ==
        (tflag_send_flush | tflag_send_fua | tflag_can_multi_conn | tflag_send_cache));
}

TEST_CASE("handshake: DF is offered only with structured replies") {
  Session session;
  CHECK(session.option(Option::structured_reply)[0].type == OptionReply::ack);
  const auto answers = session.option(Option::go, go_data("disk"));
  WireReader info(answers[0].data);
  info.number<uint16_t>();
  info.number<uint64_t>();
  CHECK((info.number<uint16_t>() & tflag_send_df) != 0);
  CHECK(session.machine.negotiated().structured);
}

TEST_CASE("handshake: EXPORT_NAME answers size, flags and 124 zeroes, without them when NO_ZEROES was agreed") {
  for (uint32_t flags : {uint32_t{flag_fixed_newstyle}, both_flags, 0u}) {
    Session session(flags);
    Wire name;
    name.text("disk");
    Wire wire;
    wire.option(Option::export_name, name);
    session.received.clear();
    session.feed(wire);
    CHECK(session.machine.state() == Handshake::State::transmission);
    CHECK(session.received.size() == (flags & flag_no_zeroes ? 10u : 134u));
    WireReader reader(session.received);
    CHECK(reader.number<uint64_t>() == 1 << 20);
    CHECK(reader.number<uint16_t>() == transmission_flags(false, {}, Option::export_name));
  }
}

TEST_CASE("handshake: EXPORT_NAME of an unknown export, or longer than 4096 bytes, closes the connection") {
  Session unknown;
  Wire name;
  name.text("nothing");
  CHECK(unknown.option(Option::export_name, name).empty());
  CHECK(unknown.machine.state() == Handshake::State::closed);

  Session longer;
  Wire header;
  header.u64(option_magic).u32(1).u32(4097);
  longer.feed(header);
  CHECK(longer.machine.state() == Handshake::State::closed);
  CHECK(longer.opens == 0);
}

TEST_CASE("handshake: a client without fixed newstyle may only send EXPORT_NAME") {
  Session session(0);
  session.option(Option::list);
  CHECK(session.machine.state() == Handshake::State::closed);
  CHECK(session.received.empty());
}

TEST_CASE("handshake: ABORT is acknowledged, also with data, and ends the session") {
  for (const char* data : {"", "goodbye"}) {
    Session session;
    Wire wire;
    wire.text(data);
    const auto answers = session.option(Option::abort, wire);
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].type == OptionReply::ack);
    CHECK(session.machine.state() == Handshake::State::closed);
  }
}

TEST_CASE("handshake: LIST names the exports; with data it is ERR_INVALID") {
  Session session;
  const auto answers = session.option(Option::list);
  REQUIRE(answers.size() == 3);
  CHECK(answers[0].type == OptionReply::server);
  CHECK(answers[0].text(4) == "disk");
  CHECK(answers[1].text(4) == "ro");
  CHECK(answers[2].type == OptionReply::ack);
  Wire data;
  data.u32(7);
  CHECK(is_error(session.option(Option::list, data), OptionReply::err_invalid));
  CHECK(session.lists == 1);
}

TEST_CASE("handshake: unknown options and STARTTLS without credentials answer ERR_UNSUP, with data of any length") {
  Session session;
  for (uint32_t number : {0u, 4u, 5u, 12u, 0xffffffffu}) {
    Wire data;
    CHECK(is_error(session.option(Option{number}, data), OptionReply::err_unsup));
    data.bytes.resize(100'000);
    CHECK(is_error(session.option(Option{number}, data), OptionReply::err_unsup));
  }
  CHECK(session.machine.state() == Handshake::State::negotiating);
}

TEST_CASE("handshake: STRUCTURED_REPLY with data is ERR_INVALID and changes nothing") {
  Session session;
  Wire data;
  data.u16(1);
  CHECK(is_error(session.option(Option::structured_reply, data), OptionReply::err_invalid));
  CHECK_FALSE(session.machine.negotiated().structured);
}

TEST_CASE("handshake: a second STRUCTURED_REPLY is ERR_INVALID and changes nothing") {
  Session session;
  CHECK(session.option(Option::structured_reply).back().type == OptionReply::ack);
  for (int i = 0; i < 2; i++) {
    CHECK(is_error(session.option(Option::structured_reply), OptionReply::err_invalid));
    CHECK(session.machine.negotiated().structured);
  }
  CHECK(session.option(Option::go, go_data("disk")).back().type == OptionReply::ack);
}

TEST_CASE("handshake: an option longer than the limit is read to its end and answered ERR_TOO_BIG") {
  for (Option option : {Option::go, Option::info, Option::list_meta_context, Option::set_meta_context}) {
    Session session;
    Wire data;
    data.bytes.resize(session.limits.option_bytes + 1);
    CHECK(is_error(session.option(option, data), OptionReply::err_too_big));
    CHECK(session.option(Option::go, go_data("disk")).back().type == OptionReply::ack);
  }
}

TEST_CASE("handshake: an option of 4 GiB is swallowed as it comes, without being kept") {
  Session session;
  session.received.clear();
  Wire header;
  header.u64(option_magic).u32(static_cast<uint32_t>(Option::go)).u32(0xffffffff);
  session.feed(header);
  const std::vector<std::byte> junk(1 << 20);
  uint64_t left = 0xffffffff;
  while (left > 0) {
    const Bytes piece(junk.data(), std::min<uint64_t>(left, junk.size()));
    REQUIRE(session.machine.consume(piece) == piece.size());
    left -= piece.size();
  }
  session.take();
  CHECK(is_error(test::option_answers(session.received), OptionReply::err_too_big));
}

TEST_CASE("handshake: inner lengths that disagree with the option's are ERR_INVALID") {
  std::vector<Wire> wrong(6);
  wrong[1].u32(0);                               // no count of informations
  wrong[2].u32(0xffffffff).text("disk").u16(0);  // a name longer than the option
  wrong[3].u32(4).text("disk").u16(3).u16(1);    // fewer informations than counted
  wrong[4].u32(4).text("disk").u16(0).u16(1);    // more
  wrong[5].u32(5).text("disk").u16(0);           // the name swallows half the count
  for (const Wire& data : wrong)
    for (Option option : {Option::go, Option::info}) {
      Session session;
      CHECK(is_error(session.option(option, data), OptionReply::err_invalid));
      CHECK(session.opens == 0);
      CHECK(session.option(Option::go, go_data("disk")).back().type == OptionReply::ack);
    }
}

TEST_CASE("handshake: a name over 4096 bytes, with a NUL, or not UTF-8 is ERR_INVALID") {
  Session session;
  using namespace std::string_view_literals;
  for (const std::string& name : {std::string(4097, 'x'), std::string("a\0b"sv), std::string("\xff"),
                                  std::string("\xc0\xaf"), std::string("\xed\xa0\x80"), std::string("\xe2\x82")})
    CHECK(is_error(session.option(Option::go, go_data(name)), OptionReply::err_invalid));
  CHECK(session.opens == 0);
  CHECK(is_error(session.option(Option::go, go_data(std::string(4096, 'x'))), OptionReply::err_unknown));
  CHECK(is_error(session.option(Option::go, go_data("\xe2\x82\xac \xf0\x9f\x92\xbe")), OptionReply::err_unknown));
}

TEST_CASE("handshake: error messages never carry the client's own bytes") {
  Session session;
  const std::string name(4096, 'q');
  for (const OptionAnswer& answer : session.option(Option::go, go_data(name)))
    CHECK(answer.text(0).find("qq") == std::string::npos);
}

TEST_CASE("handshake: when everything is refused each option gets the error, ABORT its ACK, EXPORT_NAME the end") {
  Session session;
  session.machine.refuse_all(OptionReply::err_shutdown, "going down");
  CHECK(is_error(session.option(Option::go, go_data("disk")), OptionReply::err_shutdown));
  CHECK(is_error(session.option(Option::list), OptionReply::err_shutdown));
  CHECK(is_error(session.option(Option::structured_reply), OptionReply::err_shutdown));
  CHECK(is_error(session.option(Option{99}), OptionReply::err_shutdown));
  CHECK(session.opens == 0);
  CHECK(session.option(Option::abort)[0].type == OptionReply::ack);
  Session old;
  old.machine.refuse_all(OptionReply::err_shutdown, "going down");
  Wire name;
  name.text("disk");
  CHECK(old.option(Option::export_name, name).empty());
  CHECK(old.machine.state() == Handshake::State::closed);
}

TEST_CASE("handshake: a client that only ever sends options is dropped at the limit") {
  NbdLimits limits;
  limits.options = 10;
  Session session(both_flags, limits);
  for (int i = 0; i < 10; i++) CHECK(session.option(Option::structured_reply).size() == 1);
  CHECK(session.option(Option::structured_reply).empty());
  CHECK(session.machine.state() == Handshake::State::closed);
}

TEST_CASE("handshake: nothing behind GO is consumed") {
  Session session;
  Wire wire;
  wire.option(Option::go, go_data("disk"));
  const size_t length = wire.bytes.size();
  wire.u32(request_magic).u32(0);
  CHECK(session.feed(wire) == length);
}

TEST_CASE("handshake: while there is output nothing is consumed, so an unread peer is not listened to") {
  const NbdLimits limits;
  Handshake machine(limits);
  Wire wire;
  wire.u32(both_flags);
  CHECK(machine.consume(wire.bytes) == 0);  // the greeting is still there
  machine.take_output();
  CHECK(machine.consume(wire.bytes) == 4);
}

/// A valid conversation, as one stream.
Wire conversation() {
  Wire wire;
  Wire junk;
  junk.text("some data");
  wire.u32(both_flags);
  wire.option(Option{55}, junk);
  wire.option(Option::structured_reply, {});
  wire.option(Option::list, {});
  wire.option(Option::list_meta_context, meta_data("disk", {"base:"}));
  wire.option(Option::set_meta_context, meta_data("disk", {"base:allocation"}));
  wire.option(Option::info, go_data("nothing"));
  wire.option(Option::go, go_data("disk", {Info::block_size, Info::name}));
  return wire;
}

struct Bare {
  NbdLimits limits;
  Handshake machine{limits};
  std::vector<std::byte> output;
  void feed(Bytes left) {
    while (machine.state() != Handshake::State::closed && machine.state() != Handshake::State::transmission) {
      for (std::byte byte : machine.take_output()) output.push_back(byte);
      if (machine.state() == Handshake::State::list_wanted) {
        machine.list({"disk"});
      } else if (machine.state() == Handshake::State::open_wanted) {
        if (machine.export_name() == "disk")
          machine.found(facts_of("disk"));
        else
          machine.not_found(OptionReply::err_unknown, "no");
      } else if (left.empty()) {
        break;
      } else {
        left = left.subspan(machine.consume(left));
      }
    }
    for (std::byte byte : machine.take_output()) output.push_back(byte);
  }
};

TEST_CASE("handshake: a stream cut into pieces at every byte gives the same answers") {
  const Wire wire = conversation();
  Bare whole;
  whole.feed(wire.bytes);
  REQUIRE(whole.machine.state() == Handshake::State::transmission);
  for (size_t cut = 0; cut <= wire.bytes.size(); cut++) {
    Bare pieces;
    pieces.feed(Bytes(wire.bytes).first(cut));
    pieces.feed(Bytes(wire.bytes).subspan(cut));
    CHECK(pieces.machine.state() == Handshake::State::transmission);
    CHECK(pieces.output == whole.output);
  }
  Bare bytes;
  for (const std::byte& byte : wire.bytes) bytes.feed({&byte, 1});
  CHECK(bytes.output == whole.output);
}

TEST_CASE("handshake: random and damaged streams never crash, hang or answer without bound") {
  const Wire valid = conversation();
  for (uint32_t seed = 1; seed <= 3000; seed++) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::vector<std::byte> stream = valid.bytes;
    if (seed % 3 == 0) {  // garbage behind valid flags
      stream.resize(4 + random() % 3000);
      for (size_t i = 4; i < stream.size(); i++) stream[i] = static_cast<std::byte>(random());
    }
    for (uint32_t i = stream.size() > 4 ? random() % 6 : 0; i > 0; i--)
      stream[4 + random() % (stream.size() - 4)] = static_cast<std::byte>(random());
    if (seed % 5 == 0) stream.resize(random() % (stream.size() + 1));
    Bare bare;
    Bytes left(stream);
    while (!left.empty()) {
      const size_t n = std::min<size_t>(left.size(), 1 + random() % 100);
      bare.feed(left.first(n));
      left = left.subspan(n);
    }
    CHECK(bare.output.size() < 64 * 1024);
  }
}

}  // namespace
}  // namespace atl::nbd
