// handshake_stream.h: a connection during the handshake, plain or TLS, with one deadline for all of it.
#pragma once

#include <chrono>
#include <memory>

#include "attach/socket.h"
#include "attach/tls_client.h"
#include "base/types.h"

namespace atl::attach {

class HandshakeStream {
 public:
  explicit HandshakeStream(Socket socket);

  Result<void> send(Bytes bytes);
  Result<void> receive(MutableBytes into);
  /// From here on everything goes through TLS.
  Result<void> start_tls(const TlsSettings& settings, const std::string& host);

  /// What goes on after the handshake: one of both.
  Socket take_socket() { return std::move(socket_); }
  std::unique_ptr<TlsClient> take_tls() { return std::move(tls_); }

 private:
  Result<void> wait(int fd, short events) const;

  Socket socket_;
  std::unique_ptr<TlsClient> tls_;
  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace atl::attach
