#include "nbd/tls/tls_credentials.h"

#include <gnutls/x509.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "nbd/tls/tls_session.h"

namespace atl {
namespace {

Error bad(const std::string& what, int error) { return Error{Code::invalid, what + ": " + gnutls_strerror(error)}; }

gnutls_datum_t datum(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), static_cast<unsigned>(text.size())};
}

std::optional<std::string> from_hex(std::string_view digits) {
  const auto value = [](char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
  };
  if (digits.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(digits.size() / 2);
  for (size_t i = 0; i < digits.size(); i += 2) {
    const int high = value(digits[i]), low = value(digits[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

}  // namespace

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::load(const TlsMaterial& material) {
  std::shared_ptr<TlsCredentials> loaded(new TlsCredentials);
  if (material.certificate.empty() && material.psk.empty())
    return Error{Code::invalid, "TLS needs a certificate or pre-shared keys"};
  if (!material.certificate.empty())
    if (Result<void> done = loaded->load_x509(material); !done) return std::move(done.error());
  if (!material.psk.empty())
    if (Result<void> done = loaded->load_psk(material.psk); !done) return std::move(done.error());
  if (Result<void> done = loaded->load_priority(material.priority); !done) return std::move(done.error());
  return std::shared_ptr<const TlsCredentials>(std::move(loaded));
}

Result<void> TlsCredentials::load_x509(const TlsMaterial& material) {
  gnutls_certificate_credentials_t made = nullptr;
  if (const int error = gnutls_certificate_allocate_credentials(&made); error < 0) return bad("TLS", error);
  x509_.reset(made);
  if (material.key.empty()) return Error{Code::invalid, "the certificate has no private key"};
  const gnutls_datum_t certificate = datum(material.certificate), key = datum(material.key);
  const int error = gnutls_certificate_set_x509_key_mem(made, &certificate, &key, GNUTLS_X509_FMT_PEM);
  if (error == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
    return Error{Code::invalid, "the private key does not belong to the certificate"};
  if (error == GNUTLS_E_DECRYPTION_FAILED)
    return Error{Code::invalid,
                 "the private key is encrypted: store it without a password, readable by the server alone"};
  if (error < 0) {
    // Which of the two? A certificate that can be read alone leaves the key.
    gnutls_x509_crt_t* list = nullptr;
    unsigned count = 0;
    const int alone = gnutls_x509_crt_list_import2(&list, &count, &certificate, GNUTLS_X509_FMT_PEM, 0);
    if (alone >= 0) {
      for (unsigned i = 0; i < count; i++) gnutls_x509_crt_deinit(list[i]);
      gnutls_free(list);
    }
    return bad(alone < 0 ? "the certificate cannot be read" : "the private key cannot be read", error);
  }
  gnutls_certificate_set_known_dh_params(made, GNUTLS_SEC_PARAM_MEDIUM);

  requires_certificate_ = material.require_client_certificate;
  asks_for_certificate_ = !material.client_ca.empty();
  if (!asks_for_certificate_) {
    if (!material.client_crl.empty())
      return Error{Code::invalid, "a list of revoked certificates needs the certificate of the clients' CA"};
    if (requires_certificate_) return Error{Code::invalid, "verifying clients needs the certificate of their CA"};
    return {};
  }
  const gnutls_datum_t ca = datum(material.client_ca);
  const int count = gnutls_certificate_set_x509_trust_mem(made, &ca, GNUTLS_X509_FMT_PEM);
  if (count < 0) return bad("the clients' CA cannot be read", count);
  if (count == 0) return Error{Code::invalid, "the clients' CA has no certificate in it"};
  if (material.client_crl.empty()) return {};
  const gnutls_datum_t crl = datum(material.client_crl);
  const int lists = gnutls_certificate_set_x509_crl_mem(made, &crl, GNUTLS_X509_FMT_PEM);
  if (lists < 0) return bad("the list of revoked certificates cannot be read", lists);
  if (lists == 0) return Error{Code::invalid, "there is no list in the file of revoked certificates"};
  return {};
}

Result<void> TlsCredentials::load_psk(const std::string& text) {
  gnutls_psk_server_credentials_t made = nullptr;
  if (const int error = gnutls_psk_allocate_server_credentials(&made); error < 0) return bad("TLS", error);
  psk_.reset(made);
  gnutls_psk_set_server_known_dh_params(made, GNUTLS_SEC_PARAM_MEDIUM);
  gnutls_psk_set_server_credentials_function2(made, TlsSession::find_psk);

  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    number++;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    // Never the line itself: it may be a key.
    const std::string where = "line " + std::to_string(number) + " of the pre-shared keys";
    const size_t colon = line.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return Error{Code::invalid, where + " is not USER:HEXKEY"};
    std::optional<std::string> user = std::string(line.substr(0, colon));
    if (user->front() == '#') user = from_hex(std::string_view(*user).substr(1));
    const std::optional<std::string> key = from_hex(line.substr(colon + 1));
    if (!user || user->empty() || !key)
      return Error{Code::invalid, where + " is not USER:HEXKEY: expected hexadecimal digits, two for each byte"};
    if (key->size() < psk_bytes_min)
      return Error{Code::invalid, where + " has a key of " + std::to_string(key->size()) + " bytes, and fewer than " +
                                      std::to_string(psk_bytes_min) + " are too easy to guess"};
    if (!psk_keys_.emplace(std::move(*user), *key).second)
      return Error{Code::invalid, where + " names a user for the second time"};
    if (psk_keys_.size() > psk_users_max) return Error{Code::invalid, "there are too many pre-shared keys"};
  }
  if (psk_keys_.empty()) return Error{Code::invalid, "there is no key among the pre-shared keys"};
  return {};
}

Result<void> TlsCredentials::load_priority(const std::string& given) {
  std::string text = given.empty() ? std::string(default_priority) : given;
  text += ":-VERS-SSL3.0:-VERS-TLS1.0:-VERS-TLS1.1:-VERS-DTLS-ALL";
  // As nbdkit and QEMU do: whoever gives keys wants them to be used. Plain PSK has no forward secrecy and stays off.
  if (psk_) text += ":+ECDHE-PSK:+DHE-PSK";
  const char* wrong = nullptr;
  gnutls_priority_t made = nullptr;
  const int error = gnutls_priority_init(&made, text.c_str(), &wrong);
  if (error < 0) {
    const size_t at = wrong == nullptr ? 0 : static_cast<size_t>(wrong - text.c_str());
    return bad("the TLS priority \"" + given + "\" is wrong at \"" + text.substr(at, text.find(':', at) - at) + "\"",
               error);
  }
  priority_.reset(made);
  return {};
}

}  // namespace atl
