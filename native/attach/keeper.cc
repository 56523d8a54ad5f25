#include "attach/keeper.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>

namespace atl::attach {
namespace {

constexpr int retry_ms_min = 100;
constexpr int retry_ms_max = 2'000;
// How long the driver may take to see that a connection has died, in which it takes no socket in its place.
constexpr int offers_max = 100;
constexpr useconds_t offer_us = 10'000;

}  // namespace

Result<Keeper> Keeper::attach(NbdNetlink netlink, const ExportUri& uri, DeviceSettings device, uint32_t connections) {
  constexpr uint16_t multi_conn = 1 << 8;
  Keeper keeper(std::move(netlink), uri, device);
  std::vector<int> descriptors;
  for (uint32_t i = 0; i < connections; i++) {
    Result<OpenedExport> opened = open_export(uri);
    if (!opened) return opened.error();
    if (i == 0) {
      keeper.device_.facts = opened->facts;
      if (connections > 1 && (opened->facts.flags & multi_conn) == 0)
        return Error{Code::unsupported, "the server does not allow several connections to this export"};
      if (opened->facts.block_bytes_min > device.block_bytes)
        return Error{Code::invalid, "the server asks for blocks of " + std::to_string(opened->facts.block_bytes_min) +
                                        " bytes: give --block-size"};
    } else if (Result<void> same = keeper.still_the_same(opened->facts); !same) {
      return same.error();
    }
    descriptors.push_back(opened->socket.fd());
    keeper.sockets_.push_back(std::move(opened->socket));
  }
  if (Result<void> connected = keeper.netlink_.connect(keeper.device_, descriptors); !connected)
    return connected.error();
  return keeper;
}

Result<void> Keeper::still_the_same(const Export& now) {
  const Export& was = device_.facts;
  if (now.flags != was.flags) return Error{Code::invalid, "the export's flags have changed (read-only?)"};
  if (now.size_bytes < was.size_bytes)
    return Error{Code::invalid, "the export has shrunk from " + std::to_string(was.size_bytes) + " to " +
                                    std::to_string(now.size_bytes) + " bytes"};
  return {};
}

Result<void> Keeper::reconnect(Socket& dead) {
  Result<OpenedExport> opened = open_export(uri_);
  if (!opened) return opened.error();
  if (Result<void> same = still_the_same(opened->facts); !same) return same;
  // The driver counts it as dead only when its own reader has seen the end.
  ::shutdown(dead.fd(), SHUT_RDWR);
  for (int i = 0; i < offers_max; i++) {
    if (Result<void> offered = netlink_.offer_socket(device_.index, opened->socket.fd()); !offered) return offered;
    if (took_socket(opened->socket.fd())) {
      dead = std::move(opened->socket);
      if (opened->facts.size_bytes > device_.facts.size_bytes) follow_size();
      return {};
    }
    ::usleep(offer_us);
  }
  return Error{Code::busy, "the kernel does not take a new connection"};
}

void Keeper::follow_size() {
  Result<Export> now = look_at_export(uri_);
  Result<void> done = now ? still_the_same(*now) : Result<void>(now.error());
  if (done && now->size_bytes > device_.facts.size_bytes) {
    done = netlink_.resize(device_.index, now->size_bytes);
    if (done) {
      device_.facts.size_bytes = now->size_bytes;
      ::syslog(LOG_INFO, "nbd%u: now %llu bytes", device_.index, static_cast<unsigned long long>(now->size_bytes));
    }
  }
  if (!done) ::syslog(LOG_ERR, "nbd%u: its size: %s", device_.index, done.error().message.c_str());
}

Result<Keeper::End> Keeper::keep() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  const Socket told(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (told.fd() < 0) return Error::from_errno(errno, "signalfd");

  std::string last_failure;
  int retry_ms = retry_ms_min;
  bool waiting = false;  // some connection is dead and could not be replaced yet
  for (;;) {
    std::vector<pollfd> polled{{told.fd(), POLLIN, 0}};
    // POLLRDHUP alone: what the kernel receives on these sockets must not wake us. While one is dead time does.
    for (const Socket& socket : sockets_) polled.push_back({waiting ? -1 : socket.fd(), POLLRDHUP, 0});
    const int ready = ::poll(polled.data(), polled.size(), waiting ? retry_ms : -1);
    if (ready < 0 && errno != EINTR) return Error::from_errno(errno, "poll");
    if (ready > 0 && polled[0].revents != 0) {
      signalfd_siginfo signal;
      if (::read(told.fd(), &signal, sizeof signal) == sizeof signal) {
        if (signal.ssi_signo != SIGHUP) return End::told;
        follow_size();
      }
      continue;
    }
    if (!is_connected(device_.index)) return End::detached;
    bool failed = false;
    for (Socket& socket : sockets_) {
      pollfd one{socket.fd(), POLLRDHUP, 0};
      if (::poll(&one, 1, 0) <= 0) continue;
      if (Result<void> done = reconnect(socket); !done) {
        failed = true;
        if (done.error().message != last_failure)
          ::syslog(LOG_WARNING, "nbd%u: lost a connection: %s", device_.index, done.error().message.c_str());
        last_failure = done.error().message;
        break;
      }
      ::syslog(LOG_NOTICE, "nbd%u: connected again", device_.index);
      last_failure.clear();
    }
    retry_ms = failed && waiting ? std::min(retry_ms * 2, retry_ms_max) : retry_ms_min;
    waiting = failed;
  }
}

}  // namespace atl::attach
