// nbd_fixture.h: a real server on real loops and sockets over MemoryDevices, and a plain blocking client that says exactly
// what a test wants it to say.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/loop_thread.h"
#include "nbd/server/server.h"
#include "sim/memory_device.h"
#include "test/support/io_fixture.h"
#include "test/support/nbd_wire.h"
#include "test/support/tls_fixture.h"

namespace atl::nbd::test {

/// Names to devices; counts what is open.
class TestResolver final : public ExportResolver {
 public:
  struct Export {
    std::shared_ptr<MemoryDevice> device;
    bool read_only = false;
    std::string canonical;
    std::vector<MetaContext> contexts{};
    std::string label{};
    uint32_t minimum_block = 1;
    std::string project{};
  };
  void add(const std::string& name, Export what) {
    const std::lock_guard lock(mutex_);
    exports_[name] = std::move(what);
  }

  void remove(const std::string& name) {
    const std::lock_guard lock(mutex_);
    exports_.erase(name);
  }

  Task<Result<std::string>> canonical_name(Door door, std::string name) override;
  Task<Result<std::optional<OpenExport>>> open(Door door, std::string name) override;
  Task<Result<std::vector<std::string>>> list(Door door) override;
  Task<Result<std::vector<MetaContext>>> contexts(Door door, std::string name, MetaQueries queries) override;
  void tls_failed(const TlsFailure& failure) override;
  /// What tls_failed() was told.
  std::vector<TlsFailure> tls_failures();
  void request_failed(const RequestFailure& failure) override;
  /// What request_failed() was told.
  std::vector<RequestFailure> request_failures();

  std::atomic<int> opens{0};
  std::atomic<int> context_questions{0};
  std::atomic<int> leases{0};           // open exports not yet given back
  std::atomic<bool> hold{false};        // opens wait as long as it is set
  std::atomic<bool> hold_names{false};  // questions for canonical names do
  std::atomic<int> holding{0};

 private:
  std::mutex mutex_;
  std::map<std::string, Export> exports_;
  std::vector<TlsFailure> tls_failures_;
  std::vector<RequestFailure> request_failures_;
};

/// Starts loops and a server; ends both. The device lives on the last loop.
class World {
 public:
  static constexpr uint64_t disk_bytes = 16u << 20;

  explicit World(IoKind kind, NbdLimits limits = {}, size_t loops = 1);
  /// Another TCP listener, with TLS; answers its port.
  uint16_t listen_with(TlsMode mode, const TlsMaterial& material);
  ~World();

  /// Runs a task on the first loop and waits for it.
  void run(Task<void> task);
  /// Runs a plain function on the device's home and waits for it.
  template <class Function>
  void at_home(Function function) {
    run_on_home(std::function<void()>(std::move(function)));
  }
  /// The device's knobs, set where it lives.
  void delay(std::function<uint64_t(const MemoryDevice::Call&)> how_long) {
    at_home([&] { disk->delay_ns = std::move(how_long); });
  }
  void fail(std::function<std::optional<Error>(const MemoryDevice::Call&)> how) {
    at_home([&] { disk->fail = std::move(how); });
  }
  void shutdown();
  std::string unix_path() const { return directory_ + "/nbd.sock"; }
  uint16_t tcp_port() const { return port_; }
  Loop& home() { return threads_.back()->loop(); }

  TestResolver resolver;
  std::shared_ptr<MemoryDevice> disk;  // exports "disk" and "ro"
  std::unique_ptr<NbdServer> server;

 private:
  void run_on_home(std::function<void()> function);

  std::vector<std::unique_ptr<LoopThread>> threads_;
  std::string directory_;
  uint16_t port_ = 0;
  bool down_ = false;
};

/// Waits until it is so; fails the test after ten seconds.
template <class Condition>
void eventually(Condition condition) {
  for (int i = 0; i < 10'000 && !condition(); i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  REQUIRE(condition());
}

struct Reply {
  bool structured = false;
  bool done = true;
  Chunk chunk{};
  NbdError error = NbdError::none;
  uint64_t cookie = 0;
  uint64_t offset = 0;
  std::string message;
  std::vector<std::byte> data;  // of OFFSET_DATA; the zeros of OFFSET_HOLE; the payload of other chunks
};

/// Blocking; every wait ends after ten seconds.
class Client {
 public:
  static Client unix_socket(const World& world);
  static Client tcp(const World& world) { return tcp(world.tcp_port()); }
  static Client tcp(uint16_t port);

  /// Greeting and client flags.
  Client& greet(uint32_t flags = flag_fixed_newstyle | flag_no_zeroes);
  /// An option and its replies, up to the final one.
  std::vector<OptionAnswer> option(Option option, const Wire& data = {});
  std::vector<OptionAnswer> go(std::string_view name, Option option = Option::go);
  /// All of the handshake: the usual beginning of a test.
  Client& enter(std::string_view name, bool structured = true, bool allocation = false);
  Client& enter_with(std::string_view name, std::vector<std::string_view> contexts);

  /// The TLS handshake, and from then on everything through it; false: it failed, tls_error() says how.
  bool try_tls(const atl::test::TlsClientOptions& options);
  /// STARTTLS and the handshake.
  Client& upgrade(const atl::test::TlsClientOptions& options = {});
  const std::string& tls_error() const { return tls_error_; }
  gnutls_session_t tls_session() const { return tls_->session(); }

  void send(const Wire& wire);
  void send(Bytes bytes);
  /// The size of a simple READ reply's data must be known.
  Reply reply(size_t simple_data = 0);
  /// A request and its one reply.
  Reply request(Command command, uint64_t offset, uint32_t length, uint16_t flags = 0, Bytes payload = {});
  Reply write(uint64_t offset, Bytes payload, uint16_t flags = 0) {
    return request(Command::write, offset, static_cast<uint32_t>(payload.size()), flags, payload);
  }
  /// True when the server has closed its side and nothing is left to read.
  bool at_end();
  std::vector<std::byte> receive(size_t bytes);
  /// With TLS: the server has said that nothing more comes, not just closed the socket.
  bool at_proper_end();
  void close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  explicit Client(int fd);
  ssize_t receive_some(void* into, size_t bytes);
  atl::test::Fd fd_;
  std::unique_ptr<atl::test::TlsClient> tls_;
  std::string tls_error_;
  bool structured_ = false;
  uint64_t cookie_ = 1000;
};

/// Bytes that differ from place to place.
std::vector<std::byte> pattern(size_t bytes, uint32_t seed);

}  // namespace atl::nbd::test
