// tls_client.h: the client's side of TLS over a socket.
#pragma once

#include <memory>
#include <string>

#include "attach/gnutls_library.h"
#include "attach/socket.h"
#include "attach/uri.h"
#include "base/types.h"

namespace atl::attach {

/// Owns its socket, which does not block. One thread at a time.
class TlsClient {
 public:
  /// Reads certificates or keys; shakes no hands yet. `host`: that the certificate must be for, unless the settings name another.
  static Result<std::unique_ptr<TlsClient>> make(const TlsSettings& settings, const std::string& host, Socket socket);
  TlsClient(const TlsClient&) = delete;
  ~TlsClient();

  int fd() const { return socket_.fd(); }
  /// What poll() is to wait for after `again`.
  short wanted_events() const;

  /// Of each step: the number of bytes, 0 at the end of the stream, or `again`.
  static constexpr ssize_t again = -1;
  Result<ssize_t> shake_hands();      // 0: done
  Result<ssize_t> send(Bytes bytes);  // after `again` the same bytes
  Result<ssize_t> receive(MutableBytes into);
  Result<ssize_t> say_goodbye();  // 0: close_notify is sent

 private:
  TlsClient(const GnuTls& library, Socket socket) : library_(library), socket_(std::move(socket)) {}
  Result<void> use_certificates(const TlsSettings& settings, const std::string& host);
  Result<void> use_key(const TlsSettings& settings);
  Result<ssize_t> outcome(ssize_t done) const;
  Error error(ssize_t code) const;

  const GnuTls& library_;
  Socket socket_;
  gnutls_session_t session_ = nullptr;
  gnutls_certificate_credentials_t certificates_ = nullptr;
  gnutls_psk_client_credentials_t key_ = nullptr;
  std::string verified_host_;
};

}  // namespace atl::attach
