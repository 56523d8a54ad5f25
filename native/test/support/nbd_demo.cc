// nbd_demo.cc: a server over MemoryDevice for trying real clients by hand:
//   nbd_demo ADDRESS SIZE_MIB [uring|threads] [loops]      (until SIGTERM or SIGINT)
// Exports: "" and "disk" (one device), "ro" (the same, read-only), "slow" (random delays).
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "io/loop_thread.h"
#include "nbd/server/server.h"
#include "sim/memory_device.h"

namespace {

using namespace atl;

class DemoResolver final : public ExportResolver {
 public:
  std::shared_ptr<MemoryDevice> disk, slow;
  Task<Result<std::string>> canonical_name(Door, std::string name) override {
    co_return name.empty() ? std::string("disk") : name;
  }
  Task<Result<std::optional<OpenExport>>> open(Door, std::string name) override {
    OpenExport found;
    if (name == "disk" || name == "ro")
      found.device = disk;
    else if (name == "slow")
      found.device = slow;
    else
      co_return std::optional<OpenExport>{};
    found.read_only = name == "ro";
    found.description = "memory";
    std::optional<OpenExport> answer(std::move(found));
    co_return answer;
  }
  Task<Result<std::vector<std::string>>> list(Door) override {
    std::vector<std::string> names{"disk", "ro", "slow"};
    co_return names;
  }
  void tls_failed(const TlsFailure& failure) override {
    std::fprintf(stderr, "%s: %s\n", failure.peer.c_str(), failure.words.c_str());
  }
  void request_failed(const RequestFailure& failure) override {
    std::fprintf(stderr, "%s: %s: %s\n", failure.label.c_str(), failure.command, failure.error.message.c_str());
  }
};

Task<void> start(NbdServer* server, std::string address, std::atomic<int>* done) {
  ListenOptions options;
  options.door = Door::operator_door;
  options.address = address;
  Result<std::string> bound = co_await server->listen(options);
  std::printf("%s\n", bound ? bound->c_str() : bound.error().message.c_str());
  std::fflush(stdout);
  *done = bound ? 1 : 2;
}

Task<void> stop(NbdServer* server, std::atomic<int>* done) {
  co_await server->shutdown();
  *done = 3;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  LoopOptions options;
  options.kind = argc > 3 && std::string(argv[3]) == "threads" ? IoKind::threads : IoKind::uring;
  const int count = argc > 4 ? std::atoi(argv[4]) : 1;
  std::vector<std::unique_ptr<LoopThread>> threads;
  std::vector<Loop*> loops;
  for (int i = 0; i < count; i++) {
    Result<std::unique_ptr<LoopThread>> thread = LoopThread::start(options);
    if (!thread) {
      std::printf("%s\n", thread.error().message.c_str());
      return 1;
    }
    loops.push_back(&(*thread)->loop());
    threads.push_back(std::move(*thread));
  }
  {
    DemoResolver resolver;
    const uint64_t bytes = std::strtoull(argv[2], nullptr, 10) << 20;
    resolver.disk = std::make_shared<MemoryDevice>(*loops.back(), bytes);
    resolver.slow = std::make_shared<MemoryDevice>(*loops.back(), bytes);
    resolver.slow->delay_ns = [random = std::mt19937(1)](const MemoryDevice::Call&) mutable {
      return random() % 1'000'000;
    };
    resolver.disk->allocate();  // so that measurements do not show the allocator
    NbdServer server(loops, resolver);
    std::atomic<int> state{0};
    spawn_on(*loops[0], start(&server, argv[1], &state));
    while (state == 0) usleep(1000);
    if (state == 2) return 1;
    int signal;
    sigwait(&signals, &signal);
    spawn_on(*loops[0], stop(&server, &state));
    while (state != 3) usleep(1000);
    const NbdCounters c = server.counters();
    std::printf("accepted %lu requests r %lu w %lu errors %lu\n", c.accepted, c.requests[0], c.requests[1], c.errors);
  }
  for (auto& thread : threads) thread->stop();
  return 0;
}
