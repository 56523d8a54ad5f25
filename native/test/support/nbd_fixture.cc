#include "test/support/nbd_fixture.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <random>

namespace atl::nbd::test {

Task<Result<std::string>> TestResolver::canonical_name(Door, std::string name) {
  Executor& here = Executor::here();
  if (hold_names) {
    holding++;
    while (hold_names) co_await here.sleep_ns(1'000'000);
    holding--;
  }
  const std::lock_guard lock(mutex_);
  if (name == "twice") co_return Error{Code::not_found, "the name \"twice\" is not unique: it is that of one and two"};
  const auto at = exports_.find(name);
  co_return at == exports_.end() || at->second.canonical.empty() ? name : at->second.canonical;
}

Task<Result<std::optional<OpenExport>>> TestResolver::open(Door, std::string name) {
  Executor& here = Executor::here();
  opens++;
  if (hold) {
    holding++;
    while (hold) co_await here.sleep_ns(1'000'000);
    holding--;
  }
  OpenExport found;
  {
    const std::lock_guard lock(mutex_);
    if (name == "forbidden") co_return Error{Code::busy, "the secret of the operator"};
    if (name == "gone") co_return Error{Code::not_found, "the disk of \"gone\" is missing"};
    const auto at = exports_.find(name);
    if (at == exports_.end()) co_return std::optional<OpenExport>{};
    leases++;
    found.device = std::shared_ptr<BlockDevice>(at->second.device.get(),
                                                [this, keep = at->second.device](BlockDevice*) { leases--; });
    found.read_only = at->second.read_only;
    found.label = at->second.label;
    found.project = at->second.project;
    found.block_sizes.minimum = at->second.minimum_block;
  }
  found.description = "a test";
  std::optional<OpenExport> answer(std::move(found));
  co_return answer;
}

Task<Result<std::vector<std::string>>> TestResolver::list(Door door) {
  if (door == Door::tenant) co_return Error{Code::unsupported, "this door lists nothing"};
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, what] : exports_) names.push_back(name);
  co_return names;
}

Task<Result<std::vector<MetaContext>>> TestResolver::contexts(Door, std::string name, MetaQueries queries) {
  context_questions++;
  for (const std::string& query : queries.names)
    if (query == "test:broken") co_return Error{Code::corrupt, "the catalog of contexts is damaged"};
  const std::lock_guard lock(mutex_);
  co_return exports_.at(name).contexts;
}

void TestResolver::tls_failed(const TlsFailure& failure) {
  const std::lock_guard lock(mutex_);
  tls_failures_.push_back(failure);
}

std::vector<TlsFailure> TestResolver::tls_failures() {
  const std::lock_guard lock(mutex_);
  return tls_failures_;
}

void TestResolver::request_failed(const RequestFailure& failure) {
  const std::lock_guard lock(mutex_);
  request_failures_.push_back(failure);
}

std::vector<RequestFailure> TestResolver::request_failures() {
  const std::lock_guard lock(mutex_);
  return request_failures_;
}

namespace {

Task<void> announce(Task<void> task, std::atomic<bool>* done) {
  co_await task;
  *done = true;
}

Task<void> listen_on(NbdServer* server, ListenOptions options, std::string* address) {
  Result<std::string> bound = co_await server->listen(std::move(options));
  *address = bound ? *bound : "";
}

Task<void> shut_down(NbdServer* server) { co_await server->shutdown(); }

Task<void> call(std::function<void()>* function) {
  (*function)();
  co_return;
}

}  // namespace

World::World(IoKind kind, NbdLimits limits, size_t loops) {
  std::vector<Loop*> all;
  for (size_t i = 0; i < loops; i++) {
    LoopOptions options;
    options.kind = kind;
    options.name = "test-loop";
    Result<std::unique_ptr<LoopThread>> thread = LoopThread::start(options);
    REQUIRE(thread.ok());
    all.push_back(&(*thread)->loop());
    threads_.push_back(std::move(*thread));
  }
  char path[] = "/tmp/atoll-nbd-XXXXXX";
  REQUIRE(::mkdtemp(path) != nullptr);
  directory_ = path;
  disk = std::make_shared<MemoryDevice>(home(), disk_bytes);
  resolver.add("disk", {disk, false, ""});
  resolver.add("ro", {disk, true, ""});
  resolver.add("alias", {disk, false, "disk"});
  server = std::make_unique<NbdServer>(all, resolver, limits);
  std::string address;
  ListenOptions at_unix;
  at_unix.door = Door::operator_door;
  at_unix.address = "unix:" + unix_path();
  run(listen_on(server.get(), at_unix, &address));
  REQUIRE(address == at_unix.address);
  ListenOptions at_tcp;
  at_tcp.address = "127.0.0.1:0";
  run(listen_on(server.get(), at_tcp, &address));
  REQUIRE(address.starts_with("127.0.0.1:"));
  port_ = static_cast<uint16_t>(std::stoi(address.substr(10)));
}

uint16_t World::listen_with(TlsMode mode, const TlsMaterial& material) {
  REQUIRE(server->set_tls_credentials(atl::test::load(material)).ok());
  std::string address;
  ListenOptions options;
  options.address = "127.0.0.1:0";
  options.tls = mode;
  run(listen_on(server.get(), options, &address));
  REQUIRE(address.starts_with("127.0.0.1:"));
  return static_cast<uint16_t>(std::stoi(address.substr(10)));
}

World::~World() {
  shutdown();
  for (auto& thread : threads_) thread->stop();
  for (auto& thread : threads_) thread->join();
  ::rmdir(directory_.c_str());
}

void World::run(Task<void> task) {
  std::atomic<bool> done{false};
  spawn_on(threads_[0]->loop(), announce(std::move(task), &done));
  while (!done) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

void World::run_on_home(std::function<void()> function) {
  std::atomic<bool> done{false};
  spawn_on(home(), announce(call(&function), &done));
  while (!done) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

void World::shutdown() {
  if (std::exchange(down_, true)) return;
  run(shut_down(server.get()));
}

// ---- the client ----

Client::Client(int fd) : fd_(fd) {
  const timeval limit{10, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Client Client::unix_socket(const World& world) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, world.unix_path().c_str());
  REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return Client(fd);
}

Client Client::tcp(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return Client(fd);
}

Client& Client::greet(uint32_t flags) {
  receive(18);
  Wire wire;
  wire.u32(flags);
  send(wire);
  return *this;
}

std::vector<OptionAnswer> Client::option(Option option, const Wire& data) {
  Wire wire;
  wire.option(option, data);
  send(wire);
  std::vector<OptionAnswer> answers;
  for (;;) {
    std::vector<std::byte> bytes = receive(20);
    const uint32_t length = load_be<uint32_t>(bytes.data() + 16);
    REQUIRE(length <= 1u << 20);
    for (std::byte byte : receive(length)) bytes.push_back(byte);
    answers.push_back(option_answers(bytes)[0]);
    const OptionReply type = answers.back().type;
    if (type == OptionReply::ack || static_cast<uint32_t>(type) >= 0x80000000u) return answers;
  }
}

std::vector<OptionAnswer> Client::go(std::string_view name, Option which) {
  Wire data;
  data.string(name).u16(0);
  return option(which, data);
}

Client& Client::enter(std::string_view name, bool structured, bool allocation) {
  if (allocation) return enter_with(name, {base_allocation});
  greet();
  structured_ = structured;
  if (structured) REQUIRE(option(Option::structured_reply).back().type == OptionReply::ack);
  REQUIRE(go(name).back().type == OptionReply::ack);
  return *this;
}

Client& Client::enter_with(std::string_view name, std::vector<std::string_view> contexts) {
  greet();
  structured_ = true;
  REQUIRE(option(Option::structured_reply).back().type == OptionReply::ack);
  Wire data;
  data.string(name).u32(static_cast<uint32_t>(contexts.size()));
  for (std::string_view context : contexts) data.string(context);
  REQUIRE(option(Option::set_meta_context, data).size() == contexts.size() + 1);
  REQUIRE(go(name).back().type == OptionReply::ack);
  return *this;
}

void Client::send(const Wire& wire) { send(Bytes(wire.bytes)); }

void Client::send(Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t n = tls_ ? gnutls_record_send(tls_->session(), bytes.data(), bytes.size())
                           : ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // the server has left; the reader will notice
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

std::vector<std::byte> Client::receive(size_t bytes) {
  std::vector<std::byte> into(bytes);
  size_t have = 0;
  while (have < bytes) {
    const ssize_t n = receive_some(into.data() + have, bytes - have);
    const int error = n < 0 ? errno : 0;
    if (error == EINTR) continue;
    CAPTURE(error);
    REQUIRE(n > 0);
    have += static_cast<size_t>(n);
  }
  return into;
}

Reply Client::reply(size_t simple_data) {
  Reply reply;
  std::vector<std::byte> head = receive(4);
  const uint32_t magic = load_be<uint32_t>(head.data());
  if (magic == simple_reply_magic) {
    head = receive(12);
    reply.error = NbdError{load_be<uint32_t>(head.data())};
    reply.cookie = load_be<uint64_t>(head.data() + 4);
    if (reply.error == NbdError::none) reply.data = receive(simple_data);
    return reply;
  }
  REQUIRE(magic == structured_reply_magic);
  head = receive(16);
  reply.structured = true;
  reply.done = (load_be<uint16_t>(head.data()) & chunk_done) != 0;
  reply.chunk = Chunk{load_be<uint16_t>(head.data() + 2)};
  reply.cookie = load_be<uint64_t>(head.data() + 4);
  const uint32_t length = load_be<uint32_t>(head.data() + 12);
  REQUIRE(length <= (64u << 20) + 8);
  std::vector<std::byte> payload = receive(length);
  WireReader reader(payload);
  switch (reply.chunk) {
    case Chunk::offset_data:
      reply.offset = reader.number<uint64_t>();
      payload.erase(payload.begin(), payload.begin() + 8);
      reply.data = std::move(payload);
      break;
    case Chunk::offset_hole:
      reply.offset = reader.number<uint64_t>();
      reply.data.resize(reader.number<uint32_t>());
      CHECK(reader.ok());
      CHECK(reader.left() == 0);
      break;
    case Chunk::error:
    case Chunk::error_offset:
      reply.error = NbdError{reader.number<uint32_t>()};
      reply.message = reader.text(reader.number<uint16_t>());
      if (reply.chunk == Chunk::error_offset) reply.offset = reader.number<uint64_t>();
      CHECK(reader.ok());
      CHECK(reader.left() == 0);
      break;
    default: reply.data = std::move(payload);
  }
  return reply;
}

Reply Client::request(Command command, uint64_t offset, uint32_t length, uint16_t flags, Bytes payload) {
  Wire wire;
  wire.request(command, ++cookie_, offset, length, flags).append(payload);
  send(wire);
  Reply got = reply(command == Command::read ? length : 0);
  CHECK(got.cookie == cookie_);
  return got;
}

bool Client::at_end() {
  std::byte byte;
  ssize_t n;
  do {
    n = receive_some(&byte, 1);
  } while (n < 0 && errno == EINTR);
  return n == 0 || (n < 0 && errno == ECONNRESET);
}

bool Client::at_proper_end() {
  REQUIRE(tls_ != nullptr);
  std::byte byte;
  return gnutls_record_recv(tls_->session(), &byte, 1) == 0;
}

/// Like recv(): with TLS a broken session is a reset connection.
ssize_t Client::receive_some(void* into, size_t bytes) {
  if (!tls_) return ::recv(fd_.get(), into, bytes, 0);
  ssize_t n;
  do {
    n = gnutls_record_recv(tls_->session(), into, bytes);
  } while (n == GNUTLS_E_INTERRUPTED);
  if (n >= 0) return n;
  tls_error_ = gnutls_strerror(static_cast<int>(n));
  if (n == GNUTLS_E_FATAL_ALERT_RECEIVED) tls_error_ = gnutls_alert_get_name(gnutls_alert_get(tls_->session()));
  errno = n == GNUTLS_E_AGAIN ? EAGAIN : ECONNRESET;
  return -1;
}

bool Client::try_tls(const atl::test::TlsClientOptions& options) {
  tls_ = std::make_unique<atl::test::TlsClient>(options);
  tls_->use_socket(fd_.get());
  int error;
  do {
    error = gnutls_handshake(tls_->session());
  } while (error < 0 && gnutls_error_is_fatal(error) == 0 && error != GNUTLS_E_AGAIN);
  if (error >= 0) return true;
  tls_error_ = gnutls_strerror(error);
  if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) tls_error_ = gnutls_alert_get_name(gnutls_alert_get(tls_->session()));
  return false;
}

Client& Client::upgrade(const atl::test::TlsClientOptions& options) {
  REQUIRE(option(Option::starttls).back().type == OptionReply::ack);
  const bool secure = try_tls(options);
  CAPTURE(tls_error_);
  REQUIRE(secure);
  return *this;
}

std::vector<std::byte> pattern(size_t bytes, uint32_t seed) {
  std::vector<std::byte> made(bytes);
  std::mt19937 random(seed);
  for (std::byte& byte : made) byte = static_cast<std::byte>(random());
  return made;
}

}  // namespace atl::nbd::test
