#include "attach/keeper.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace atl::attach {
namespace {

constexpr int retry_ms_min = 100;
constexpr int retry_ms_max = 2'000;
// The kernel reports no death of a connection when it is told to disconnect the device.
constexpr int orphan_check_ms = 5'000;
// How long the driver may take to see that a connection has died, in which it takes no socket in its place.
constexpr int offers_max = 100;
constexpr useconds_t offer_us = 10'000;

bool has_ended(const OpenedExport& connection) {
  pollfd one{connection.socket.fd(), POLLRDHUP, 0};
  return ::poll(&one, 1, 0) > 0;
}

/// Whether a signal has come that keep() has not seen yet, because it is connecting.
bool must_stop() {
  sigset_t pending;
  return ::sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

}  // namespace

Result<Keeper> Keeper::attach(NbdNetlink netlink, DeviceState state, std::optional<uint32_t> index) {
  constexpr uint16_t multi_conn = 1 << 8;
  Keeper keeper(std::move(netlink), std::move(state));
  DeviceSettings& device = keeper.state_.device;
  std::vector<int> descriptors;
  for (uint32_t i = 0; i < keeper.state_.connections; i++) {
    const size_t address = keeper.source_.current();
    Result<OpenedExport> opened = keeper.source_.open(
        [&](const Export& facts) { return i == 0 ? Result<void>() : keeper.still_the_same(facts); });
    if (!opened) return opened.error();
    if (i == 0) {
      device.facts = opened->facts;
      if (keeper.state_.connections > 1 && (opened->facts.flags & multi_conn) == 0)
        return Error{Code::unsupported, "the server does not allow several connections to this export"};
      if (opened->facts.block_bytes_min > device.block_bytes)
        return Error{Code::invalid, "expected --block-size " + std::to_string(opened->facts.block_bytes_min) +
                                        " or more, which the server requires"};
    } else if (keeper.source_.current() != address) {
      return Error{Code::busy, "the server went away while it was being connected; try again"};
    }
    descriptors.push_back(opened->socket.fd());
    keeper.connections_.push_back(std::move(*opened));
  }
  Result<uint32_t> connected = keeper.netlink_.connect(index, device, descriptors);
  if (!connected) return connected.error();
  device.index = *connected;
  keeper.state_.connected_by = connection_mark(device.index);
  keeper.record();
  return keeper;
}

Result<Keeper> Keeper::take_over(NbdNetlink netlink, DeviceState state) {
  Result<Socket> deaths = netlink.listen_for_deaths();
  if (!deaths) return deaths.error();
  Keeper keeper(std::move(netlink), std::move(state));
  keeper.deaths_ = std::move(*deaths);
  // Who died before now was not reported to us.
  keeper.orphan_offers_ = 1;
  keeper.record();
  return keeper;
}

void Keeper::record() {
  state_.address_in_use = static_cast<uint32_t>(source_.current());
  if (Result<void> saved = save_state(state_); !saved)
    ::syslog(LOG_ERR, "nbd%u: %s; another keeper cannot take the device over", index(), saved.error().message.c_str());
}

Result<void> Keeper::still_the_same(const Export& now) const {
  const Export& was = state_.device.facts;
  if (now.flags != was.flags) return Error{Code::invalid, "the export's flags have changed (read-only?)"};
  if (now.size_bytes < was.size_bytes)
    return Error{Code::invalid, "the export has shrunk from " + std::to_string(was.size_bytes) + " to " +
                                    std::to_string(now.size_bytes) + " bytes"};
  return {};
}

/// Opens the export, which must be what it was. When it has another address now, the connections to the old one end: two servers would
/// not see each other's writes.
Result<OpenedExport> Keeper::open_same() {
  const size_t address = source_.current();
  Result<OpenedExport> opened = source_.open([this](const Export& facts) { return still_the_same(facts); });
  if (!opened) return opened;
  if (source_.current() != address) {
    for (const OpenedExport& other : connections_) ::shutdown(other.socket.fd(), SHUT_RDWR);
    record();
  }
  return opened;
}

/// Checks that nobody has disconnected the device and given its number to another export, which can happen at any time.
Result<void> Keeper::still_ours() const {
  if (connection_mark(index()) == state_.connected_by) return {};
  return Error{Code::shutdown, "the device was disconnected"};
}

/// Returns whether the kernel took the socket in the place of a dead one.
Result<bool> Keeper::offer(int socket, int offers) {
  for (int i = 0; i < offers; i++) {
    if (i > 0) ::usleep(offer_us);
    if (Result<void> ours = still_ours(); !ours) return ours.error();
    // Older kernels take a socket even for a device that was disconnected, as long as somebody has it open.
    if (must_stop()) return Error{Code::cancelled, "the keeper was told to stop"};
    if (Result<void> offered = netlink_.offer_socket(index(), socket); !offered) return offered.error();
    if (took_socket(socket)) return true;
  }
  return false;
}

Result<void> Keeper::reconnect(OpenedExport& dead) {
  Result<OpenedExport> opened = open_same();
  if (!opened) return opened.error();
  // The driver counts it as dead only when its own reader has seen the end.
  ::shutdown(dead.socket.fd(), SHUT_RDWR);
  Result<bool> taken = offer(opened->socket.fd(), offers_max);
  if (!taken) return taken.error();
  if (!*taken) return Error{Code::busy, "the kernel does not take a new connection"};
  dead = std::move(*opened);
  if (dead.facts.size_bytes > state_.device.facts.size_bytes) follow_size();
  return {};
}

/// Gives the kernel sockets for connections of the former keeper, as many as are dead.
Result<void> Keeper::replace_orphans(int offers) {
  while (has_orphans()) {
    Result<OpenedExport> opened = open_same();
    if (!opened) return opened.error();
    Result<bool> taken = offer(opened->socket.fd(), offers);
    if (!taken) return taken.error();
    if (!*taken) return {};
    connections_.push_back(std::move(*opened));
    ::syslog(LOG_NOTICE, "nbd%u: connected again", index());
    if (connections_.back().facts.size_bytes > state_.device.facts.size_bytes) follow_size();
  }
  return {};
}

Result<void> Keeper::replace_dead() {
  for (OpenedExport& connection : connections_) {
    if (!has_ended(connection)) continue;
    if (Result<void> done = reconnect(connection); !done) return done;
    ::syslog(LOG_NOTICE, "nbd%u: connected again", index());
    last_failure_.clear();
  }
  if (orphan_offers_ > 0) {
    if (Result<void> done = replace_orphans(orphan_offers_); !done) return done;
    orphan_offers_ = 0;
    last_failure_.clear();
  }
  return {};
}

void Keeper::follow_size() {
  Result<Export> now = source_.look();
  Export& facts = state_.device.facts;
  Result<void> done = now ? still_the_same(*now) : Result<void>(now.error());
  if (done && now->size_bytes > facts.size_bytes) {
    done = still_ours();
    if (done) done = netlink_.resize(index(), now->size_bytes);
    if (done) {
      facts.size_bytes = now->size_bytes;
      record();
      ::syslog(LOG_INFO, "nbd%u: now %llu bytes", index(), static_cast<unsigned long long>(now->size_bytes));
    }
  }
  if (!done) ::syslog(LOG_ERR, "nbd%u: its size: %s", index(), done.error().message.c_str());
}

Result<Keeper::End> Keeper::keep() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  const Socket told(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (told.fd() < 0) return Error::from_errno(errno, "signalfd");

  int retry_ms = retry_ms_min;
  bool waiting = orphan_offers_ > 0;  // some connection is dead, or may be, and could not be replaced yet
  bool stopping = false;              // makes no new connections, and ends when those that there are have ended
  for (;;) {
    const bool watching_orphans = has_orphans() && !stopping;
    std::vector<pollfd> polled{{told.fd(), POLLIN, 0}, {watching_orphans ? deaths_.fd() : -1, POLLIN, 0}};
    // POLLRDHUP alone: what the kernel receives on these sockets must not wake us. While one is dead time does.
    bool any_left = false;
    for (const OpenedExport& each : connections_) {
      const bool left = stopping ? !has_ended(each) : !waiting;
      polled.push_back({left ? each.socket.fd() : -1, POLLRDHUP, 0});
      any_left |= left;
    }
    if (stopping && !any_left) return still_ours() ? End::told : End::detached;
    const int timeout_ms = stopping ? -1 : waiting ? retry_ms : watching_orphans ? orphan_check_ms : -1;
    const int ready = ::poll(polled.data(), polled.size(), timeout_ms);
    if (ready < 0 && errno != EINTR) return Error::from_errno(errno, "poll");
    if (ready > 0 && polled[0].revents != 0) {
      signalfd_siginfo signal;
      if (::read(told.fd(), &signal, sizeof signal) == sizeof signal) {
        if (signal.ssi_signo == SIGHUP)
          follow_size();
        else if (!state_.uri.tls)
          return End::told;
        else {
          stopping = true;
          ::syslog(LOG_NOTICE, "nbd%u: passes TLS on until its connections end, and makes no new ones", index());
        }
      }
      continue;
    }
    if (!still_ours()) return End::detached;
    if (stopping) continue;
    // A death is reported before the driver takes a socket in its place.
    if (polled[1].revents != 0 && read_deaths(deaths_.fd(), index())) orphan_offers_ = offers_max;
    const Result<void> done = replace_dead();
    // Somebody has disconnected the device, and somebody else has it open still.
    if (!done && done.error().code == Code::shutdown) return End::detached;
    if (!done && done.error().message != last_failure_) {
      ::syslog(LOG_WARNING, "nbd%u: lost a connection: %s", index(), done.error().message.c_str());
      last_failure_ = done.error().message;
    }
    retry_ms = !done && waiting ? std::min(retry_ms * 2, retry_ms_max) : retry_ms_min;
    waiting = !done;
  }
}

}  // namespace atl::attach
