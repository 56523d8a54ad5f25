// tls_pump.h: a thread between the kernel's end of a connection, which is plain, and a server behind TLS.
//
// Invariants
//   1. Each direction holds at most one buffer of 64 KiB; it is read again when the other side took all of it.
//   2. When one side ends, what it sent is still passed on, then the other side is ended: the server with close_notify.
#pragma once

#include <memory>
#include <thread>

#include "attach/socket.h"
#include "attach/tls_client.h"

namespace atl::attach {

class TlsPump {
 public:
  /// `plain`: one end of a pair whose other end the kernel gets.
  TlsPump(Socket plain, std::unique_ptr<TlsClient> tls);
  TlsPump(const TlsPump&) = delete;
  /// Ends both sides; waits for that for two seconds at most.
  ~TlsPump();

 private:
  void run();

  Socket plain_;
  std::unique_ptr<TlsClient> tls_;
  std::thread thread_;
};

}  // namespace atl::attach
