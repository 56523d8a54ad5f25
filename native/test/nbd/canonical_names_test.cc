// canonical_names_test.cc: names that stand for an export of another, canonical name.
#include <doctest/doctest.h>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

TEST_SUITE_BEGIN("threads");

Task<void> disconnect(NbdServer* server, std::string name, std::atomic<bool>* done) {
  co_await server->disconnect(std::move(name));
  *done = true;
}

TEST_CASE("disconnect finds a connection by the canonical name of its export, and by no other") {
  World world(IoKind::automatic, {}, 2);
  Client client = Client::unix_socket(world);
  client.enter("alias");
  std::atomic<bool> done{false};
  spawn_on(world.home(), disconnect(world.server.get(), "alias", &done));
  eventually([&] { return done.load(); });
  CHECK(client.request(Command::read, 0, 512).error == NbdError::none);
  done = false;
  spawn_on(world.home(), disconnect(world.server.get(), "disk", &done));
  CHECK(client.at_end());
  client.close();
  eventually([&] { return done.load(); });
}

TEST_CASE("an export that is deleted while its canonical name is looked up is not opened") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  Client client = Client::unix_socket(world);
  client.greet();
  world.resolver.hold_names = true;
  Wire data, wire;
  data.string("alias").u16(0);
  wire.option(Option::go, data);
  client.send(wire);
  eventually([&] { return world.resolver.holding == 1; });
  // As an owner deletes: first the resolver refuses the canonical name, then its connections are ended.
  world.resolver.add("alias", {world.disk, false, "gone"});
  std::atomic<bool> done{false};
  spawn_on(world.home(), disconnect(world.server.get(), "gone", &done));
  eventually([&] { return done.load(); });
  world.resolver.hold_names = false;
  const auto answer = client.receive(20);
  CHECK(OptionReply{load_be<uint32_t>(answer.data() + 12)} == OptionReply::err_unknown);
  CHECK(world.resolver.leases == 0);
}

TEST_CASE("disconnect by the canonical name refuses a connection that is opening the export by another name") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  Client client = Client::unix_socket(world);
  client.greet();
  world.resolver.hold = true;
  Wire data, wire;
  data.string("alias").u16(0);
  wire.option(Option::go, data);
  client.send(wire);
  eventually([&] { return world.resolver.holding == 1; });
  std::atomic<bool> done{false};
  spawn_on(world.home(), disconnect(world.server.get(), "disk", &done));
  world.at_home([] {});  // after the disconnect has looked for connections
  world.resolver.hold = false;
  const auto answer = client.receive(20);
  CHECK(OptionReply{load_be<uint32_t>(answer.data() + 12)} == OptionReply::err_shutdown);
  client.close();
  eventually([&] { return done.load(); });
  CHECK(world.resolver.leases == 0);
}

TEST_CASE("a name that stands for no one export: the operator's client gets the reason, a tenant's does not") {
  World world(IoKind::automatic);
  Client tenant = Client::tcp(world), operator_client = Client::unix_socket(world);
  tenant.greet();
  operator_client.greet();
  auto answers = operator_client.go("twice");
  CHECK(answers[0].type == OptionReply::err_unknown);
  CHECK(answers[0].text(0) == "the name \"twice\" is not unique: it is that of one and two");
  answers = tenant.go("twice");
  CHECK(answers[0].type == OptionReply::err_unknown);
  CHECK(answers[0].text(0).find("unique") == std::string::npos);
  CHECK(world.resolver.opens == 0);
  CHECK(operator_client.go("alias").back().type == OptionReply::ack);
}

TEST_CASE("metadata contexts and INFO_NAME of an export that was asked for by another name are those of the export") {
  World world(IoKind::automatic);
  world.resolver.add("disk", {world.disk, false, "", {{"test:of-disk", {}, {}}}});
  Client client = Client::unix_socket(world);
  client.greet();
  client.option(Option::structured_reply);
  Wire meta;
  meta.string("alias").u32(1).string("test:");
  const auto listed = client.option(Option::list_meta_context, meta);
  REQUIRE(listed.size() == 2);
  CHECK(listed[0].text(4) == "test:of-disk");
  Wire info;
  info.string("alias").u16(1).u16(static_cast<uint16_t>(Info::name));
  const auto answers = client.option(Option::info, info);
  REQUIRE(answers.size() == 3);
  CHECK(answers[1].text(2) == "disk");
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
