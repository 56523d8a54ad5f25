// main.cc: `atoll-attach`: an NBD export as a block device of this machine that survives its server's restarts.
//
// A program of its own, for machines that have neither Node nor Atoll: it needs the kernel (4.12 or newer) and its module nbd.
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "attach/device_lock.h"
#include "attach/device_use.h"
#include "attach/keeper.h"
#include "attach/options.h"

namespace atl::attach {
namespace {

constexpr int gone_checks = 500;
constexpr useconds_t gone_check_us = 10'000;

int fail(const std::string& message) {
  std::fprintf(stderr, "atoll-attach: %s\n", message.c_str());
  return exit_failed;
}

/// Keeps the device until told otherwise; says over `ready` when it is attached.
int keep(const Options& options, int ready) {
  Result<DeviceLock> lock = DeviceLock::open(options.device.index);
  if (!lock) return fail(lock.error().message);
  if (Result<void> taken = lock->take(); !taken) return fail(taken.error().message);
  Result<NbdNetlink> netlink = NbdNetlink::open();
  if (!netlink) return fail(netlink.error().message);
  Result<Keeper> keeper = Keeper::attach(std::move(*netlink), options.uri, options.device, options.connections);
  if (!keeper) return fail(keeper.error().message);
  ::openlog("atoll-attach", LOG_PID | (options.foreground ? LOG_PERROR : 0), LOG_DAEMON);
  if (ready >= 0) {
    const char yes = 1;
    if (::write(ready, &yes, 1) != 1) return fail("nobody waits any more");
    ::close(ready);
    ::setsid();
    if (::chdir("/") != 0) return fail("no root directory");
    // Whoever reads our output must see its end.
    if (!std::freopen("/dev/null", "r", stdin) || !std::freopen("/dev/null", "w", stdout) ||
        !std::freopen("/dev/null", "w", stderr))
      ::syslog(LOG_WARNING, "/dev/null cannot be opened");
  }
  const Result<Keeper::End> end = keeper->keep();
  if (!end) {
    ::syslog(LOG_ERR, "nbd%u: %s; it will not be reconnected", options.device.index, end.error().message.c_str());
    return 1;
  }
  return 0;
}

int attach(const Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  if (options.foreground) return keep(options, -1);
  int ready[2];
  if (::pipe(ready) != 0) return fail("pipe");
  const pid_t child = ::fork();
  if (child < 0) return fail("fork");
  if (child == 0) {
    ::close(ready[0]);
    return keep(options, ready[1]);
  }
  ::close(ready[1]);
  char attached = 0;
  if (::read(ready[0], &attached, 1) == 1) return 0;
  int status = 0;  // it has said why
  ::waitpid(child, &status, 0);
  return 1;
}

int resize(const Options& options) {
  Result<DeviceLock> lock = DeviceLock::open(options.device.index);
  if (!lock) return fail(lock.error().message);
  const pid_t keeper = lock->holder();
  if (keeper == 0) return fail("no atoll-attach keeps this device");
  return ::kill(keeper, SIGHUP) == 0 ? 0 : fail("its keeper cannot be told: " + std::string(std::strerror(errno)));
}

/// Waits until the kernel has given the device up: it does so when the last descriptor is closed.
void wait_until_gone(uint32_t index) {
  for (int i = 0; i < gone_checks && is_connected(index); i++) ::usleep(gone_check_us);
}

int detach(const Options& options) {
  const uint32_t index = options.device.index;
  Result<DeviceLock> lock = DeviceLock::open(index);
  if (!lock) return fail(lock.error().message);
  if (!is_connected(index)) return fail("/dev/nbd" + std::to_string(index) + " is not attached");
  Socket claim;  // until the device is disconnected nobody else gets to mount it
  if (!options.force) {
    Result<Socket> claimed = claim_device(index);
    if (!claimed) return fail(claimed.error().message);
    claim = std::move(*claimed);
  }
  // First the keeper goes, or it would connect the device again.
  if (const pid_t keeper = lock->holder(); keeper != 0 && ::kill(keeper, SIGTERM) != 0 && errno != ESRCH)
    return fail("its keeper, process " + std::to_string(keeper) + ", cannot be ended: " + std::strerror(errno));
  if (Result<void> free = lock->wait_and_take(); !free) return fail(free.error().message);
  Result<NbdNetlink> netlink = NbdNetlink::open();
  if (!netlink) return fail(netlink.error().message);
  if (const Result<void> done = netlink->disconnect(index); !done) return fail(done.error().message);
  claim = Socket();
  // A device that is in use stays, without a connection, until its user lets go of it.
  if (!options.force) wait_until_gone(index);
  return 0;
}

}  // namespace
}  // namespace atl::attach

int main(int argc, char** argv) {
  using namespace atl::attach;
  const auto options = options_from(argc, argv);
  if (!options) {
    std::fprintf(stderr, "atoll-attach: %s\nSee atoll-attach --help.\n", options.error().message.c_str());
    return exit_usage;
  }
  switch (options->task) {
    case Options::Task::attach: return attach(*options);
    case Options::Task::resize: return resize(*options);
    case Options::Task::detach: return detach(*options);
    case Options::Task::help: return std::fputs(usage, stdout) < 0 ? exit_failed : 0;
    case Options::Task::version: return std::puts("atoll-attach " ATOLL_VERSION) < 0 ? exit_failed : 0;
  }
  return exit_failed;
}
