// meta_handshake_test.cc: LIST_META_CONTEXT and SET_META_CONTEXT, without a socket.
#include <doctest/doctest.h>

#include <set>

#include "test/support/nbd_session.h"

namespace atl::nbd {
namespace {

using namespace test;

TEST_CASE("handshake: metadata contexts need structured replies") {
  for (Option option : {Option::list_meta_context, Option::set_meta_context}) {
    Session session;
    CHECK(is_error(session.option(option, meta_data("disk", {base_allocation})), OptionReply::err_invalid));
  }
}

TEST_CASE("handshake: LIST_META_CONTEXT answers everything, by wildcard, by name, and ignores what it does not know") {
  Session session;
  session.option(Option::structured_reply);
  const auto count = [&](std::vector<std::string_view> queries) {
    const auto answers = session.option(Option::list_meta_context, meta_data("disk", queries));
    CHECK(answers.back().type == OptionReply::ack);
    return answers.size() - 1;
  };
  CHECK(count({}) == 4);
  CHECK(count({"base:"}) == 1);
  CHECK(count({"qemu:"}) == 2);
  CHECK(count({"qemu:dirty-bitmap:"}) == 2);
  CHECK(count({"qemu:dirty-bitmap:b", "atoll:"}) == 2);
  CHECK(count({"qemu"}) == 0);
  CHECK(count({"base:allocation"}) == 1);
  CHECK(count({"base:allocation", "base:"}) == 1);
  CHECK(count({"base:other", "qemu:dirty-bitmap:x", "x-unknown:", "nocolon", ""}) == 0);
  const auto answers = session.option(Option::list_meta_context, meta_data("disk", {}));
  CHECK(answers[0].type == OptionReply::meta_context);
  CHECK(answers[0].text(4) == "base:allocation");
  CHECK(is_error(session.option(Option::list_meta_context, meta_data("nothing", {})), OptionReply::err_unknown));
}

TEST_CASE("handshake: SET_META_CONTEXT selects base:allocation by name only, and it binds to the export") {
  const auto selected = [](std::string_view name, std::vector<std::string_view> queries, std::string_view go) {
    Session session;
    session.option(Option::structured_reply);
    CHECK(session.option(Option::set_meta_context, meta_data(name, queries)).back().type == OptionReply::ack);
    CHECK(session.option(Option::go, go_data(go)).back().type == OptionReply::ack);
    return !session.machine.negotiated().contexts.empty();
  };
  CHECK(selected("disk", {"base:allocation"}, "disk"));
  CHECK(selected("disk", {"x:y", "base:allocation", "base:allocation"}, "disk"));
  CHECK_FALSE(selected("disk", {"base:"}, "disk"));
  CHECK_FALSE(selected("disk", {}, "disk"));
  CHECK_FALSE(selected("disk", {"base:allocation"}, "ro"));
}

TEST_CASE("handshake: SET_META_CONTEXT selects each named context once, with an id of its own") {
  Session session;
  session.option(Option::structured_reply);
  const auto answers =
      session.option(Option::set_meta_context, meta_data("disk", {"qemu:dirty-bitmap:b", "atoll:depth", "atoll:depth",
                                                                  "atoll:", "base:allocation", "qemu:dirty-bitmap:c"}));
  REQUIRE(answers.size() == 4);
  const auto& selected = session.machine.negotiated().contexts;
  REQUIRE(selected.size() == 3);
  std::set<uint32_t> ids;
  for (size_t i = 0; i < selected.size(); i++) {
    WireReader reader(answers[i].data);
    CHECK(reader.number<uint32_t>() == selected[i].id);
    CHECK(reader.text(reader.left()) == selected[i].name);
    CHECK(ids.insert(selected[i].id).second);
  }
}

TEST_CASE("handshake: more contexts than a connection may select are ERR_TOO_BIG, and none is selected") {
  NbdLimits limits;
  limits.meta_contexts = 2;
  Session session(both_flags, limits);
  session.option(Option::structured_reply);
  const std::vector<std::string_view> all = {"base:allocation", "qemu:dirty-bitmap:a", "qemu:dirty-bitmap:b"};
  CHECK(is_error(session.option(Option::set_meta_context, meta_data("disk", all)), OptionReply::err_too_big));
  CHECK(session.machine.negotiated().contexts.empty());
  CHECK(session.option(Option::list_meta_context, meta_data("disk", all)).size() == 4);
}

TEST_CASE("handshake: the owner is asked for contexts only where a query can match more than base:allocation") {
  const auto asks = [](bool list, std::vector<std::string> names) { return MetaQueries{list, names}.beyond_base(); };
  CHECK(asks(true, {}));
  CHECK_FALSE(asks(false, {}));
  CHECK_FALSE(asks(true, {"base:"}));
  CHECK_FALSE(asks(false, {"base:allocation", "base:other", "nocolon"}));
  CHECK(asks(false, {"base:allocation", "qemu:allocation-depth"}));
  CHECK(asks(true, {"atoll:"}));
}

TEST_CASE("handshake: a failed SET_META_CONTEXT clears the earlier contexts") {
  std::vector<Wire> failing(3);
  failing[0].string("disk").u32(5);                       // fewer queries than counted
  failing[1] = meta_data("nothing", {base_allocation});   // unknown export
  failing[2].bytes.resize(NbdLimits{}.option_bytes + 1);  // too big
  for (const Wire& data : failing) {
    Session session;
    session.option(Option::structured_reply);
    session.option(Option::set_meta_context, meta_data("disk", {base_allocation}));
    CHECK(session.machine.negotiated().contexts.size() == 1);
    const auto answers = session.option(Option::set_meta_context, data);
    CHECK(static_cast<uint32_t>(answers.back().type) >= 0x80000000u);
    session.option(Option::go, go_data("disk"));
    CHECK(session.machine.negotiated().contexts.empty());
  }
}

TEST_CASE("handshake: a metadata context query that runs past the option, or is too long, is ERR_INVALID") {
  Session session;
  session.option(Option::structured_reply);
  Wire past;
  past.string("disk").u32(1).u32(100).text("base:");
  CHECK(is_error(session.option(Option::set_meta_context, past), OptionReply::err_invalid));
  Wire trailing = meta_data("disk", {base_allocation});
  trailing.u16(0);
  CHECK(is_error(session.option(Option::set_meta_context, trailing), OptionReply::err_invalid));
  CHECK(is_error(session.option(Option::set_meta_context, meta_data("disk", {std::string(4097, 'x')})),
                 OptionReply::err_invalid));
  Wire many;
  many.string("disk").u32(0xffffffff);
  CHECK(is_error(session.option(Option::set_meta_context, many), OptionReply::err_too_big));
}

}  // namespace
}  // namespace atl::nbd
