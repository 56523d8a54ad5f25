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
#include "attach/kernel_module.h"
#include "attach/list.h"
#include "attach/options.h"
#include "attach/resident.h"

namespace atl::attach {
namespace {

constexpr int module_checks = 500;
constexpr useconds_t module_check_us = 10'000;
constexpr int gone_checks = 500;
constexpr useconds_t gone_check_us = 10'000;

int fail(const std::string& message) {
  std::fprintf(stderr, "atoll-attach: %s\n", message.c_str());
  return exit_failed;
}

int print(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return 0;
  return fail(std::string("standard output: ") + std::strerror(errno));
}

std::string device_path(uint32_t index) { return "/dev/nbd" + std::to_string(index); }

Result<NbdNetlink> open_netlink() {
  Result<NbdNetlink> netlink = NbdNetlink::open();
  if (netlink || netlink.error().code != Code::not_found) return netlink;
  if (Result<void> loaded = load_nbd_module(); !loaded) return loaded.error();
  // When another process is loading it, modprobe may return before the module is ready.
  for (int i = 0; i < module_checks; i++) {
    netlink = NbdNetlink::open();
    if (netlink || netlink.error().code != Code::not_found) break;
    ::usleep(module_check_us);
  }
  return netlink;
}

/// Returns the record of a device without a keeper, if it can be taken over with these options.
Result<DeviceState> state_to_resume(const Options& options) {
  const std::string device = device_path(*options.index);
  Result<DeviceState> recorded = load_state(*options.index);
  if (!recorded)
    return Error{Code::busy, device + " is attached, but not by atoll-attach as far as its records show (" +
                                 recorded.error().message + "); detach it first, or take another device"};
  if (options.task == Options::Task::resume) return recorded;
  if (recorded->uri.name != options.state.uri.name)
    return Error{Code::busy, device + " has another export attached; detach it first, or take another device"};
  if (recorded->connections != options.state.connections)
    return Error{Code::invalid, device + " has no keeper and can be taken over: expected --connections " +
                                    std::to_string(recorded->connections) + " as it was attached"};
  // The same export may have moved.
  set_addresses(*recorded, options.state.uri, options.state.more_addresses);
  return recorded;
}

/// Connects the device, or takes it over from a keeper that is gone. `lock` is taken when there is a keeper.
Result<Keeper> make_keeper(const Options& options, std::optional<DeviceLock>& lock) {
  Result<NbdNetlink> netlink = open_netlink();
  if (!netlink) return netlink.error();
  if (options.index) {
    Result<DeviceLock> opened = DeviceLock::open(*options.index);
    if (!opened) return opened.error();
    if (Result<void> taken = opened->take(); !taken) return taken.error();
    lock.emplace(std::move(*opened));
    if (is_connected(*options.index)) {
      Result<DeviceState> state = state_to_resume(options);
      if (!state) return state.error();
      return Keeper::take_over(std::move(*netlink), std::move(*state));
    }
    if (options.task == Options::Task::resume)
      return Error{Code::not_found, device_path(*options.index) + " is not attached"};
    return Keeper::attach(std::move(*netlink), options.state, options.index);
  }
  // The kernel chooses, so that no two programs choose the same.
  Result<Keeper> keeper = Keeper::attach(std::move(*netlink), options.state, std::nullopt);
  if (!keeper) return keeper;
  Result<DeviceLock> opened = DeviceLock::open(keeper->index());
  // The keeper that the device had before may not have noticed yet that it was disconnected.
  Result<void> taken = opened ? opened->wait_and_take() : Result<void>(opened.error());
  if (!taken) {
    if (Result<NbdNetlink> back = NbdNetlink::open(); back && back->disconnect(keeper->index())) keeper->forget();
    return taken.error();
  }
  lock.emplace(std::move(*opened));
  keeper->record();
  return keeper;
}

void announce(const Options& options, uint32_t index) {
  if (!options.index) print(device_path(index) + "\n");
}

/// Keeps the device until told otherwise; writes its number to `ready` when it is attached.
int keep(const Options& options, int ready) {
  ::openlog("atoll-attach", LOG_PID | (options.foreground ? LOG_PERROR : 0), LOG_DAEMON);
  stay_resident();  // before there are threads, which inherit it
  std::optional<DeviceLock> lock;
  Result<Keeper> keeper = make_keeper(options, lock);
  if (!keeper) return fail(keeper.error().message);
  const uint32_t index = keeper->index();
  if (ready < 0) {
    announce(options, index);
  } else {
    if (::write(ready, &index, sizeof index) != sizeof index)
      return fail("the process that waits for the device has ended");
    ::close(ready);
    ::setsid();
    if (::chdir("/") != 0) return fail("the root directory cannot be entered");
    // Whoever reads our output must see its end.
    if (!std::freopen("/dev/null", "r", stdin) || !std::freopen("/dev/null", "w", stdout) ||
        !std::freopen("/dev/null", "w", stderr))
      ::syslog(LOG_WARNING, "/dev/null cannot be opened");
  }
  const Result<Keeper::End> end = keeper->keep();
  if (!end) {
    ::syslog(LOG_ERR, "nbd%u: %s; it is not reconnected from now on", index, end.error().message.c_str());
    return exit_failed;
  }
  if (*end == Keeper::End::detached) keeper->forget();
  return 0;
}

int attach(const Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  if (options.foreground) return keep(options, -1);
  int ready[2];
  if (::pipe(ready) != 0) return fail(std::string("pipe: ") + std::strerror(errno));
  const pid_t child = ::fork();
  if (child < 0) return fail(std::string("fork: ") + std::strerror(errno));
  if (child == 0) {
    ::close(ready[0]);
    return keep(options, ready[1]);
  }
  ::close(ready[1]);
  uint32_t index = 0;
  if (::read(ready[0], &index, sizeof index) == sizeof index) {
    announce(options, index);
    return 0;
  }
  int status = 0;  // the child has printed why
  ::waitpid(child, &status, 0);
  return exit_failed;
}

int resize(const Options& options) {
  Result<DeviceLock> lock = DeviceLock::open(*options.index);
  if (!lock) return fail(lock.error().message);
  const pid_t keeper = lock->holder();
  if (keeper == 0) return fail(device_path(*options.index) + " has no keeper; give it one with --resume");
  return ::kill(keeper, SIGHUP) == 0
             ? 0
             : fail("its keeper, process " + std::to_string(keeper) + ", cannot be reached: " + std::strerror(errno));
}

/// Waits until the kernel has given the device up: it does so when the last descriptor is closed.
void wait_until_gone(uint32_t index) {
  for (int i = 0; i < gone_checks && is_connected(index); i++) ::usleep(gone_check_us);
}

/// Waits until the process does not keep the device any more. Another one may do so by then.
void wait_for_end(const DeviceLock& lock, pid_t keeper) {
  while (keeper != 0 && lock.holder() == keeper) ::usleep(gone_check_us);
}

int detach(const Options& options) {
  const uint32_t index = *options.index;
  Result<DeviceLock> lock = DeviceLock::open(index);
  if (!lock) return fail(lock.error().message);
  const std::string connected_by = connection_mark(index);
  if (connected_by.empty()) return fail(device_path(index) + " is not attached");
  Socket claim;  // until the device is disconnected nobody else gets to mount it
  if (!options.force) {
    Result<Socket> claimed = claim_device(index);
    if (!claimed) return fail(claimed.error().message);
    claim = std::move(*claimed);
  }
  const pid_t keeper = lock->holder();
  if (keeper != 0 && ::kill(keeper, SIGTERM) != 0 && errno != ESRCH)
    return fail("its keeper, process " + std::to_string(keeper) + ", cannot be ended: " + std::strerror(errno));
  // The keeper goes first, or it would connect the device again. One that passes TLS on goes last, or requests could not be answered.
  // Without a record it may be either.
  const Result<DeviceState> state = load_state(index);
  const bool ended = !(state && state->uri.tls) && lock->take_soon();
  Result<NbdNetlink> netlink = NbdNetlink::open();
  if (!netlink) return fail(netlink.error().message);
  if (const Result<void> done = netlink->disconnect(index); !done) return fail(done.error().message);
  claim = Socket();
  // A device that is in use stays, without a connection, until its user lets go of it.
  if (!options.force) wait_until_gone(index);
  if (!ended) wait_for_end(*lock, keeper);
  // If the device has another keeper already, the record is the other's.
  if (lock->take()) remove_state(index, connected_by);
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
    case Options::Task::attach:
    case Options::Task::resume: return attach(*options);
    case Options::Task::list: return print(list_devices());
    case Options::Task::resize: return resize(*options);
    case Options::Task::detach: return detach(*options);
    case Options::Task::help: return print(usage);
    case Options::Task::version: return print("atoll-attach " ATOLL_VERSION "\n");
  }
  return exit_failed;
}
