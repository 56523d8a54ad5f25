// tls_session.h: the server's side of one TLS connection, by GnuTLS, with no socket and no thread: received ciphertext goes in
// (input_room, received), ciphertext to be sent comes out (output, sent), and between the two are handshake(), read() and write().
//
//   socket -> input_room() -> handshake() | read() -> plaintext
//   plaintext -> write() -> output() -> socket
//
// Invariants
//   1. Nothing blocks and nothing is unbounded: input_bytes of ciphertext wait at most (beside the one record that GnuTLS puts
//      together, 16 KiB, or a handshake message, 64 KiB), and output_bytes_max to be sent: whoever makes us talk (alerts, key
//      updates) faster than it listens loses the session.
//   2. After a failure every call fails, and failure() says why. What the peer is to be told is in the output.
//   3. A session is used by one thread at a time. Bytes given by output() stay where they are until sent() says that they have left,
//      whatever is called in between.
//   4. There is no renegotiation, no resumption and no early data: each byte of plaintext was sent in this session, once.
#pragma once

#include <gnutls/gnutls.h>
#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "nbd/tls/tls_credentials.h"

namespace atl {

class TlsSession {
 public:
  static constexpr size_t input_bytes = 32u << 10;
  static constexpr size_t write_bytes_max = 64u << 10;  // plaintext taken by one write()
  static constexpr size_t output_bytes_max = 256u << 10;

  static Result<std::unique_ptr<TlsSession>> create(std::shared_ptr<const TlsCredentials> credentials);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;

  enum class Step : uint8_t { done, wants_input, closed, failed };

  // ---- ciphertext ----

  /// Where received bytes go. Not empty when a call wanted input, nor after a failure.
  MutableBytes input_room();
  void received(size_t bytes);
  /// What is to be sent now; the rest of it after sent().
  Bytes output();
  void sent(size_t bytes);
  bool has_output() const { return !sending_done() || !out_.empty(); }

  // ---- plaintext ----

  /// done, wants_input or failed.
  Step handshake();

  struct Read {
    Step step;
    size_t bytes;  // with done, at least 1
  };
  /// As much as there is, up to into.size(). closed: the peer has said that nothing more comes.
  Read read(MutableBytes into);

  /// Encrypts the parts one after another, up to write_bytes_max in all; answers how many bytes it took, -1 after a failure.
  int32_t write(std::span<const iovec> parts);

  /// Says that nothing more comes from us (once; not after a failure or before the handshake is done).
  void close();

  /// For a log: why it failed. It may quote the peer's certificate, in printable characters.
  const std::string& failure() const { return failure_; }

  /// For TlsCredentials: the key of the user that a client names.
  static int find_psk(gnutls_session_t session, const gnutls_datum_t* user, gnutls_datum_t* key);

 private:
  explicit TlsSession(std::shared_ptr<const TlsCredentials> credentials) : credentials_(std::move(credentials)) {}
  Result<void> prepare();
  bool sending_done() const { return sending_from_ == sending_.size(); }
  bool encrypt(Bytes plain);
  Step fail(int error);

  static ssize_t pull(gnutls_transport_ptr_t self, void* into, size_t bytes);
  static ssize_t push(gnutls_transport_ptr_t self, const void* from, size_t bytes);
  static int pull_timeout(gnutls_transport_ptr_t, unsigned) { return 1; }
  static int verify(gnutls_session_t session);

  std::shared_ptr<const TlsCredentials> credentials_;
  gnutls_session_t session_ = nullptr;
  bool ready_ = false;  // the handshake is done
  bool said_all_ = false;
  bool failed_ = false;
  bool too_talkative_ = false;
  std::string failure_;
  std::string refusal_;  // why the peer's certificate was not accepted

  std::unique_ptr<std::byte[]> in_;
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  std::vector<std::byte> out_;      // grows
  std::vector<std::byte> sending_;  // is being sent, and does not move
  size_t sending_from_ = 0;
};

}  // namespace atl
