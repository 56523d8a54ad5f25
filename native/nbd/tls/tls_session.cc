#include "nbd/tls/tls_session.h"

#include <gnutls/x509.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace atl {
namespace {

constexpr size_t record_bytes = 16u << 10;             // the largest plaintext of a TLS record
constexpr size_t handshake_message_bytes = 64u << 10;  // a client's certificates, mostly
constexpr size_t kept_output_bytes = 24u << 10;        // an idle session keeps no more room than this in each buffer
constexpr int odd_messages_max = 16;                   // warnings and the like, in a row

/// Of what a stranger sent: no control characters get into a log, and nothing long.
std::string printable(const gnutls_datum_t& text) {
  std::string clean(reinterpret_cast<const char*>(text.data), std::min<size_t>(text.size, 256));
  for (char& letter : clean)
    if (letter < ' ' || letter > '~') letter = '?';
  return clean;
}

}  // namespace

Result<std::unique_ptr<TlsSession>> TlsSession::create(std::shared_ptr<const TlsCredentials> credentials) {
  std::unique_ptr<TlsSession> session(new TlsSession(std::move(credentials)));
  if (Result<void> done = session->prepare(); !done) return std::move(done.error());
  return session;
}

Result<void> TlsSession::prepare() {
  const auto failed = [](int error) { return Error{Code::io, std::string("TLS: ") + gnutls_strerror(error)}; };
  int error = gnutls_init(&session_, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS);
  if (error >= 0) error = gnutls_priority_set(session_, credentials_->priority_handle());
  if (error >= 0 && credentials_->x509())
    error = gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials_->x509_handle());
  if (error >= 0 && credentials_->psk_handle() != nullptr)
    error = gnutls_credentials_set(session_, GNUTLS_CRD_PSK, credentials_->psk_handle());
  if (error < 0) return failed(error);
  if (credentials_->asks_for_certificate()) {
    gnutls_certificate_server_set_request(
        session_, credentials_->requires_certificate() ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
    gnutls_session_set_verify_function(session_, verify);
  }
  gnutls_session_set_ptr(session_, this);
  gnutls_handshake_set_max_packet_length(session_, handshake_message_bytes);
  gnutls_handshake_set_timeout(session_, 0);  // the connection's own deadline counts
  gnutls_transport_set_ptr(session_, this);
  gnutls_transport_set_pull_function(session_, pull);
  gnutls_transport_set_push_function(session_, push);
  gnutls_transport_set_pull_timeout_function(session_, pull_timeout);
  in_ = std::make_unique<std::byte[]>(input_bytes);
  return {};
}

TlsSession::~TlsSession() {
  if (session_ != nullptr) gnutls_deinit(session_);
}

// ---- ciphertext ----

MutableBytes TlsSession::input_room() {
  if (in_begin_ == in_end_ || failed_) in_begin_ = in_end_ = 0;
  return {in_.get() + in_end_, input_bytes - in_end_};
}

void TlsSession::received(size_t bytes) {
  VERIFY(bytes <= input_bytes - in_end_);
  if (!failed_) in_end_ += bytes;
}

Bytes TlsSession::output() {
  if (sending_done()) {
    sending_.clear();
    sending_from_ = 0;
    if (sending_.capacity() > kept_output_bytes) sending_.shrink_to_fit();
    sending_.swap(out_);
  }
  return Bytes(sending_).subspan(sending_from_);
}

void TlsSession::sent(size_t bytes) {
  VERIFY(bytes <= sending_.size() - sending_from_);
  sending_from_ += bytes;
  if (!sending_done() || sending_.capacity() <= kept_output_bytes) return;
  sending_ = {};
  sending_from_ = 0;
}

ssize_t TlsSession::pull(gnutls_transport_ptr_t pointer, void* into, size_t bytes) {
  TlsSession& self = *static_cast<TlsSession*>(pointer);
  const size_t n = std::min(bytes, self.in_end_ - self.in_begin_);
  if (n == 0) {
    gnutls_transport_set_errno(self.session_, EAGAIN);
    return -1;
  }
  std::memcpy(into, self.in_.get() + self.in_begin_, n);
  self.in_begin_ += n;
  return static_cast<ssize_t>(n);
}

ssize_t TlsSession::push(gnutls_transport_ptr_t pointer, const void* from, size_t bytes) {
  TlsSession& self = *static_cast<TlsSession*>(pointer);
  if (self.out_.size() + bytes > output_bytes_max) {
    self.too_talkative_ = true;
    gnutls_transport_set_errno(self.session_, ENOBUFS);
    return -1;
  }
  const auto* data = static_cast<const std::byte*>(from);
  self.out_.insert(self.out_.end(), data, data + bytes);
  return static_cast<ssize_t>(bytes);
}

// ---- plaintext ----

TlsSession::Step TlsSession::handshake() {
  if (failed_) return Step::failed;
  for (int odd = 0; odd < odd_messages_max;) {
    const int error = gnutls_handshake(session_);
    if (error == GNUTLS_E_SUCCESS) {
      ready_ = true;
      return Step::done;
    }
    if (error == GNUTLS_E_AGAIN) {
      if (in_begin_ == in_end_) return Step::wants_input;
    } else if (gnutls_error_is_fatal(error)) {
      return fail(error);
    } else {
      odd++;
    }
  }
  return fail(GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS);
}

TlsSession::Read TlsSession::read(MutableBytes into) {
  if (failed_) return {Step::failed, 0};
  size_t bytes = 0;
  for (int odd = 0; odd < odd_messages_max;) {
    if (bytes == into.size()) return {Step::done, bytes};
    const ssize_t got = gnutls_record_recv(session_, into.data() + bytes, into.size() - bytes);
    if (got > 0) {
      bytes += static_cast<size_t>(got);
      odd = 0;
      continue;
    }
    // What came before an end or a failure goes first; the next call meets it again.
    if (got == 0) return bytes > 0 ? Read{Step::done, bytes} : Read{Step::closed, 0};
    const auto error = static_cast<int>(got);
    if (error == GNUTLS_E_AGAIN) {
      // Also the answer to a message that is none of the application's; behind that may be more.
      if (in_begin_ == in_end_) return bytes > 0 ? Read{Step::done, bytes} : Read{Step::wants_input, 0};
      continue;
    }
    if (error == GNUTLS_E_REHANDSHAKE || gnutls_error_is_fatal(error)) {
      const Step failed = fail(error);
      return bytes > 0 ? Read{Step::done, bytes} : Read{failed, 0};
    }
    odd++;
  }
  return {fail(GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS), 0};
}

bool TlsSession::encrypt(Bytes plain) {
  while (!plain.empty()) {
    const ssize_t took = gnutls_record_send(session_, plain.data(), plain.size());
    if (took <= 0) {
      fail(static_cast<int>(took));
      return false;
    }
    plain = plain.subspan(static_cast<size_t>(took));
  }
  return true;
}

int32_t TlsSession::write(std::span<const iovec> parts) {
  if (failed_ || said_all_) return -1;
  // Small parts share a record; what fills one is encrypted from where it lies.
  static thread_local std::array<std::byte, record_bytes> small;
  size_t small_bytes = 0;
  size_t taken = 0;
  const auto flush = [&] {
    const bool fine = encrypt(Bytes(small).first(small_bytes));
    small_bytes = 0;
    return fine;
  };
  for (const iovec& part : parts) {
    Bytes rest(static_cast<const std::byte*>(part.iov_base), std::min(part.iov_len, write_bytes_max - taken));
    taken += rest.size();
    while (!rest.empty()) {
      if (small_bytes == 0 && rest.size() >= record_bytes) {
        if (!encrypt(rest.first(record_bytes))) return -1;
        rest = rest.subspan(record_bytes);
        continue;
      }
      const size_t n = std::min(rest.size(), record_bytes - small_bytes);
      std::memcpy(small.data() + small_bytes, rest.data(), n);
      small_bytes += n;
      rest = rest.subspan(n);
      if (small_bytes == record_bytes && !flush()) return -1;
    }
  }
  if (!flush()) return -1;
  return static_cast<int32_t>(taken);
}

void TlsSession::close() {
  if (!ready_ || failed_ || said_all_) return;
  said_all_ = true;
  gnutls_bye(session_, GNUTLS_SHUT_WR);
}

TlsSession::Step TlsSession::fail(int error) {
  failed_ = true;
  if (too_talkative_) {
    failure_ = "the peer makes this server talk and does not listen";
  } else if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) {
    const char* name = gnutls_alert_get_name(gnutls_alert_get(session_));
    failure_ = std::string("the peer ended it: ") + (name == nullptr ? "an alert without a name" : name);
  } else if (error == GNUTLS_E_REHANDSHAKE) {
    failure_ = "the peer asked for a renegotiation, which this server does not do";
    gnutls_alert_send(session_, GNUTLS_AL_FATAL, GNUTLS_A_NO_RENEGOTIATION);
  } else if (error == GNUTLS_E_NO_CERTIFICATE_FOUND || error == GNUTLS_E_CERTIFICATE_REQUIRED) {
    failure_ = "the client shows no certificate, and one is required";
    // RFC 8446 "certificate_required"; RFC 5246, 7.4.6. GnuTLS's own choice would be decode_error.
    const bool tls13 = gnutls_protocol_get_version(session_) >= GNUTLS_TLS1_3;
    gnutls_alert_send(session_, GNUTLS_AL_FATAL, tls13 ? GNUTLS_A_CERTIFICATE_REQUIRED : GNUTLS_A_HANDSHAKE_FAILURE);
  } else {
    failure_ = refusal_.empty() ? gnutls_strerror(error) : refusal_;
    // It has room: a failure ends all other output.
    gnutls_alert_send_appropriate(session_, error);
  }
  return Step::failed;
}

// ---- who is the peer ----

int TlsSession::find_psk(gnutls_session_t session, const gnutls_datum_t* user, gnutls_datum_t* key) {
  TlsSession& self = *static_cast<TlsSession*>(gnutls_session_get_ptr(session));
  const std::string name(reinterpret_cast<const char*>(user->data), user->size);
  const std::string* found = self.credentials_->psk_of(name);
  if (found == nullptr) {
    self.refusal_ = "no pre-shared key for the user \"" + printable(*user) + "\"";
    return -1;
  }
  key->data = static_cast<unsigned char*>(gnutls_malloc(found->size()));
  if (key->data == nullptr) return -1;
  std::memcpy(key->data, found->data(), found->size());
  key->size = static_cast<unsigned>(found->size());
  return 0;
}

int TlsSession::verify(gnutls_session_t session) {
  TlsSession& self = *static_cast<TlsSession*>(gnutls_session_get_ptr(session));
  unsigned count = 0;
  const gnutls_datum_t* chain = gnutls_certificate_get_peers(session, &count);
  if (chain == nullptr || count == 0) {
    return self.credentials_->requires_certificate() ? GNUTLS_E_NO_CERTIFICATE_FOUND : 0;
  }
  gnutls_typed_vdata_st purpose{};
  purpose.type = GNUTLS_DT_KEY_PURPOSE_OID;
  purpose.data = reinterpret_cast<unsigned char*>(const_cast<char*>(GNUTLS_KP_TLS_WWW_CLIENT));
  unsigned status = 0;
  const int error = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
  if (error >= 0 && status == 0) return 0;
  gnutls_datum_t words{};
  if (error >= 0 && gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &words, 0) >= 0) {
    self.refusal_ = "the client's certificate is not accepted: " + printable(words);
    gnutls_free(words.data);
  } else {
    self.refusal_ = std::string("the client's certificate cannot be verified: ") + gnutls_strerror(error);
  }
  return GNUTLS_E_CERTIFICATE_ERROR;
}

}  // namespace atl
