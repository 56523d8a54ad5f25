// main.cc: `atoll-attach`: an NBD export as a block device of this machine that survives its server's restarts.
//
// A program of its own, for machines that have neither Node nor Atoll: it needs the kernel (4.12 or newer) and its module nbd.
#include <getopt.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "attach/device_lock.h"
#include "attach/keeper.h"

namespace atl::attach {
namespace {

constexpr const char* usage =
    "atoll-attach [options] URI /dev/nbdN    attach an export: nbd://HOST[:PORT]/NAME or nbd+unix:///NAME?socket=PATH\n"
    "atoll-attach --resize /dev/nbdN         let an attached device follow its export, which has grown\n"
    "atoll-attach --detach /dev/nbdN         detach it; unmount it first\n"
    "\n"
    "  -C, --connections N      connections to the server, 1 to 16 (default: 1)\n"
    "  -t, --timeout SECONDS    a request that is not answered for so long is sent again over a new connection; 1 to\n"
    "                           86400 (default: 30). After a restart what was under way waits so long\n"
    "  -d, --dead-timeout S     how long requests wait for a server that is away before they fail, 1 to 604800 "
    "(default: 600)\n"
    "  -b, --block-size BYTES   of the device: 512, 1024, 2048 or 4096 (default: 512)\n"
    "  -f, --foreground         do not go into the background\n";

struct Options {
  enum class Task { attach, resize, detach } task = Task::attach;
  uint32_t connections = 1;
  bool foreground = false;
  ExportUri uri;
  DeviceSettings device;
};

int fail(const std::string& message) {
  std::fprintf(stderr, "atoll-attach: %s\n", message.c_str());
  return 1;
}

Result<uint32_t> number_from(const char* text, const char* what, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stopped, failed] = std::from_chars(text, end, value);
  if (failed != std::errc{} || stopped != end || value < least || value > most)
    return Error{Code::invalid, std::string(what) + ": expected a number from " + std::to_string(least) + " to " +
                                    std::to_string(most) + " but received " + text};
  return value;
}

Result<Options> options_from(int argc, char** argv) {
  Options options;
  options.device.timeout_s = 30;
  options.device.dead_timeout_s = 600;
  static const option names[] = {{"connections", required_argument, nullptr, 'C'},
                                 {"timeout", required_argument, nullptr, 't'},
                                 {"dead-timeout", required_argument, nullptr, 'd'},
                                 {"block-size", required_argument, nullptr, 'b'},
                                 {"foreground", no_argument, nullptr, 'f'},
                                 {"resize", no_argument, nullptr, 'R'},
                                 {"detach", no_argument, nullptr, 'D'},
                                 {nullptr, 0, nullptr, 0}};
  for (int c; (c = ::getopt_long(argc, argv, "C:t:d:b:f", names, nullptr)) != -1;) {
    const auto number = [&](uint32_t& into, const char* what, uint32_t least, uint32_t most) -> Result<void> {
      Result<uint32_t> value = number_from(::optarg, what, least, most);
      if (!value) return value.error();
      into = *value;
      return {};
    };
    Result<void> read;
    switch (c) {
      case 'C': read = number(options.connections, "--connections", 1, 16); break;
      case 't': read = number(options.device.timeout_s, "--timeout", 1, 86'400); break;
      case 'd': read = number(options.device.dead_timeout_s, "--dead-timeout", 1, 604'800); break;
      case 'b': read = number(options.device.block_bytes, "--block-size", 512, 4096); break;
      case 'f': options.foreground = true; break;
      case 'R': options.task = Options::Task::resize; break;
      case 'D': options.task = Options::Task::detach; break;
      default: return Error{Code::invalid, std::string("see below\n\n") + usage};
    }
    if (!read) return read.error();
  }
  if ((options.device.block_bytes & (options.device.block_bytes - 1)) != 0)
    return Error{Code::invalid, "--block-size: expected a power of two"};
  const bool attaching = options.task == Options::Task::attach;
  if (argc - ::optind != (attaching ? 2 : 1)) return Error{Code::invalid, std::string("wrong arguments\n\n") + usage};
  if (attaching) {
    Result<ExportUri> uri = parse_uri(argv[::optind]);
    if (!uri) return uri.error();
    options.uri = std::move(*uri);
  }
  const char* device = argv[argc - 1];
  constexpr const char* prefix = "/dev/nbd";
  if (std::strncmp(device, prefix, std::strlen(prefix)) != 0)
    return Error{Code::invalid, std::string(device) + ": expected /dev/nbdN"};
  Result<uint32_t> index = number_from(device + std::strlen(prefix), device, 0, 4095);
  if (!index) return index.error();
  options.device.index = *index;
  return options;
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

/// First the keeper goes, or it would connect the device again.
int detach(const Options& options) {
  const uint32_t index = options.device.index;
  Result<DeviceLock> lock = DeviceLock::open(index);
  if (!lock) return fail(lock.error().message);
  if (const pid_t keeper = lock->holder(); keeper != 0 && ::kill(keeper, SIGTERM) != 0 && errno != ESRCH)
    return fail("its keeper cannot be told: " + std::string(std::strerror(errno)));
  if (Result<void> free = lock->wait_and_take(); !free) return fail(free.error().message);
  if (!is_connected(index)) return fail("/dev/nbd" + std::to_string(index) + " is not attached");
  Result<NbdNetlink> netlink = NbdNetlink::open();
  if (!netlink) return fail(netlink.error().message);
  const Result<void> done = netlink->disconnect(index);
  return done ? 0 : fail(done.error().message);
}

}  // namespace
}  // namespace atl::attach

int main(int argc, char** argv) {
  using namespace atl::attach;
  const auto options = options_from(argc, argv);
  if (!options) return fail(options.error().message);
  switch (options->task) {
    case Options::Task::attach: return attach(*options);
    case Options::Task::resize: return resize(*options);
    case Options::Task::detach: return detach(*options);
  }
  return 1;
}
