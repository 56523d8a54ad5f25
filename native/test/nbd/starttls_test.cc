// starttls_test.cc: the option STARTTLS and what the modes of TLS allow before it; the handshake machine alone.
#include <doctest/doctest.h>

#include "nbd/protocol/handshake.h"
#include "test/support/nbd_wire.h"

namespace atl::nbd {
namespace {

using test::OptionAnswer;
using test::Wire;

/// A machine behind its greeting; no export exists.
struct Session {
  NbdLimits limits;
  Handshake machine;

  explicit Session(TlsMode mode, uint32_t client_flags = flag_fixed_newstyle | flag_no_zeroes) : machine(limits, mode) {
    machine.take_output();
    Wire wire;
    wire.u32(client_flags);
    machine.consume(wire.bytes);
  }

  std::vector<OptionAnswer> feed(Bytes bytes) {
    std::vector<std::byte> output;
    while (!bytes.empty()) {
      const size_t used = machine.consume(bytes);
      bytes = bytes.subspan(used);
      if (machine.state() == Handshake::State::open_wanted) machine.not_found(OptionReply::err_unknown, "none");
      if (machine.state() == Handshake::State::list_wanted) machine.list({"one"});
      for (std::byte byte : machine.take_output()) output.push_back(byte);
      if (used == 0) break;
    }
    left = bytes.size();
    return test::option_answers(output);
  }
  std::vector<OptionAnswer> option(Option option, const Wire& data = {}) {
    Wire wire;
    wire.option(option, data);
    return feed(wire.bytes);
  }
  OptionReply answer(Option option, const Wire& data = {}) {
    const auto answers = this->option(option, data);
    REQUIRE(!answers.empty());
    return answers.back().type;
  }
  size_t left = 0;  // of the last feed(), not consumed
};

Wire named(std::string_view name) {
  Wire data;
  data.string(name).u16(0);
  return data;
}

TEST_CASE("STARTTLS: without TLS it is an unknown option, whatever data it carries") {
  Session session(TlsMode::off);
  CHECK(session.answer(Option::starttls) == OptionReply::err_unsup);
  Wire data;
  data.u32(1);
  CHECK(session.answer(Option::starttls, data) == OptionReply::err_unsup);
  CHECK(session.answer(Option::structured_reply) == OptionReply::ack);
}

TEST_CASE("STARTTLS required: every other option but ABORT is answered TLS_REQD, and the session goes on") {
  Session session(TlsMode::required);
  Wire list_data, contexts;
  list_data.u32(7);
  contexts.string("disk").u32(0);
  CHECK(session.answer(Option::list) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::list, list_data) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::info, named("disk")) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::go, named("disk")) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::go) == OptionReply::err_tls_reqd);  // malformed: not even looked at
  CHECK(session.answer(Option::structured_reply) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::set_meta_context, contexts) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::list_meta_context, contexts) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::peek_export) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::extended_headers) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option{0x12345}) == OptionReply::err_tls_reqd);
  CHECK(session.machine.state() == Handshake::State::negotiating);
  CHECK(session.answer(Option::starttls) == OptionReply::ack);
  CHECK(session.machine.state() == Handshake::State::tls_wanted);
}

TEST_CASE("STARTTLS required: ABORT before it is acknowledged") {
  Session session(TlsMode::required);
  CHECK(session.answer(Option::abort) == OptionReply::ack);
  CHECK(session.machine.state() == Handshake::State::closed);
}

TEST_CASE("STARTTLS required: EXPORT_NAME before it closes without a word, also in a newstyle that is not fixed") {
  for (const uint32_t flags : {uint32_t{flag_fixed_newstyle}, uint32_t{0}}) {
    Session session(TlsMode::required, flags);
    Wire wire;
    wire.option(Option::export_name, Wire().text("disk"));
    CHECK(session.feed(wire.bytes).empty());
    CHECK(session.machine.state() == Handshake::State::closed);
  }
}

TEST_CASE("STARTTLS with data is ERR_INVALID, and can be sent again without") {
  for (const TlsMode mode : {TlsMode::opportunistic, TlsMode::required}) {
    Session session(mode);
    Wire data;
    data.u32(0);
    CHECK(session.answer(Option::starttls, data) == OptionReply::err_invalid);
    CHECK(session.machine.state() == Handshake::State::negotiating);
    CHECK(session.answer(Option::starttls) == OptionReply::ack);
  }
}

TEST_CASE("STARTTLS twice is ERR_INVALID, and the session goes on") {
  for (const TlsMode mode : {TlsMode::opportunistic, TlsMode::required}) {
    Session session(mode);
    CHECK(session.answer(Option::starttls) == OptionReply::ack);
    session.machine.tls_started();
    CHECK(session.answer(Option::starttls) == OptionReply::err_invalid);
    CHECK(session.answer(Option::list) == OptionReply::ack);
    CHECK(session.answer(Option::go, named("disk")) == OptionReply::err_unknown);
  }
}

TEST_CASE("STARTTLS forgets what was negotiated in the clear: structured replies, and contexts with them") {
  Session session(TlsMode::opportunistic);
  CHECK(session.answer(Option::structured_reply) == OptionReply::ack);
  CHECK(session.machine.negotiated().structured);
  CHECK(session.answer(Option::starttls) == OptionReply::ack);
  CHECK_FALSE(session.machine.negotiated().structured);
  session.machine.tls_started();
  Wire contexts;
  contexts.string("disk").u32(1).string(base_allocation);
  CHECK(session.answer(Option::set_meta_context, contexts) ==
        OptionReply::err_invalid);  // they need structured replies
}

TEST_CASE("STARTTLS: what is pipelined behind it is never an option") {
  Session session(TlsMode::opportunistic);
  Wire wire;
  wire.option(Option::starttls, {}).option(Option::structured_reply, {}).option(Option::go, named("disk"));
  const auto answers = session.feed(wire.bytes);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].type == OptionReply::ack);
  CHECK(session.machine.state() == Handshake::State::tls_wanted);
  CHECK(session.left == 16 + 16 + named("disk").bytes.size());
  CHECK_FALSE(session.machine.negotiated().structured);
}

TEST_CASE("STARTTLS at a server that goes down is refused with that reason; other options still ask for TLS first") {
  Session session(TlsMode::required);
  session.machine.refuse_all(OptionReply::err_shutdown, "going down");
  CHECK(session.answer(Option::go, named("disk")) == OptionReply::err_tls_reqd);
  CHECK(session.answer(Option::starttls) == OptionReply::err_shutdown);
  CHECK(session.answer(Option::abort) == OptionReply::ack);
}

TEST_CASE("STARTTLS needs fixed newstyle") {
  Session session(TlsMode::opportunistic, 0);
  CHECK(session.option(Option::starttls).empty());
  CHECK(session.machine.state() == Handshake::State::closed);
}

}  // namespace
}  // namespace atl::nbd
