// gnutls_library.h: GnuTLS, loaded when TLS is asked for: the program also runs on machines without it.
#pragma once

#include <gnutls/gnutls.h>

#include "base/result.h"

namespace atl::attach {

/// The functions in use, by their names without "gnutls_".
struct GnuTls {
#define ATOLL_GNUTLS_FUNCTIONS(FUNCTION)          \
  FUNCTION(alert_get)                             \
  FUNCTION(alert_get_name)                        \
  FUNCTION(bye)                                   \
  FUNCTION(certificate_allocate_credentials)      \
  FUNCTION(certificate_free_credentials)          \
  FUNCTION(certificate_set_x509_crl_file)         \
  FUNCTION(certificate_set_x509_key_file)         \
  FUNCTION(certificate_set_x509_system_trust)     \
  FUNCTION(certificate_set_x509_trust_file)       \
  FUNCTION(certificate_verification_status_print) \
  FUNCTION(credentials_set)                       \
  FUNCTION(deinit)                                \
  FUNCTION(error_is_fatal)                        \
  FUNCTION(handshake)                             \
  FUNCTION(init)                                  \
  FUNCTION(psk_allocate_client_credentials)       \
  FUNCTION(psk_free_client_credentials)           \
  FUNCTION(psk_set_client_credentials)            \
  FUNCTION(record_get_direction)                  \
  FUNCTION(record_recv)                           \
  FUNCTION(record_send)                           \
  FUNCTION(server_name_set)                       \
  FUNCTION(session_get_verify_cert_status)        \
  FUNCTION(session_set_verify_cert)               \
  FUNCTION(set_default_priority_append)           \
  FUNCTION(strerror)                              \
  FUNCTION(transport_set_int2)
#define ATOLL_GNUTLS_MEMBER(name) decltype(&::gnutls_##name) name;
  ATOLL_GNUTLS_FUNCTIONS(ATOLL_GNUTLS_MEMBER)
#undef ATOLL_GNUTLS_MEMBER
  void (*free)(void*);

  /// Loads the library once. `unsupported`: it is not there, or too old.
  static Result<const GnuTls*> load();
};

}  // namespace atl::attach
