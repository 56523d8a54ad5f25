// tls_test.cc: connections that speak TLS, over real sockets, on both kinds of loop.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cstring>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

using atl::test::good_ca;
using atl::test::other_ca;
using atl::test::Purpose;
using atl::test::server_material;
using atl::test::TlsClientOptions;

TEST_SUITE_BEGIN("threads");

TlsClientOptions verifying() {
  TlsClientOptions options;
  options.ca = good_ca().certificate();
  return options;
}

/// The words of the one failure that was reported.
std::string failure(World& world) {
  eventually([&] { return !world.resolver.tls_failures().empty(); });
  const auto failures = world.resolver.tls_failures();
  CHECK(failures.size() == 1);
  CHECK(failures[0].peer.starts_with("127.0.0.1:"));
  return failures[0].words;
}

TEST_CASE("over TLS: the handshake, small and large requests, replies in pieces, and a proper end") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  for (const char* version : {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"}) {
    World world(kind, {}, 3);  // the device lives on another loop than the listener
    const uint16_t port = world.listen_with(TlsMode::required, server_material());
    Client client = Client::tcp(port);
    TlsClientOptions options = verifying();
    options.priority = version;
    client.greet().upgrade(options);
    CHECK(client.option(Option::structured_reply).back().type == OptionReply::ack);
    CHECK(client.go("disk").back().type == OptionReply::ack);
    for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{100'000}, size_t{5} << 20}) {
      const auto data = pattern(bytes, 7);
      CHECK(client.write(777, data).error == NbdError::none);
      Wire wire;
      wire.request(Command::read, 9, 777, static_cast<uint32_t>(bytes));
      client.send(wire);
      std::vector<std::byte> got(bytes);
      for (Reply reply = client.reply();; reply = client.reply()) {
        REQUIRE(reply.chunk == Chunk::offset_data);
        std::copy(reply.data.begin(), reply.data.end(), got.begin() + static_cast<ptrdiff_t>(reply.offset - 777));
        if (reply.done) break;
      }
      CHECK(got == data);
    }
    Wire wire;
    wire.request(Command::disconnect, 0, 0, 0);
    client.send(wire);
    CHECK(client.at_proper_end());
    eventually([&] { return world.resolver.leases == 0; });
    CHECK(world.resolver.tls_failures().empty());
  }
}

TEST_CASE("over TLS: hundreds of requests at once, written and read while both directions are full") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  Client client = Client::tcp(port);
  client.greet().upgrade(verifying());
  CHECK(client.go("disk").back().type == OptionReply::ack);
  constexpr uint32_t bytes = 60'000;
  constexpr uint64_t count = 250;
  const auto data = pattern(bytes, 8);
  Wire writes;
  for (uint64_t i = 0; i < count; i++) writes.request(Command::write, i, i * bytes, bytes).append(data);
  client.send(writes);
  for (uint64_t i = 0; i < count; i++) CHECK(client.reply().error == NbdError::none);
  // Nothing is read until all are sent: the replies fill the socket.
  Wire reads;
  for (uint64_t i = 0; i < count; i++) reads.request(Command::read, i, i * bytes, bytes);
  client.send(reads);
  for (uint64_t i = 0; i < count; i++) CHECK(client.reply(bytes).data == data);
}

TEST_CASE("TLS required: a plain client is told so, and gets nowhere without") {
  World world(IoKind::automatic);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  Client client = Client::tcp(port);
  client.greet();
  CHECK(client.go("disk").back().type == OptionReply::err_tls_reqd);
  CHECK(client.option(Option::list).back().type == OptionReply::err_tls_reqd);
  CHECK(client.option(Option::structured_reply).back().type == OptionReply::err_tls_reqd);
  CHECK(world.resolver.opens == 0);
  Client old = Client::tcp(port);
  old.greet();
  Wire wire;
  wire.option(Option::export_name, Wire().text("disk"));
  old.send(wire);
  CHECK(old.at_end());
  client.upgrade(verifying());
  CHECK(client.option(Option::starttls).back().type == OptionReply::err_invalid);
  CHECK(client.go("disk").back().type == OptionReply::ack);
}

TEST_CASE("TLS opportunistic: with and without it, at one listener; the doors without TLS do not know the option") {
  World world(IoKind::automatic);
  const uint16_t port = world.listen_with(TlsMode::opportunistic, server_material());
  Client plain = Client::tcp(port), secure = Client::tcp(port), other_door = Client::tcp(world);
  plain.enter("disk");
  secure.greet().upgrade(verifying());
  CHECK(secure.go("disk").back().type == OptionReply::ack);
  CHECK(plain.write(0, pattern(4096, 1)).error == NbdError::none);
  CHECK(secure.request(Command::read, 0, 4096).data == pattern(4096, 1));
  other_door.greet();
  CHECK(other_door.option(Option::starttls).back().type == OptionReply::err_unsup);
}

TEST_CASE("STARTTLS forgets the structured replies, the contexts and the export that were asked for in the clear") {
  World world(IoKind::automatic, {}, 2);
  const uint16_t port = world.listen_with(TlsMode::opportunistic, server_material());
  Client client = Client::tcp(port);
  client.greet();
  CHECK(client.option(Option::structured_reply).back().type == OptionReply::ack);
  CHECK(client.go("disk", Option::info).back().type == OptionReply::ack);
  CHECK(world.resolver.leases == 1);
  client.upgrade(verifying());
  CHECK(world.resolver.leases == 0);
  CHECK(client.go("disk").back().type == OptionReply::ack);
  const Reply reply = client.request(Command::read, 0, 512);
  CHECK_FALSE(reply.structured);
  CHECK(reply.data.size() == 512);
}

TEST_CASE("plain options injected behind STARTTLS end the connection, and are never obeyed") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  const uint16_t port = world.listen_with(TlsMode::opportunistic, server_material());
  Client client = Client::tcp(port);
  client.greet();
  Wire name, wire;
  name.string("disk").u16(0);
  wire.option(Option::starttls, {}).option(Option::structured_reply, {}).option(Option::go, name);
  client.send(wire);  // in one piece: the server reads all of it at once
  const auto answer = client.receive(20);
  CHECK(OptionReply{load_be<uint32_t>(answer.data() + 12)} == OptionReply::ack);
  CHECK_FALSE(client.try_tls(verifying()));
  CHECK(client.at_end());
  CHECK(world.resolver.opens == 0);
  CHECK_FALSE(failure(world).empty());
}

TEST_CASE("a ClientHello sent along with STARTTLS is taken as one") {
  // The same bytes that TLS would have read a moment later; what matters is that nothing but TLS reads them.
  World world(IoKind::automatic);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  atl::test::TlsClient hello(verifying());
  CHECK(gnutls_handshake(hello.session()) == GNUTLS_E_AGAIN);
  Client client = Client::tcp(port);
  client.greet();
  Wire wire;
  wire.option(Option::starttls, {}).append(hello.out);
  client.send(wire);
  client.receive(20);
  hello.out.clear();
  hello.in = client.receive(100);  // the server's answer has begun
  CHECK(hello.in[0] == std::byte{22});
}

TEST_CASE("random bytes instead of a ClientHello: an alert, an end, and a line for the log") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  for (uint32_t seed = 1; seed <= 20; seed++) {
    CAPTURE(seed);
    Client client = Client::tcp(port);
    client.greet();
    CHECK(client.option(Option::starttls).back().type == OptionReply::ack);
    client.send(Bytes(pattern(40'000, seed)));
    while (!client.at_end()) {
    }
  }
  CHECK(world.resolver.tls_failures().size() >= 19);
  eventually([&] { return world.server->counters().connections == 0; });
}

TEST_CASE("a flood of failed handshakes leaves a bounded number of lines in the log") {
  World world(IoKind::automatic);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  for (int i = 0; i < 50; i++) {
    Client client = Client::tcp(port);
    client.greet();
    CHECK(client.option(Option::starttls).back().type == OptionReply::ack);
    client.close();
  }
  eventually([&] { return world.server->counters().connections == 0; });
  CHECK(world.server->counters().accepted == 50);
  CHECK(world.resolver.tls_failures().size() <= 40);  // twenty in ten seconds
}

TEST_CASE("a client that stalls in the middle of the TLS handshake is cut off at the handshake's deadline") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.handshake_ms = 300;
  limits.linger_ms = 100;
  World world(kind, limits);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  Client client = Client::tcp(port);
  client.greet();
  CHECK(client.option(Option::starttls).back().type == OptionReply::ack);
  client.send(Wire().u16(0x1603).u16(0x0102));  // the beginning of a record, and no more
  CHECK(client.at_end());
  CHECK(failure(world).find("not done in time") != std::string::npos);
  // Nor does TLS buy time for what follows it.
  Client slow = Client::tcp(port);
  slow.greet().upgrade(verifying());
  CHECK(slow.at_end());
}

TEST_CASE("client certificates over a socket: good, missing, and of another authority") {
  World world(IoKind::automatic);
  TlsMaterial material = server_material();
  material.client_ca = good_ca().certificate();
  material.require_client_certificate = true;
  const uint16_t port = world.listen_with(TlsMode::required, material);
  for (const char* version : {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"}) {
    TlsClientOptions options = verifying();
    options.priority = version;
    options.identity = good_ca().issue("someone", Purpose::client);
    Client good = Client::tcp(port);
    good.greet().upgrade(options);
    CHECK(good.go("disk").back().type == OptionReply::ack);

    // With TLS 1.3 the client is done before the server has looked at its certificate: it learns of it with its first read.
    const auto refused = [&](const TlsClientOptions& with) {
      Client client = Client::tcp(port);
      client.greet();
      CHECK(client.option(Option::starttls).back().type == OptionReply::ack);
      if (client.try_tls(with)) {
        Wire name, wire;
        name.string("disk").u16(0);
        wire.option(Option::go, name);
        client.send(wire);
        CHECK(client.at_end());
      }
      return client.tls_error();
    };
    options.identity = {};
    const std::string words = refused(options);
    CHECK((words.find("ertificate") != std::string::npos || words == "Handshake failed"));
    options.identity = other_ca().issue("someone", Purpose::client);
    CHECK(refused(options).find("ertificate") != std::string::npos);
  }
  CHECK(world.resolver.opens == 2);
}

TEST_CASE("pre-shared keys over a socket: the right one and a wrong one") {
  World world(IoKind::automatic);
  TlsMaterial material;
  material.psk = atl::test::psk_file;
  const uint16_t port = world.listen_with(TlsMode::required, material);
  TlsClientOptions options;
  options.psk_user = "alice";
  options.psk_key = atl::test::psk_of_alice();
  Client good = Client::tcp(port);
  good.greet().upgrade(options);
  CHECK(good.go("disk").back().type == OptionReply::ack);
  options.psk_key[0] ^= 1;
  Client bad = Client::tcp(port);
  bad.greet();
  CHECK(bad.option(Option::starttls).back().type == OptionReply::ack);
  CHECK_FALSE(bad.try_tls(options));
}

TEST_CASE("new credentials are for new connections; those that are there go on") {
  World world(IoKind::automatic);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  Client before = Client::tcp(port);
  before.greet().upgrade(verifying());
  CHECK(before.go("disk").back().type == OptionReply::ack);
  TlsMaterial next = server_material();
  const atl::test::Identity identity = other_ca().issue("localhost", Purpose::server);
  next.certificate = identity.certificate;
  next.key = identity.key;
  CHECK(world.server->set_tls_credentials(atl::test::load(next)).ok());
  CHECK(before.request(Command::read, 0, 4096).data.size() == 4096);
  Client stale = Client::tcp(port);
  stale.greet();
  CHECK(stale.option(Option::starttls).back().type == OptionReply::ack);
  CHECK_FALSE(stale.try_tls(verifying()));
  TlsClientOptions options;
  options.ca = other_ca().certificate();
  Client fresh = Client::tcp(port);
  fresh.greet().upgrade(options);
  CHECK(fresh.go("disk").back().type == OptionReply::ack);
}

TEST_CASE("over TLS: a client that does not read its replies is not listened to, and cut off in time") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.send_stall_ms = 300;
  World world(kind, limits);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  Client client = Client::tcp(port);
  client.greet().upgrade(verifying());
  CHECK(client.go("disk").back().type == OptionReply::ack);
  Wire wire;
  for (uint64_t i = 0; i < 200; i++) wire.request(Command::read, i, 0, 1 << 20);
  client.send(wire);
  eventually([&] { return world.server->counters().connections == 0; });
  CHECK(world.resolver.leases == 0);
}

TEST_CASE("over TLS: a client that vanishes in the middle takes only its own connection with it") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  Client stays = Client::tcp(port);
  stays.greet().upgrade(verifying());
  CHECK(stays.go("disk").back().type == OptionReply::ack);
  {
    Client leaves = Client::tcp(port);
    leaves.greet().upgrade(verifying());
    CHECK(leaves.go("disk").back().type == OptionReply::ack);
    Wire wire;
    for (uint64_t i = 0; i < 50; i++) wire.request(Command::read, i, 0, 1 << 20);
    wire.request(Command::write, 99, 0, 4096).append(Bytes(pattern(100, 1)));
    leaves.send(wire);
    const linger reset{1, 0};
    ::setsockopt(leaves.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  eventually([&] { return world.server->counters().connections == 1; });
  CHECK(stays.request(Command::read, 0, 4096).data.size() == 4096);
}

Task<void> shut_down(NbdServer* server, std::atomic<bool>* done) {
  co_await server->shutdown();
  *done = true;
}

TEST_CASE("over TLS: shutdown answers what is in flight, then ends the session properly") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  const uint16_t port = world.listen_with(TlsMode::required, server_material());
  Client busy = Client::tcp(port), idle = Client::tcp(port), young = Client::tcp(port);
  for (Client* client : {&busy, &idle}) {
    client->greet().upgrade(verifying());
    CHECK(client->go("disk").back().type == OptionReply::ack);
  }
  young.greet().upgrade(verifying());
  world.at_home([&] { world.disk->hold(); });
  Wire wire;
  wire.request(Command::write, 1, 0, 512).append(pattern(512, 1));
  busy.send(wire);
  eventually([&] { return world.disk->running == 1; });
  std::atomic<bool> done{false};
  spawn_on(world.home(), shut_down(world.server.get(), &done));
  CHECK(idle.at_proper_end());
  CHECK(young.go("disk")[0].type == OptionReply::err_shutdown);
  CHECK_FALSE(done);
  world.at_home([&] { world.disk->release(); });
  CHECK(busy.reply().error == NbdError::none);
  CHECK(busy.at_proper_end());
  eventually([&] { return done.load(); });
  CHECK(world.server->counters().connections == 0);
}

Task<void> listen_at(NbdServer* server, ListenOptions options, Result<std::string>* answer) {
  *answer = co_await server->listen(std::move(options));
}

TEST_CASE("TLS on a listener needs credentials first") {
  World world(IoKind::automatic);
  ListenOptions options;
  options.address = "127.0.0.1:0";
  options.tls = TlsMode::required;
  Result<std::string> answer = Error{Code::io, "not asked"};
  world.run(listen_at(world.server.get(), options, &answer));
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().code == Code::invalid);
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
