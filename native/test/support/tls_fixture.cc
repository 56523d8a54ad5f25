#include "test/support/tls_fixture.h"

#include <doctest/doctest.h>
#include <gnutls/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace atl::test {
namespace {

void must(int result) {
  const std::string words = gnutls_strerror(result);
  CAPTURE(words);
  REQUIRE(result >= 0);
}

gnutls_datum_t datum(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), static_cast<unsigned>(text.size())};
}

std::string take(gnutls_datum_t pem) {
  std::string text(reinterpret_cast<const char*>(pem.data), pem.size);
  gnutls_free(pem.data);
  return text;
}

/// Signed by `issuer`, or by itself when null.
Identity make(const std::string& name, const Identity* issuer, bool ca, const char* purpose, time_t until) {
  gnutls_x509_privkey_t key = nullptr, issuer_key = nullptr;
  gnutls_x509_crt_t crt = nullptr, issuer_crt = nullptr;
  must(gnutls_x509_privkey_init(&key));
  must(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
  must(gnutls_x509_crt_init(&crt));
  must(gnutls_x509_crt_set_version(crt, 3));
  must(gnutls_x509_crt_set_key(crt, key));
  static unsigned char serial = 1;
  serial++;
  must(gnutls_x509_crt_set_serial(crt, &serial, 1));
  must(gnutls_x509_crt_set_activation_time(crt, ::time(nullptr) - 86'400));
  must(gnutls_x509_crt_set_expiration_time(crt, until));
  must(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name.data(),
                                     static_cast<unsigned>(name.size())));
  must(gnutls_x509_crt_set_basic_constraints(crt, ca ? 1 : 0, -1));
  must(gnutls_x509_crt_set_key_usage(crt, ca ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE));
  if (purpose != nullptr) must(gnutls_x509_crt_set_key_purpose_oid(crt, purpose, 0));
  if (!ca)
    must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name.data(), static_cast<unsigned>(name.size()),
                                              GNUTLS_FSAN_SET));
  if (issuer != nullptr) {
    const gnutls_datum_t crt_pem = datum(issuer->certificate), key_pem = datum(issuer->key);
    must(gnutls_x509_crt_init(&issuer_crt));
    must(gnutls_x509_crt_import(issuer_crt, &crt_pem, GNUTLS_X509_FMT_PEM));
    must(gnutls_x509_privkey_init(&issuer_key));
    must(gnutls_x509_privkey_import(issuer_key, &key_pem, GNUTLS_X509_FMT_PEM));
  }
  must(gnutls_x509_crt_sign2(crt, issuer ? issuer_crt : crt, issuer ? issuer_key : key, GNUTLS_DIG_SHA256, 0));
  gnutls_datum_t pem{};
  must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
  Identity made;
  made.certificate = take(pem);
  must(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem));
  made.key = take(pem);
  gnutls_x509_privkey_deinit(key);
  gnutls_x509_crt_deinit(crt);
  if (issuer_key != nullptr) gnutls_x509_privkey_deinit(issuer_key);
  if (issuer_crt != nullptr) gnutls_x509_crt_deinit(issuer_crt);
  return made;
}

ssize_t pull(gnutls_transport_ptr_t pointer, void* into, size_t bytes) {
  TlsClient& self = *static_cast<TlsClient*>(pointer);
  const size_t n = std::min(bytes, self.in.size());
  if (n == 0) {
    gnutls_transport_set_errno(self.session(), EAGAIN);
    return -1;
  }
  std::memcpy(into, self.in.data(), n);
  self.in.erase(self.in.begin(), self.in.begin() + static_cast<ptrdiff_t>(n));
  return static_cast<ssize_t>(n);
}

ssize_t push(gnutls_transport_ptr_t pointer, const void* from, size_t bytes) {
  TlsClient& self = *static_cast<TlsClient*>(pointer);
  const auto* data = static_cast<const std::byte*>(from);
  self.out.insert(self.out.end(), data, data + bytes);
  return static_cast<ssize_t>(bytes);
}

/// The client's certificate whatever authorities the server names: the server is what is tested.
int show(gnutls_session_t session, const gnutls_datum_t*, int, const gnutls_pk_algorithm_t*, int,
         gnutls_retr2_st* answer) {
  const Identity& identity = *static_cast<const Identity*>(gnutls_session_get_ptr(session));
  const gnutls_datum_t crt = datum(identity.certificate), key = datum(identity.key);
  *answer = {};
  answer->cert_type = GNUTLS_CRT_X509;
  answer->key_type = GNUTLS_PRIVKEY_X509;
  answer->ncerts = 1;
  answer->cert.x509 = static_cast<gnutls_x509_crt_t*>(gnutls_malloc(sizeof(gnutls_x509_crt_t)));
  answer->deinit_all = 1;
  if (gnutls_x509_crt_init(&answer->cert.x509[0]) < 0 ||
      gnutls_x509_crt_import(answer->cert.x509[0], &crt, GNUTLS_X509_FMT_PEM) < 0 ||
      gnutls_x509_privkey_init(&answer->key.x509) < 0 ||
      gnutls_x509_privkey_import(answer->key.x509, &key, GNUTLS_X509_FMT_PEM) < 0)
    return -1;
  return 0;
}

}  // namespace

TestCa::TestCa(const std::string& name) : own_(make(name, nullptr, true, nullptr, ::time(nullptr) + 864'000)) {}

Identity TestCa::issue(const std::string& name, Purpose purpose) const {
  const char* oid = purpose == Purpose::server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
  const time_t until = ::time(nullptr) + (purpose == Purpose::expired_client ? -3'600 : 864'000);
  return make(name, &own_, false, oid, until);
}

const TestCa& good_ca() {
  static const TestCa ca("Atoll test CA");
  return ca;
}

const TestCa& other_ca() {
  static const TestCa ca("Another CA");
  return ca;
}

TlsClient::TlsClient(const TlsClientOptions& options) {
  must(gnutls_init(&session_, GNUTLS_CLIENT));
  const bool psk = !options.psk_user.empty();
  const std::string priority = options.priority + (psk ? ":-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK" : "");
  must(gnutls_priority_set_direct(session_, priority.c_str(), nullptr));
  if (psk) {
    must(gnutls_psk_allocate_client_credentials(&psk_));
    const gnutls_datum_t key = datum(options.psk_key);
    must(gnutls_psk_set_client_credentials(psk_, options.psk_user.c_str(), &key, GNUTLS_PSK_KEY_RAW));
    must(gnutls_credentials_set(session_, GNUTLS_CRD_PSK, psk_));
  } else {
    must(gnutls_certificate_allocate_credentials(&certificates_));
    if (!options.ca.empty()) {
      const gnutls_datum_t ca = datum(options.ca);
      must(gnutls_certificate_set_x509_trust_mem(certificates_, &ca, GNUTLS_X509_FMT_PEM));
      gnutls_session_set_verify_cert(session_, "localhost", 0);
    }
    if (!options.identity.key.empty()) {
      identity_ = options.identity;
      gnutls_session_set_ptr(session_, &identity_);
      gnutls_certificate_set_retrieve_function(certificates_, show);
    }
    must(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, certificates_));
  }
  gnutls_transport_set_ptr(session_, this);
  gnutls_transport_set_pull_function(session_, pull);
  gnutls_transport_set_push_function(session_, push);
  gnutls_transport_set_pull_timeout_function(session_, [](gnutls_transport_ptr_t, unsigned) { return 1; });
}

TlsClient::~TlsClient() {
  gnutls_deinit(session_);
  if (certificates_ != nullptr) gnutls_certificate_free_credentials(certificates_);
  if (psk_ != nullptr) gnutls_psk_free_client_credentials(psk_);
}

void TlsClient::use_socket(int fd) {
  gnutls_transport_set_pull_function(session_, [](gnutls_transport_ptr_t at, void* into, size_t bytes) -> ssize_t {
    return ::recv(static_cast<int>(reinterpret_cast<intptr_t>(at)), into, bytes, 0);
  });
  gnutls_transport_set_push_function(
      session_, [](gnutls_transport_ptr_t at, const void* from, size_t bytes) -> ssize_t {
        return ::send(static_cast<int>(reinterpret_cast<intptr_t>(at)), from, bytes, MSG_NOSIGNAL);
      });
  gnutls_transport_set_ptr(session_, reinterpret_cast<gnutls_transport_ptr_t>(static_cast<intptr_t>(fd)));
}

TlsMaterial server_material() {
  static const Identity identity = good_ca().issue("localhost", Purpose::server);
  TlsMaterial material;
  material.certificate = identity.certificate;
  material.key = identity.key;
  return material;
}

std::shared_ptr<const TlsCredentials> load(const TlsMaterial& material) {
  Result<std::shared_ptr<const TlsCredentials>> loaded = TlsCredentials::load(material);
  CAPTURE(loaded ? std::string() : loaded.error().message);
  REQUIRE(loaded.ok());
  return *loaded;
}

std::string psk_of_alice() {
  std::string key;
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < 16; i++) key.push_back(static_cast<char>(i * 0x11));
  return key;
}

}  // namespace atl::test
