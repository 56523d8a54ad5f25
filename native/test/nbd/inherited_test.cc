// inherited_test.cc: listening sockets that somebody else opened, and goes on holding.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "nbd/server/inherited_socket.h"
#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

TEST_SUITE_BEGIN("threads");

using atl::test::Fd;

Fd tcp_listener(uint16_t* port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  REQUIRE(::listen(fd.get(), 8) == 0);
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  *port = ntohs(address.sin_port);
  return fd;
}

Fd unix_listener(const std::string& path, int type = SOCK_STREAM) {
  Fd fd(::socket(AF_UNIX, type, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  REQUIRE(::listen(fd.get(), 8) == 0);
  return fd;
}

Task<void> listen_to(NbdServer* server, int fd, Result<std::string>* answer) {
  ListenOptions options;
  options.inherited = fd;
  *answer = co_await server->listen(std::move(options));
}

/// The server gets a copy, as a service manager keeps the socket too.
std::string adopt(World& world, const Fd& socket) {
  Result<std::string> answer = Error{Code::io, "not asked"};
  world.run(listen_to(world.server.get(), ::dup(socket.get()), &answer));
  REQUIRE(answer.ok());
  return *answer;
}

std::string complaint(int fd) {
  const Result<std::string> address = inherited_socket_address(fd);
  REQUIRE_FALSE(address.ok());
  CHECK(address.error().code == Code::invalid);
  return address.error().message;
}

TEST_CASE("an inherited socket is listened on, and a shutdown leaves it to the server after") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  uint16_t port = 0;
  const Fd socket = tcp_listener(&port);
  {
    World world(kind);
    CHECK(adopt(world, socket) == "127.0.0.1:" + std::to_string(port));
    Client one = Client::tcp(port), two = Client::tcp(port);
    one.enter("disk");
    two.enter("disk");
    CHECK(one.write(0, pattern(4096, 1)).error == NbdError::none);
    CHECK(two.request(Command::read, 0, 4096).data == pattern(4096, 1));
    world.shutdown();
  }
  Client between = Client::tcp(port);  // waits in the backlog
  World world(kind);
  adopt(world, socket);
  between.enter("disk");
  CHECK(between.request(Command::read, 0, 512).error == NbdError::none);
}

TEST_CASE("two servers on one inherited socket: each connection is answered by one of them") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  uint16_t port = 0;
  const Fd socket = tcp_listener(&port);
  World one(kind), other(kind);
  adopt(one, socket);
  adopt(other, socket);
  std::vector<Client> clients;
  for (int i = 0; i < 20; i++) {
    clients.push_back(Client::tcp(port));
    clients.back().enter("disk");
    CHECK(clients.back().request(Command::read, 0, 512).error == NbdError::none);
  }
  CHECK(one.resolver.opens + other.resolver.opens == 20);
}

TEST_CASE("the file of an inherited unix socket stays") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World other(kind);  // for its directory
  const std::string path = other.unix_path() + ".inherited";
  const Fd socket = unix_listener(path);
  {
    World world(kind);
    CHECK(adopt(world, socket) == "unix:" + path);
    world.shutdown();
  }
  CHECK(::access(path.c_str(), F_OK) == 0);
  CHECK(inherited_socket_address(socket.get()).ok());  // and it listens
  ::unlink(path.c_str());
}

TEST_CASE("a descriptor that is no listening stream socket is refused, with the reason") {
  CHECK(complaint(100'000) == "descriptor 100000 is not open");
  const Fd file(::open("/dev/null", O_RDONLY));
  CHECK(complaint(file.get()).ends_with("is not a socket"));
  const Fd idle(::socket(AF_INET, SOCK_STREAM, 0));
  CHECK(complaint(idle.get()).ends_with("is a socket that does not listen"));
  const Fd datagrams(::socket(AF_INET, SOCK_DGRAM, 0));
  CHECK(complaint(datagrams.get()).ends_with("is not a stream socket"));
  const std::string nowhere("\0atoll-test-", 12);
  const Fd packets = unix_listener(nowhere + "p" + std::to_string(::getpid()), SOCK_SEQPACKET);
  CHECK(complaint(packets.get()).ends_with("is not a stream socket"));
  const Fd abstract = unix_listener(nowhere + "a" + std::to_string(::getpid()));
  CHECK(complaint(abstract.get()).find("without a file") != std::string::npos);
}

TEST_CASE("an inherited socket does not go on to programs that the server starts") {
  uint16_t port = 0;
  const Fd socket = tcp_listener(&port);
  REQUIRE((::fcntl(socket.get(), F_GETFD) & FD_CLOEXEC) == 0);
  CHECK(*inherited_socket_address(socket.get()) == "127.0.0.1:" + std::to_string(port));
  CHECK((::fcntl(socket.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
