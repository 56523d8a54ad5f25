#include "attach/tls_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <fstream>

namespace atl::attach {
namespace {

// Below TLS 1.2 nothing is spoken, and keys are used with forward secrecy.
constexpr const char* certificate_priority = "-VERS-TLS1.0:-VERS-TLS1.1";
constexpr const char* key_priority = "-VERS-TLS1.0:-VERS-TLS1.1:+ECDHE-PSK:+DHE-PSK";
constexpr size_t key_lines_max = 100'000;

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool is_ip_address(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 || ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

/// The key of this user in a file of lines "USER:HEXKEY".
Result<std::string> find_key(const std::string& path, const std::string& user) {
  std::ifstream file(path);
  if (!file) return Error::from_errno(errno, "open " + path);
  size_t lines = 0;
  for (std::string line; lines < key_lines_max && std::getline(file, line); lines++)
    if (line.starts_with(user + ":")) return line.substr(user.size() + 1);
  return Error{Code::not_found, path + " has no key of the user \"" + user + "\""};
}

}  // namespace

Result<std::unique_ptr<TlsClient>> TlsClient::make(const TlsSettings& settings, const std::string& host,
                                                   Socket socket) {
  Result<const GnuTls*> library = GnuTls::load();
  if (!library) return library.error();
  std::unique_ptr<TlsClient> client(new TlsClient(**library, std::move(socket)));
  const int flags = ::fcntl(client->fd(), F_GETFL);
  if (flags < 0 || ::fcntl(client->fd(), F_SETFL, flags | O_NONBLOCK) != 0) return Error::from_errno(errno, "fcntl");
  const int made =
      client->library_.init(&client->session_, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
  if (made < 0) return client->error(made);
  client->library_.transport_set_int2(client->session_, client->fd(), client->fd());
  Result<void> ready = settings.psk_file.empty() ? client->use_certificates(settings, host) : client->use_key(settings);
  if (!ready) return ready.error();
  return client;
}

TlsClient::~TlsClient() {
  if (session_ != nullptr) library_.deinit(session_);
  if (certificates_ != nullptr) library_.certificate_free_credentials(certificates_);
  if (key_ != nullptr) library_.psk_free_client_credentials(key_);
}

Result<void> TlsClient::use_certificates(const TlsSettings& settings, const std::string& host) {
  const auto failed = [&](const std::string& what, int code) {
    return Error{Code::invalid, what + ": " + library_.strerror(code)};
  };
  if (const int made = library_.certificate_allocate_credentials(&certificates_); made < 0) return failed("TLS", made);
  const std::string& dir = settings.certificates_dir;
  const std::string ca = dir + "/ca-cert.pem", crl = dir + "/ca-crl.pem", certificate = dir + "/client-cert.pem",
                    key = dir + "/client-key.pem";
  if (dir.empty()) {
    if (const int n = library_.certificate_set_x509_system_trust(certificates_); n < 0)
      return failed("the system's certificate authorities", n);
  } else {
    if (exists(ca) || settings.verify_peer)
      if (const int n = library_.certificate_set_x509_trust_file(certificates_, ca.c_str(), GNUTLS_X509_FMT_PEM); n < 0)
        return failed(ca, n);
    if (exists(crl))
      if (const int n = library_.certificate_set_x509_crl_file(certificates_, crl.c_str(), GNUTLS_X509_FMT_PEM); n < 0)
        return failed(crl, n);
    if (exists(certificate))
      if (const int n = library_.certificate_set_x509_key_file(certificates_, certificate.c_str(), key.c_str(),
                                                               GNUTLS_X509_FMT_PEM);
          n < 0)
        return failed(certificate + " and " + key, n);
  }
  if (const int n = library_.credentials_set(session_, GNUTLS_CRD_CERTIFICATE, certificates_); n < 0)
    return failed("TLS", n);
  if (const int n = library_.set_default_priority_append(session_, certificate_priority, nullptr, 0); n < 0)
    return failed("TLS", n);
  verified_host_ = settings.hostname.empty() ? host : settings.hostname;
  if (!verified_host_.empty() && !is_ip_address(verified_host_))
    if (const int n = library_.server_name_set(session_, GNUTLS_NAME_DNS, verified_host_.data(), verified_host_.size());
        n < 0)
      return failed(verified_host_, n);
  // Without a host (a unix socket) any certificate of the authority will do.
  if (settings.verify_peer)
    library_.session_set_verify_cert(session_, verified_host_.empty() ? nullptr : verified_host_.c_str(), 0);
  return {};
}

Result<void> TlsClient::use_key(const TlsSettings& settings) {
  Result<std::string> hex = find_key(settings.psk_file, settings.user);
  if (!hex) return hex.error();
  const auto failed = [&](int code) {
    return Error{Code::invalid, settings.psk_file + ": " + library_.strerror(code)};
  };
  if (const int made = library_.psk_allocate_client_credentials(&key_); made < 0) return failed(made);
  const gnutls_datum_t datum{reinterpret_cast<unsigned char*>(hex->data()), static_cast<unsigned>(hex->size())};
  if (const int n = library_.psk_set_client_credentials(key_, settings.user.c_str(), &datum, GNUTLS_PSK_KEY_HEX); n < 0)
    return failed(n);
  if (const int n = library_.credentials_set(session_, GNUTLS_CRD_PSK, key_); n < 0) return failed(n);
  if (const int n = library_.set_default_priority_append(session_, key_priority, nullptr, 0); n < 0) return failed(n);
  return {};
}

short TlsClient::wanted_events() const { return library_.record_get_direction(session_) == 0 ? POLLIN : POLLOUT; }

Error TlsClient::error(ssize_t code) const {
  std::string text = std::string("TLS: ") + library_.strerror(static_cast<int>(code));
  if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
    const char* alert = library_.alert_get_name(library_.alert_get(session_));
    text += std::string(": ") + (alert == nullptr ? "unknown" : alert);
  }
  if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
    gnutls_datum_t reasons{};
    const unsigned status = library_.session_get_verify_cert_status(session_);
    if (library_.certificate_verification_status_print(status, GNUTLS_CRT_X509, &reasons, 0) >= 0) {
      text += " " + std::string(reinterpret_cast<char*>(reasons.data), reasons.size);
      library_.free(reasons.data);
    }
    if (!verified_host_.empty()) text += " (expected a certificate for \"" + verified_host_ + "\")";
  }
  return Error{Code::io, text};
}

/// A number of bytes, `again`, or an error.
Result<ssize_t> TlsClient::outcome(ssize_t done) const {
  if (done >= 0) return done;
  if (done == GNUTLS_E_AGAIN || done == GNUTLS_E_INTERRUPTED) return again;
  // A server that wants to shake hands again is refused.
  if (done != GNUTLS_E_REHANDSHAKE && library_.error_is_fatal(static_cast<int>(done)) == 0) return again;
  return error(done);
}

Result<ssize_t> TlsClient::shake_hands() { return outcome(library_.handshake(session_)); }
Result<ssize_t> TlsClient::send(Bytes bytes) {
  return outcome(library_.record_send(session_, bytes.data(), bytes.size()));
}
Result<ssize_t> TlsClient::receive(MutableBytes into) {
  return outcome(library_.record_recv(session_, into.data(), into.size()));
}
Result<ssize_t> TlsClient::say_goodbye() { return outcome(library_.bye(session_, GNUTLS_SHUT_WR)); }

}  // namespace atl::attach
