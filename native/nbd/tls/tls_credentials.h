// tls_credentials.h: what the server shows and demands in a TLS handshake: its certificate, the CA of its clients, the keys they
// share with it, and the allowed algorithms. Made from the contents of files, which TypeScript reads; no file is opened here.
//
// Immutable once loaded. A reload makes another one: connections that have begun keep the one they began with.
#pragma once

#include <gnutls/gnutls.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace atl {

/// PEM texts and keys as they stand in their files. A certificate, pre-shared keys, or both.
struct TlsMaterial {
  std::string certificate;  // the server's own first, then those up to the CA; empty: none
  std::string key;          // of the certificate, not encrypted
  std::string client_ca;    // clients' certificates are verified against these; empty: clients are not asked for any
  std::string client_crl;   // of that CA: certificates that it has revoked are refused; empty: none is
  bool require_client_certificate = false;
  std::string
      psk;  // GnuTLS's psktool: lines of USER:HEXKEY (#HEX:HEXKEY for user names that are not text); empty: none
  std::string priority;  // a GnuTLS priority string; empty: default_priority
};

class TlsCredentials {
 public:
  /// Forward secrecy and authenticated encryption only. TLS 1.2 is the floor whatever the string says. ChaCha20 comes last: with a
  /// pre-shared key TLS 1.3 allows only ciphers that go with SHA-256, and of those NORMAL puts it before AES-128-GCM, which
  /// processors have instructions for.
  static constexpr std::string_view default_priority =
      "NORMAL:-RSA:-SHA1:-AES-256-CBC:-AES-128-CBC:-CHACHA20-POLY1305:+CHACHA20-POLY1305:%SERVER_PRECEDENCE";
  static constexpr size_t psk_users_max = 65'536;
  static constexpr size_t psk_bytes_min = 16;  // what is shorter can be searched through

  /// Errors: `invalid`, saying which of the texts is wrong and how.
  static Result<std::shared_ptr<const TlsCredentials>> load(const TlsMaterial& material);

  bool x509() const { return x509_ != nullptr; }
  bool asks_for_certificate() const { return asks_for_certificate_; }
  bool requires_certificate() const { return requires_certificate_; }

  gnutls_certificate_credentials_t x509_handle() const { return x509_.get(); }
  gnutls_psk_server_credentials_t psk_handle() const { return psk_.get(); }  // null: none
  gnutls_priority_t priority_handle() const { return priority_.get(); }

  /// The user's key, or null.
  const std::string* psk_of(const std::string& user) const {
    const auto at = psk_keys_.find(user);
    return at == psk_keys_.end() ? nullptr : &at->second;
  }

 private:
  TlsCredentials() = default;
  Result<void> load_x509(const TlsMaterial& material);
  Result<void> load_psk(const std::string& text);
  Result<void> load_priority(const std::string& given);

  template <class Handle, void (*destroy)(Handle)>
  struct Destroy {
    using pointer = Handle;
    void operator()(Handle handle) const { destroy(handle); }
  };
  template <class Handle, void (*destroy)(Handle)>
  using Owned = std::unique_ptr<Handle, Destroy<Handle, destroy>>;

  Owned<gnutls_certificate_credentials_t, gnutls_certificate_free_credentials> x509_;
  Owned<gnutls_psk_server_credentials_t, gnutls_psk_free_server_credentials> psk_;
  Owned<gnutls_priority_t, gnutls_priority_deinit> priority_;
  std::map<std::string, std::string> psk_keys_;
  bool asks_for_certificate_ = false;
  bool requires_certificate_ = false;
};

}  // namespace atl
