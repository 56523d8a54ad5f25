// tls_fixture.h: certificates made on the spot, and a TLS client that a test holds in its hand.
#pragma once

#include <gnutls/gnutls.h>

#include <string>
#include <vector>

#include "base/types.h"
#include "nbd/tls/tls_session.h"

namespace atl::test {

struct Identity {
  std::string certificate;  // PEM
  std::string key;
};

enum class Purpose { server, client, expired_client };

/// A certificate authority of its own.
class TestCa {
 public:
  explicit TestCa(const std::string& name);
  Identity issue(const std::string& name, Purpose purpose) const;
  const std::string& certificate() const { return own_.certificate; }

 private:
  Identity own_;
};

/// Both made once for all tests.
const TestCa& good_ca();
const TestCa& other_ca();

struct TlsClientOptions {
  std::string ca;     // to verify the server by (its name must be "localhost"); empty: it is not verified
  Identity identity;  // empty: none
  std::string psk_user;
  std::string psk_key;  // bytes
  std::string priority = "NORMAL";
};

/// The client's end. Over a socket (blocking), or over memory: what it sends is in `out`, what it receives is taken from `in`.
class TlsClient {
 public:
  explicit TlsClient(const TlsClientOptions& options);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;

  void use_socket(int fd);
  gnutls_session_t session() const { return session_; }

  std::vector<std::byte> in;
  std::vector<std::byte> out;

 private:
  gnutls_session_t session_ = nullptr;
  Identity identity_;
  gnutls_certificate_credentials_t certificates_ = nullptr;
  gnutls_psk_client_credentials_t psk_ = nullptr;
};

/// A server with a good certificate.
TlsMaterial server_material();
std::shared_ptr<const TlsCredentials> load(const TlsMaterial& material);

/// "alice", with her key in the server's file and in bytes.
constexpr const char* psk_file = "alice:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
std::string psk_of_alice();

}  // namespace atl::test
