// lives_test.cc: how connections begin, crowd, stall and end; over real sockets, on both kinds of loop.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>
#include <set>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

TEST_SUITE_BEGIN("threads");

Task<void> disconnect(NbdServer* server, std::string name, std::atomic<bool>* done) {
  co_await server->disconnect(std::move(name));
  *done = true;
}

Task<void> shut_down(NbdServer* server, std::atomic<bool>* done) {
  co_await server->shutdown();
  *done = true;
}

Task<void> listen_at(NbdServer* server, std::string address, Result<std::string>* answer) {
  ListenOptions options;
  options.address = std::move(address);
  *answer = co_await server->listen(std::move(options));
}

Result<std::string> try_listen(World& world, const std::string& address) {
  Result<std::string> answer = Error{Code::io, "not asked"};
  world.run(listen_at(world.server.get(), address, &answer));
  return answer;
}

TEST_CASE("DISC is answered by the replies of all that is in flight, then by the end of the stream") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  world.delay([](const MemoryDevice::Call&) { return 20'000'000; });
  Wire wire;
  for (uint64_t i = 0; i < 20; i++) wire.request(Command::read, i, i * 4096, 4096);
  wire.request(Command::disconnect, 0, 0, 0);
  client.send(wire);
  std::set<uint64_t> seen;
  for (int i = 0; i < 20; i++) {
    const Reply reply = client.reply();
    CHECK(reply.data.size() == 4096);
    seen.insert(reply.cookie);
  }
  CHECK(seen.size() == 20);
  CHECK(client.at_end());
  eventually([&] { return world.resolver.leases == 0; });
}

TEST_CASE("a stream that loses its magic is closed after what was in flight is answered") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  Wire wire;
  wire.request(Command::read, 1, 0, 4096).u64(0).u64(0).u64(0).u64(0);
  client.send(wire);
  CHECK(client.reply().data.size() == 4096);
  CHECK(client.at_end());
}

TEST_CASE("a client that shuts its sending side still gets its answers") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  world.delay([](const MemoryDevice::Call&) { return 5'000'000; });
  Wire wire;
  wire.request(Command::read, 1, 0, 4096);
  client.send(wire);
  ::shutdown(client.fd(), SHUT_WR);
  CHECK(client.reply().data.size() == 4096);
  CHECK(client.at_end());
}

TEST_CASE("a FLUSH reaches the one device behind all connections of an export") {
  World world(IoKind::automatic);
  Client one = Client::unix_socket(world), two = Client::tcp(world);
  one.enter("disk");
  two.enter("alias");
  CHECK(one.write(0, pattern(4096, 1)).error == NbdError::none);
  CHECK(two.request(Command::flush, 0, 0).error == NbdError::none);
  CHECK(world.disk->flushes == 1);
  CHECK(two.request(Command::read, 0, 4096).data == pattern(4096, 1));
}

TEST_CASE("a connection moves to its device's loop, with what it had sent ahead") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 3);
  for (int i = 0; i < 6; i++) {
    Client client = i % 2 ? Client::tcp(world) : Client::unix_socket(world);
    client.greet();
    Wire data, wire;
    data.string("disk").u16(0);
    wire.option(Option::go, data).request(Command::read, 5, 0, 512);
    client.send(wire);  // the request already behind GO
    client.receive(20 + 12 + 20);
    CHECK(client.reply(512).cookie == 5);
    const auto bytes = pattern(100'000, 3);
    CHECK(client.write(777, bytes).error == NbdError::none);
  }
}

TEST_CASE("INFO, SET_META_CONTEXT and GO of one name open it once; another name gives the first back") {
  World world(IoKind::automatic, {}, 2);
  Client client = Client::unix_socket(world);
  client.greet();
  client.option(Option::structured_reply);
  client.go("disk", Option::info);
  Wire meta;
  meta.string("disk").u32(0);
  client.option(Option::list_meta_context, meta);
  CHECK(world.resolver.opens == 1);
  client.go("ro", Option::info);
  CHECK(world.resolver.opens == 2);
  CHECK(world.resolver.leases == 1);
  CHECK(client.go("ro").back().type == OptionReply::ack);
  CHECK(world.resolver.opens == 2);
  client.close();
  eventually([&] { return world.resolver.leases == 0; });
}

TEST_CASE("no more than the limit of requests is in flight, and all are answered") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.connection_requests = 16;
  World world(kind, limits);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  world.at_home([&] { world.disk->hold(); });
  Wire wire;
  for (uint64_t i = 0; i < 500; i++) wire.request(i % 2 ? Command::trim : Command::read, i, 0, 4096);
  client.send(wire);
  eventually([&] { return world.disk->running == 16; });
  world.at_home([&] { world.disk->release(); });
  for (uint64_t i = 0; i < 500; i++) CHECK(client.reply().error == NbdError::none);
  CHECK(world.disk->running_max <= 16);
}

TEST_CASE("one request at a time is enough to get on") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.connection_requests = 1;
  World world(kind, limits);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  Wire wire;
  for (uint64_t i = 0; i < 300; i++) wire.request(i % 3 == 2 ? Command{99} : Command::read, i, 0, 512);
  client.send(wire);
  for (uint64_t i = 0; i < 300; i++) CHECK(client.reply().cookie == i);
}

TEST_CASE("a reader that never reads holds no more than its share, and does not stop the others") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.connection_bytes = 4u << 20;
  limits.total_bytes = 1;  // raised to what the largest request needs
  limits.payload_bytes = 2u << 20;
  World world(kind, limits);
  world.at_home([&] { world.disk->allocate(); });
  std::vector<Client> stuck;
  for (int i = 0; i < 4; i++) {
    stuck.push_back(Client::unix_socket(world));
    stuck.back().enter("disk");
    Wire wire;
    for (uint64_t r = 0; r < 100; r++) wire.request(Command::read, r, 0, 1u << 20);
    stuck.back().send(wire);
  }
  Client client = Client::unix_socket(world);
  client.enter("disk");
  for (int i = 0; i < 50; i++) CHECK(client.request(Command::read, 0, 1u << 20, cflag_df).data.size() == 1u << 20);
  // In all: 4 MiB for everybody (twice the largest request), 1.3 MiB guaranteed to each, and what the kernel's socket buffers took.
  const uint64_t read = world.server->counters().bytes_read;
  CHECK(read <= (50u << 20) + (4u << 20) + 5 * (3u << 19) + 4 * (2u << 20));
  // Those who stalled go on when they read.
  for (Client& one : stuck)
    for (int r = 0; r < 100; r++) CHECK(one.reply().data.size() == 1u << 20);
}

TEST_CASE("a reader that never reads is cut off after the limit, and its lease comes back") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.send_stall_ms = 200;
  World world(kind, limits);
  world.at_home([&] { world.disk->allocate(); });
  Client client = Client::unix_socket(world);
  client.enter("disk");
  Wire wire;
  for (uint64_t r = 0; r < 30; r++) wire.request(Command::read, r, 0, 1u << 20);
  client.send(wire);
  eventually([&] { return world.resolver.leases == 0; });
  Client other = Client::unix_socket(world);
  other.enter("disk");
  CHECK(other.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE(
    "clients that vanish at any point cost nothing: in a handshake, an option, a request, a payload, before a reply") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  world.delay([](const MemoryDevice::Call& call) { return call.length == 4096 ? 1'000'000 : 0; });
  Wire stream, data, name;
  stream.u32(3);
  data.string("disk").u16(0);
  stream.option(Option::structured_reply, {}).option(Option::go, data);
  const auto payload = pattern(3000, 1);
  stream.request(Command::write, 1, 0, 3000).append(payload);
  stream.request(Command::read, 2, 0, 4096).request(Command::flush, 3, 0, 0);
  for (size_t length = 0; length < stream.bytes.size(); length += 1 + length / 40) {
    Client client = length % 2 ? Client::tcp(world) : Client::unix_socket(world);
    client.send(Bytes(stream.bytes).first(length));
    if (length % 3 == 0) {
      const linger reset{1, 0};
      ::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
  }
  // Also in the middle of a payload that is received in pieces.
  for (size_t length : {28u, 100'000u, 1'500'000u}) {
    Client client = Client::unix_socket(world);
    client.enter("disk");
    Wire wire;
    wire.request(Command::write, 1, 0, 3u << 20);
    wire.bytes.resize(length);
    client.send(wire);
  }
  eventually([&] { return world.server->counters().connections == 0; });
  CHECK(world.resolver.leases == 0);
  CHECK(world.disk->running == 0);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  CHECK(client.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("random bytes in the transmission phase end their own connection at most") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  for (uint32_t seed = 1; seed <= 300; seed++) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    Client client = Client::unix_socket(world);
    client.enter("disk", seed % 2 == 0);
    Wire wire;
    for (int i = 0; i < 20; i++) {
      const auto length = static_cast<uint32_t>(random() % 3 ? random() % 10'000 : random());
      const uint64_t offset = random() % 3 ? random() % World::disk_bytes : random();
      const auto command = Command{static_cast<uint16_t>(random() % 10)};
      wire.request(command, random(), offset, length, static_cast<uint16_t>(random() % 4 ? random() % 32 : random()));
      if (command == Command::write) wire.bytes.resize(wire.bytes.size() + std::min(length, 20'000u));
    }
    for (int i = static_cast<int>(random() % 4); i > 0; i--)
      wire.bytes[random() % wire.bytes.size()] = static_cast<std::byte>(random());
    client.send(wire);
    ::shutdown(client.fd(), SHUT_WR);
    std::vector<std::byte> sink(1 << 16);
    while (::recv(client.fd(), sink.data(), sink.size(), 0) > 0) {
    }
  }
  eventually([&] { return world.server->counters().connections == 0; });
  Client client = Client::unix_socket(world);
  client.enter("disk");
  CHECK(client.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("200 connections work at once") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.export_connections = 100;
  World world(kind, limits, 2);
  std::vector<Client> clients;
  for (int i = 0; i < 200; i++) {
    clients.push_back(i % 2 ? Client::tcp(world) : Client::unix_socket(world));
    clients.back().enter("disk");
  }
  CHECK(world.server->counters().connections == 200);
  Wire wire;
  for (uint64_t i = 0; i < 10; i++) wire.request(Command::read, i, i * 4096, 4096);
  for (Client& client : clients) client.send(wire);
  for (Client& client : clients)
    for (int i = 0; i < 10; i++) CHECK(client.reply().data.size() == 4096);
  clients.clear();
  eventually([&] { return world.server->counters().connections == 0; });
  CHECK(world.server->counters().requests[0] == 2000);
}

TEST_CASE("connections over the limit are told so, and are welcome once there is room") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.connections = 2;
  limits.refusals = 1;
  World world(kind, limits);
  Client one = Client::unix_socket(world), two = Client::unix_socket(world);
  one.enter("disk");
  two.enter("disk");
  {
    Client three = Client::unix_socket(world);
    three.greet();
    const auto answers = three.go("disk");
    CHECK(answers[0].type == OptionReply::err_policy);
    CHECK(answers[0].text(0).find("connections") != std::string::npos);
    Client four = Client::unix_socket(world);  // not even told
    CHECK(four.at_end());
  }
  CHECK(world.server->counters().refused == 2);
  two.close();
  eventually([&] { return world.server->counters().connections == 1; });
  Client five = Client::unix_socket(world);
  five.enter("disk");
  CHECK(five.request(Command::read, 0, 512).error == NbdError::none);
  CHECK(one.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("a handshake that does not end in time is cut, also when it drips; the transmission has no such limit") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.handshake_ms = 150;
  World world(kind, limits);
  Client silent = Client::unix_socket(world), dripping = Client::unix_socket(world), busy = Client::unix_socket(world);
  busy.enter("disk");
  dripping.greet();
  const std::byte zero{0};
  for (int i = 0; i < 40; i++) {
    dripping.send(Bytes{&zero, 1});
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(dripping.at_end());
  silent.receive(18);
  CHECK(silent.at_end());
  CHECK(busy.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("the time our own resolver takes is not held against the client") {
  NbdLimits limits;
  limits.handshake_ms = 150;
  World world(IoKind::automatic, limits);
  Client client = Client::unix_socket(world);
  client.greet();
  world.resolver.hold = true;
  Wire data, wire;
  data.string("disk").u16(0);
  wire.option(Option::go, data);
  client.send(wire);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  world.resolver.hold = false;
  CHECK(client.receive(20 + 12 + 20).size() == 52);
  CHECK(client.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("disconnect(name) answers what is in flight, closes those who came by the name, and nobody else") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  Client one = Client::unix_socket(world), two = Client::tcp(world), other = Client::unix_socket(world);
  one.enter("disk");
  two.enter("alias");  // its canonical name is "disk"
  other.enter("ro");
  world.at_home([&] { world.disk->hold(); });
  Wire wire;
  wire.request(Command::read, 1, 0, 4096);
  one.send(wire);
  eventually([&] { return world.disk->running == 1; });
  std::atomic<bool> done{false};
  spawn_on(world.home(), disconnect(world.server.get(), "disk", &done));
  CHECK(two.at_end());
  CHECK_FALSE(done);
  Wire late;
  late.request(Command::read, 2, 0, 4096);
  one.send(late);
  Reply reply = one.reply();  // what comes now is told that it is over
  CHECK(reply.cookie == 2);
  CHECK(reply.error == NbdError::shutdown);
  world.at_home([&] { world.disk->release(); });
  reply = one.reply();
  CHECK(reply.cookie == 1);
  CHECK(reply.error == NbdError::none);
  CHECK(one.at_end());
  one.close();
  two.close();
  eventually([&] { return done.load(); });
  CHECK(world.resolver.leases == 1);
  CHECK(other.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("disconnect of the default export leaves alone who has not chosen one yet") {
  World world(IoKind::automatic);
  world.resolver.add("", {world.disk, false, ""});
  Client young = Client::unix_socket(world), chosen = Client::unix_socket(world), other = Client::unix_socket(world);
  young.greet();
  CHECK(young.go("nothing")[0].type == OptionReply::err_unknown);
  chosen.enter("");
  other.enter("disk");
  std::atomic<bool> done{false};
  spawn_on(world.home(), disconnect(world.server.get(), "", &done));
  CHECK(chosen.at_end());
  chosen.close();
  eventually([&] { return done.load(); });
  CHECK(young.go("disk").back().type == OptionReply::ack);
  CHECK(other.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("disconnect(name) while the name is being resolved refuses it and gives the lease back") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  Client client = Client::unix_socket(world);
  client.greet();
  world.resolver.hold = true;
  Wire data, wire;
  data.string("disk").u16(0);
  wire.option(Option::go, data);
  client.send(wire);
  eventually([&] { return world.resolver.holding == 1; });
  std::atomic<bool> done{false};
  spawn_on(world.home(), disconnect(world.server.get(), "disk", &done));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK_FALSE(done);
  world.resolver.hold = false;
  const auto answer = client.receive(20);
  CHECK(OptionReply{load_be<uint32_t>(answer.data() + 12)} == OptionReply::err_shutdown);
  client.close();
  eventually([&] { return done.load(); });
  CHECK(world.resolver.leases == 0);
}

TEST_CASE(
    "shutdown answers what is in flight and nothing that comes later, ends handshakes with ERR_SHUTDOWN, and frees the "
    "address") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, {}, 2);
  Client busy = Client::tcp(world), idle = Client::unix_socket(world), young = Client::unix_socket(world);
  busy.enter("disk");
  idle.enter("disk");
  young.greet();
  CHECK(young.option(Option::structured_reply).size() == 1);
  world.at_home([&] { world.disk->hold(); });
  Wire wire;
  wire.request(Command::write, 1, 0, 512).append(pattern(512, 1));
  busy.send(wire);
  eventually([&] { return world.disk->running == 1; });
  std::atomic<bool> done{false};
  spawn_on(world.home(), shut_down(world.server.get(), &done));
  CHECK(idle.at_end());
  CHECK(young.go("disk")[0].type == OptionReply::err_shutdown);
  CHECK(::access(world.unix_path().c_str(), F_OK) != 0);
  Wire late;
  late.request(Command::write, 2, 0, 512).append(pattern(512, 2));
  late.request(Command::disconnect, 3, 0, 0);
  busy.send(late);
  CHECK_FALSE(done);
  world.at_home([&] { world.disk->release(); });
  const Reply reply = busy.reply();
  CHECK(reply.cookie == 1);
  CHECK(reply.error == NbdError::none);
  CHECK(busy.at_end());
  CHECK(world.server->counters().requests[static_cast<size_t>(Command::write)] == 1);
  eventually([&] { return done.load(); });
  CHECK(world.resolver.leases == 0);
  CHECK(world.server->counters().connections == 0);
}

TEST_CASE("a connection that asks for nothing for too long is closed in order; one with a request in flight is not") {
  NbdLimits limits;
  limits.idle_ms = 300;
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind, limits, 2);
  Client idle = Client::tcp(world), busy = Client::unix_socket(world);
  idle.enter("disk");
  busy.enter("disk");
  world.at_home([&] { world.disk->hold(); });
  Wire wire;
  wire.request(Command::read, 1, 0, 512);
  busy.send(wire);
  CHECK(idle.at_end());
  idle.close();
  eventually([&] { return world.server->counters().connections == 1; });
  world.at_home([&] { world.disk->release(); });
  CHECK(busy.reply().error == NbdError::none);
  CHECK(busy.at_end());  // now it was idle, too
}

TEST_CASE("shutdown does not wait for ever for a device that does not answer") {
  NbdLimits limits;
  limits.drain_ms = 100;
  World world(IoKind::automatic, limits);
  Client client = Client::unix_socket(world);
  client.enter("disk");
  world.at_home([&] { world.disk->hold(); });
  Wire wire;
  wire.request(Command::read, 1, 0, 512);
  client.send(wire);
  eventually([&] { return world.disk->running == 1; });
  std::atomic<bool> done{false};
  spawn_on(world.home(), shut_down(world.server.get(), &done));
  CHECK(client.at_end());
  eventually([&] { return done.load(); });
  world.at_home([&] { world.disk->release(); });
  eventually([&] { return world.resolver.leases == 0; });
}

TEST_CASE("the socket file of a dead server is replaced; a live one, and a file that is none, are refused") {
  World world(IoKind::automatic);
  const std::string live = world.unix_path();
  CHECK(try_listen(world, "unix:" + live).error().code == Code::busy);
  const std::string path = live + ".other";
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    ::close(fd);  // the file stays, as after kill -9
  }
  CHECK(try_listen(world, "unix:" + path).ok());
  struct stat made;
  REQUIRE(::stat(path.c_str(), &made) == 0);
  CHECK((made.st_mode & 0777) == 0600);
  const std::string file = live + ".txt";
  std::ofstream(file) << "precious";
  CHECK(try_listen(world, "unix:" + file).error().code == Code::exists);
  ::unlink(file.c_str());
  CHECK(try_listen(world, "unix:" + std::string(200, 'x')).error().code == Code::invalid);
  CHECK(try_listen(world, "unix:/nonexistent/directory/x").error().code == Code::not_found);
  world.shutdown();
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("addresses: ports, IPv6 in brackets, names; what is none is refused with the reason") {
  World world(IoKind::automatic);
  CHECK(try_listen(world, "127.0.0.1:" + std::to_string(world.tcp_port())).error().code == Code::busy);
  for (const char* wrong : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:10809", "unix:"})
    CHECK(try_listen(world, wrong).error().code == Code::invalid);
  const Result<std::string> named = try_listen(world, "localhost:0");
  CHECK(named.ok());
  const int six = ::socket(AF_INET6, SOCK_STREAM, 0);
  if (six >= 0) {
    const Result<std::string> bound = try_listen(world, "[::1]:0");
    if (bound) CHECK(bound->starts_with("[::1]:"));
    ::close(six);
  }
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
