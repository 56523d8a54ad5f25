// tls_session_test.cc: the server's side of TLS in memory, against GnuTLS's client.
#include <doctest/doctest.h>

#include <random>

#include "nbd/tls/tls_session.h"
#include "test/support/store_fixture.h"
#include "test/support/tls_fixture.h"

namespace atl {
namespace {

using test::good_ca;
using test::load;
using test::other_ca;
using test::Purpose;
using test::server_material;
using test::TlsClient;
using test::TlsClientOptions;
using Step = TlsSession::Step;

std::unique_ptr<TlsSession> session_of(const TlsMaterial& material) {
  Result<std::unique_ptr<TlsSession>> session = TlsSession::create(load(material));
  REQUIRE(session.ok());
  return std::move(*session);
}

/// Both ends, and the wire between them.
struct Pair {
  std::unique_ptr<TlsSession> server;
  TlsClient client;
  size_t piece = SIZE_MAX;  // at most so many bytes at a time reach the server
  Step step = Step::wants_input;
  int client_error = GNUTLS_E_AGAIN;

  Pair(const TlsMaterial& material, const TlsClientOptions& options) : server(session_of(material)), client(options) {}

  void to_client() {
    while (server->has_output()) {
      const Bytes out = server->output();
      client.in.insert(client.in.end(), out.begin(), out.end());
      server->sent(out.size());
    }
  }
  /// Whether anything moved.
  bool to_server() {
    const MutableBytes room = server->input_room();
    const size_t n = std::min({client.out.size(), room.size(), piece});
    std::copy_n(client.out.begin(), n, room.begin());
    client.out.erase(client.out.begin(), client.out.begin() + static_cast<ptrdiff_t>(n));
    server->received(n);
    return n > 0;
  }

  /// Until both are done, or one has failed and the other knows.
  bool handshake() {
    for (int turn = 0; turn < 100'000; turn++) {
      if (client_error == GNUTLS_E_AGAIN || client_error == GNUTLS_E_INTERRUPTED)
        client_error = gnutls_handshake(client.session());
      const bool moved = to_server();
      if (step == Step::wants_input) step = server->handshake();
      to_client();
      const bool client_waits = client_error == GNUTLS_E_AGAIN || client_error == GNUTLS_E_INTERRUPTED;
      if (step == Step::failed && (!client_waits || client.in.empty())) return false;
      if (!moved && client.in.empty() && !client_waits) break;
    }
    return step == Step::done && client_error == GNUTLS_E_SUCCESS;
  }

  /// What the server reads now: at most `bytes`.
  std::vector<std::byte> read(size_t bytes) {
    std::vector<std::byte> got;
    std::vector<std::byte> into(bytes);
    while (got.size() < bytes) {
      const TlsSession::Read read = server->read(MutableBytes(into).first(bytes - got.size()));
      step = read.step;
      if (read.step == Step::done) {
        got.insert(got.end(), into.begin(), into.begin() + static_cast<ptrdiff_t>(read.bytes));
        continue;
      }
      if (read.step != Step::wants_input || !to_server()) break;
    }
    return got;
  }
  std::vector<std::byte> client_reads(size_t bytes) {
    std::vector<std::byte> got(bytes);
    size_t have = 0;
    while (have < bytes) {
      const ssize_t n = gnutls_record_recv(client.session(), got.data() + have, bytes - have);
      if (n == GNUTLS_E_AGAIN && !client.in.empty()) continue;
      if (n <= 0) break;
      have += static_cast<size_t>(n);
    }
    got.resize(have);
    return got;
  }
  void client_sends(Bytes bytes) {
    while (!bytes.empty()) {
      const ssize_t n = gnutls_record_send(client.session(), bytes.data(), bytes.size());
      REQUIRE(n > 0);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  }
  /// What the client was told, when it was told something.
  std::string alert() {
    if (client_error >= 0 || client_error == GNUTLS_E_AGAIN) {
      std::byte byte;
      ssize_t n;
      do {
        n = gnutls_record_recv(client.session(), &byte, 1);
      } while (n == GNUTLS_E_AGAIN && !client.in.empty());
      client_error = static_cast<int>(n);
    }
    if (client_error != GNUTLS_E_FATAL_ALERT_RECEIVED) return gnutls_strerror(client_error);
    return gnutls_alert_get_name(gnutls_alert_get(client.session()));
  }
};

std::vector<std::byte> some_bytes(size_t bytes, uint32_t seed) {
  std::vector<std::byte> made(bytes);
  std::mt19937 random(seed);
  for (std::byte& byte : made) byte = static_cast<std::byte>(random());
  return made;
}

TlsClientOptions verifying() {
  TlsClientOptions options;
  options.ca = good_ca().certificate();
  return options;
}

TlsMaterial asking(bool require) {
  TlsMaterial material = server_material();
  material.client_ca = good_ca().certificate();
  material.require_client_certificate = require;
  return material;
}

TlsClientOptions showing(const test::Identity& identity) {
  TlsClientOptions options = verifying();
  options.identity = identity;
  return options;
}

const char* const versions[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"};

TEST_CASE("TLS session: a handshake and bytes both ways, however the stream is cut") {
  for (const std::string version : versions)
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{1000}, SIZE_MAX}) {
      CAPTURE(version);
      CAPTURE(piece);
      TlsClientOptions options = verifying();
      options.priority = version;
      Pair pair(server_material(), options);
      pair.piece = piece;
      REQUIRE(pair.handshake());
      const auto there = some_bytes(40'000, 1), back = some_bytes(40'000, 2);
      pair.client_sends(there);
      CHECK(pair.read(there.size()) == there);
      const iovec parts[] = {{const_cast<std::byte*>(back.data()), 28},
                             {const_cast<std::byte*>(back.data()) + 28, 39'972}};
      CHECK(pair.server->write(parts) == 40'000);
      pair.to_client();
      CHECK(pair.client_reads(back.size()) == back);
    }
}

TEST_CASE("TLS session: one write takes 64 KiB at most, and small parts share a record") {
  Pair pair(server_material(), verifying());
  REQUIRE(pair.handshake());
  pair.to_client();
  const auto bytes = some_bytes(200'000, 3);
  const iovec whole{const_cast<std::byte*>(bytes.data()), bytes.size()};
  CHECK(pair.server->write({&whole, 1}) == 64 << 10);
  CHECK(pair.server->output().size() < (64u << 10) + 5 * 64);
  pair.to_client();
  CHECK(pair.client_reads(64 << 10) == std::vector(bytes.begin(), bytes.begin() + (64 << 10)));
  std::vector<iovec> parts(100, {const_cast<std::byte*>(bytes.data()), 20});
  CHECK(pair.server->write(parts) == 2'000);
  CHECK(pair.server->output().size() < 2'000 + 64);
}

TEST_CASE("TLS session: what is being sent stays where it is while more is written") {
  Pair pair(server_material(), verifying());
  REQUIRE(pair.handshake());
  pair.to_client();
  const auto bytes = some_bytes(60'000, 4);
  const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  CHECK(pair.server->write({&part, 1}) == 60'000);
  const Bytes first = pair.server->output();
  const std::vector<std::byte> copy(first.begin(), first.end());
  CHECK(pair.server->write({&part, 1}) == 60'000);
  CHECK(std::equal(first.begin(), first.end(), copy.begin()));
  pair.server->sent(10);
  CHECK(pair.server->output().data() == first.data() + 10);
  pair.client.in = copy;
  pair.client.in.resize(10);
  pair.to_client();
  CHECK(pair.client_reads(60'000) == bytes);
  CHECK(pair.client_reads(60'000) == bytes);
}

TEST_CASE("TLS session: a required client certificate must be of the right authority, for clients, and not over") {
  for (const std::string version : versions) {
    CAPTURE(version);
    const auto attempt = [&](TlsClientOptions options) {
      options.priority = version;
      auto pair = std::make_unique<Pair>(asking(true), options);
      const bool fine = pair->handshake();
      CHECK(fine == (pair->server->failure().empty()));
      const std::string alert = fine ? "" : pair->alert();
      CAPTURE(alert);
      CAPTURE(pair->server->failure());
      if (!fine) CHECK((alert.find("ertificate") != std::string::npos || alert == "Handshake failed"));
      return pair->server->failure();
    };
    const auto shown = [&](const test::TestCa& ca, Purpose purpose) {
      return attempt(showing(ca.issue("someone", purpose)));
    };
    CHECK(shown(good_ca(), Purpose::client).empty());
    CHECK(attempt(verifying()).find("shows no certificate") != std::string::npos);
    CHECK(shown(other_ca(), Purpose::client).find("issuer is unknown") != std::string::npos);
    CHECK(shown(good_ca(), Purpose::server).find("purpose") != std::string::npos);
    CHECK(shown(good_ca(), Purpose::expired_client).find("expired") != std::string::npos);
  }
}

TEST_CASE("TLS session: an optional client certificate may be absent, but not wrong") {
  for (const std::string version : versions) {
    CAPTURE(version);
    const auto attempt = [&](TlsClientOptions options) {
      options.priority = version;
      Pair pair(asking(false), options);
      return pair.handshake();
    };
    CHECK(attempt(verifying()));
    CHECK(attempt(showing(good_ca().issue("someone", Purpose::client))));
    CHECK_FALSE(attempt(showing(other_ca().issue("someone", Purpose::client))));
  }
}

TEST_CASE("TLS session: a client that does not trust the server says so, and the log repeats it") {
  TlsClientOptions options;
  options.ca = other_ca().certificate();
  Pair pair(server_material(), options);
  CHECK_FALSE(pair.handshake());
  CHECK(pair.client_error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR);
  gnutls_alert_send_appropriate(pair.client.session(), pair.client_error);
  while (pair.to_server()) {
  }
  CHECK(pair.server->handshake() == Step::failed);
  CHECK(pair.server->failure().find("the peer ended it: ") == 0);
}

TEST_CASE("TLS session: pre-shared keys: the right one, a wrong one, an unknown user") {
  TlsMaterial both = server_material(), alone;
  both.psk = alone.psk = test::psk_file;
  for (const TlsMaterial& material : {both, alone})
    for (const std::string version : versions) {
      CAPTURE(version);
      CAPTURE(material.certificate.empty());
      TlsClientOptions options;
      options.priority = version;
      options.psk_user = "alice";
      options.psk_key = test::psk_of_alice();
      CHECK(Pair(material, options).handshake());
      options.psk_key.back() ^= 1;
      Pair wrong(material, options);
      CHECK_FALSE(wrong.handshake());
      CHECK(wrong.step == Step::failed);
      CHECK_FALSE(wrong.server->failure().empty());
      options.psk_key.back() ^= 1;
      options.psk_user = "mal\nlory";
      Pair unknown(material, options);
      CHECK_FALSE(unknown.handshake());
      CHECK(unknown.server->failure().find("\n") == std::string::npos);
    }
  Pair certificate(both, verifying());
  CHECK(certificate.handshake());
  Pair nothing(alone, verifying());
  CHECK_FALSE(nothing.handshake());
}

TEST_CASE("TLS session: below TLS 1.2 nothing is spoken, whatever the priority string allows") {
  TlsMaterial material = server_material();
  for (const char* priority : {"", "NORMAL", "NORMAL:+VERS-TLS1.1:+VERS-TLS1.0"}) {
    material.priority = priority;
    TlsClientOptions options = verifying();
    options.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT";
    Pair pair(material, options);
    CHECK_FALSE(pair.handshake());
    CHECK(pair.alert().find("version") != std::string::npos);
  }
  material.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
  Pair pair(material, verifying());
  CHECK(pair.handshake());
  CHECK(gnutls_protocol_get_version(pair.client.session()) == GNUTLS_TLS1_2);
}

TEST_CASE("TLS session: by default every connection has forward secrecy and authenticated encryption") {
  Pair refused(server_material(), [] {
    TlsClientOptions options = verifying();
    options.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-CBC:+AES-128-CBC";
    return options;
  }());
  CHECK_FALSE(refused.handshake());
  Pair pair(server_material(), verifying());
  REQUIRE(pair.handshake());
  CHECK(gnutls_protocol_get_version(pair.client.session()) == GNUTLS_TLS1_3);
  CHECK(gnutls_mac_get(pair.client.session()) == GNUTLS_MAC_AEAD);
}

TEST_CASE("TLS session: the cipher is one that processors have instructions for, also with a pre-shared key") {
  TlsMaterial material = server_material();
  material.psk = test::psk_file;
  TlsClientOptions key;
  key.psk_user = "alice";
  key.psk_key = test::psk_of_alice();
  const auto cipher_of = [&](TlsClientOptions options, const char* priority) {
    options.priority = priority;
    Pair pair(material, options);
    REQUIRE(pair.handshake());
    return gnutls_cipher_get(pair.client.session());
  };
  CHECK(cipher_of(verifying(), "NORMAL") == GNUTLS_CIPHER_AES_256_GCM);
  CHECK(cipher_of(verifying(), "NORMAL:-VERS-ALL:+VERS-TLS1.2") == GNUTLS_CIPHER_AES_256_GCM);
  CHECK(cipher_of(verifying(), "NORMAL:-AES-256-GCM") == GNUTLS_CIPHER_AES_128_GCM);
  // With TLS 1.2 GnuTLS has nothing but ChaCha20 for ECDHE-PSK.
  CHECK(cipher_of(key, "NORMAL") == GNUTLS_CIPHER_AES_128_GCM);
}

TEST_CASE("TLS session: plain words in place of a handshake fail it with an alert, once and for all") {
  const std::string words[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", std::string(5'000, '\0'),
                               "IHAVEOPT\0\0\0\7\0\0\0\0"};
  for (const std::string& text : words) {
    const auto session = session_of(server_material());
    const MutableBytes room = session->input_room();
    const Bytes bytes = std::as_bytes(std::span(text));
    std::copy(bytes.begin(), bytes.end(), room.begin());
    session->received(bytes.size());
    CHECK(session->handshake() == Step::failed);
    CHECK_FALSE(session->failure().empty());
    CHECK(session->output()[0] == std::byte{21});  // an alert
    CHECK(session->handshake() == Step::failed);
    std::byte byte;
    CHECK(session->read({&byte, 1}).step == Step::failed);
    const iovec part{&byte, 1};
    CHECK(session->write({&part, 1}) == -1);
    CHECK(session->input_room().size() == TlsSession::input_bytes);  // what still comes can be thrown away
  }
}

TEST_CASE("TLS session: a changed byte on the way ends it, and nothing behind it is delivered") {
  Pair pair(server_material(), verifying());
  REQUIRE(pair.handshake());
  pair.to_client();
  const auto good = some_bytes(100, 5);
  pair.client_sends(good);
  const size_t first_record = pair.client.out.size();
  pair.client_sends(good);
  pair.client.out[first_record + 20] ^= std::byte{1};
  CHECK(pair.read(200) == good);
  std::byte byte;
  CHECK(pair.server->read({&byte, 1}).step == Step::failed);
  pair.to_client();
  CHECK(pair.alert().find("MAC") != std::string::npos);
}

TEST_CASE("TLS session: an end that was announced is told from one that was not") {
  Pair pair(server_material(), verifying());
  REQUIRE(pair.handshake());
  const auto bytes = some_bytes(100, 6);
  pair.client_sends(bytes);
  gnutls_bye(pair.client.session(), GNUTLS_SHUT_WR);
  CHECK(pair.read(1'000) == bytes);
  CHECK(pair.step == Step::closed);
  // Our side still talks.
  const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  CHECK(pair.server->write({&part, 1}) == 100);
  pair.server->close();
  pair.server->close();
  CHECK(pair.server->write({&part, 1}) == -1);
  pair.to_client();
  CHECK(pair.client_reads(100) == bytes);
  std::byte byte;
  CHECK(gnutls_record_recv(pair.client.session(), &byte, 1) == 0);

  Pair cut(server_material(), verifying());
  REQUIRE(cut.handshake());
  cut.client_sends(bytes);
  cut.client.out.pop_back();
  CHECK(cut.read(1'000).empty());
  CHECK(cut.step == Step::wants_input);
}

TEST_CASE("TLS session: a renegotiation ends it with an alert") {
  TlsClientOptions options = verifying();
  options.priority = versions[1];
  Pair pair(server_material(), options);
  REQUIRE(pair.handshake());
  pair.to_client();
  CHECK(gnutls_handshake(pair.client.session()) == GNUTLS_E_AGAIN);
  CHECK(pair.read(10).empty());
  CHECK(pair.step == Step::failed);
  CHECK(pair.server->failure().find("renegotiation") != std::string::npos);
  CHECK(pair.server->has_output());
}

TEST_CASE("TLS session: a peer that asks for new keys and never listens costs a bounded room") {
  Pair pair(server_material(), verifying());
  REQUIRE(pair.handshake());
  pair.to_client();
  const auto byte = some_bytes(1, 7);
  size_t updates = 0;
  while (pair.step == Step::done && updates < 100'000) {
    pair.step = Step::done;
    REQUIRE(gnutls_session_key_update(pair.client.session(), GNUTLS_KU_PEER) >= 0);
    pair.client_sends(byte);
    updates++;
    const auto got = pair.read(1);
    if (got != byte) break;
    pair.step = Step::done;
  }
  CHECK(pair.step == Step::failed);
  CHECK(pair.server->output().size() <= TlsSession::output_bytes_max);
  INFO("ended after ", updates, ": ", pair.server->failure());
}

TEST_CASE("TLS session: handshakes that are cut, mixed up and overwritten at random fail or succeed, and never more") {
  const uint64_t first_seed = atl::test::test_seed();
  TlsMaterial material = asking(false);
  material.psk = test::psk_file;
  const test::Identity someone = good_ca().issue("someone", Purpose::client);
  for (uint64_t seed = first_seed; seed < first_seed + 60; seed++) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    TlsClientOptions options = showing(someone);
    options.priority = versions[random() % 2];
    Pair pair(material, options);
    pair.piece = 1 + random() % 400;
    for (int turn = 0; turn < 200 && pair.step != Step::failed; turn++) {
      if (pair.client_error == GNUTLS_E_AGAIN) pair.client_error = gnutls_handshake(pair.client.session());
      if (!pair.client.out.empty() && random() % 8 == 0)
        pair.client.out[random() % pair.client.out.size()] ^= static_cast<std::byte>(1 << random() % 8);
      if (random() % 32 == 0) pair.client.out.insert(pair.client.out.end(), random() % 300, std::byte(random()));
      pair.to_server();
      pair.step = pair.server->handshake();
      CHECK(pair.server->output().size() <= TlsSession::output_bytes_max);
      pair.to_client();
      if (pair.step == Step::done) {
        std::byte into[64];
        pair.server->read(into);
        break;
      }
    }
    CHECK((pair.step != Step::failed || !pair.server->failure().empty()));
  }
}

// ---- credentials ----

std::string complaint(const TlsMaterial& material) {
  const auto loaded = TlsCredentials::load(material);
  if (loaded) return "";
  CHECK(loaded.error().code == Code::invalid);
  return loaded.error().message;
}

TEST_CASE("TLS credentials: what is wrong with a file is said, without its secrets") {
  const TlsMaterial good = server_material();
  CHECK(complaint(good).empty());
  CHECK(complaint({}).find("needs a certificate") != std::string::npos);

  TlsMaterial bad = good;
  bad.key = good_ca().issue("localhost", Purpose::server).key;
  CHECK(complaint(bad).find("does not belong") != std::string::npos);
  bad.key = "nothing";
  CHECK(complaint(bad).find("private key cannot be read") != std::string::npos);
  bad.key.clear();
  CHECK(complaint(bad).find("no private key") != std::string::npos);
  bad = good;
  bad.certificate = "nothing";
  CHECK(complaint(bad).find("certificate cannot be read") != std::string::npos);
  bad = good;
  bad.client_ca = "nothing";
  CHECK(complaint(bad).find("CA") != std::string::npos);
  bad = good;
  bad.require_client_certificate = true;
  CHECK(complaint(bad).find("CA") != std::string::npos);
  bad = good;
  bad.priority = "NORMAL:+NONSENSE:+AES-128-GCM";
  CHECK(complaint(bad).find("\"+NONSENSE\"") != std::string::npos);

  TlsMaterial psk;
  const std::string key(32, 'a');
  for (const char* line : {"alice", ":00112233445566778899aabbccddeeff", "alice:0g112233445566778899aabbccddeeff",
                           "alice:00112233445566778899aabbccddeef", "#zz:00112233445566778899aabbccddeeff"}) {
    psk.psk = "bob:" + key + "\n" + line + "\n";
    CAPTURE(line);
    const std::string words = complaint(psk);
    CHECK(words.find("line 2") != std::string::npos);
    CHECK(words.find("0112233") == std::string::npos);
  }
  psk.psk = "alice:0011\n";
  CHECK(complaint(psk).find("too easy to guess") != std::string::npos);
  psk.psk = "alice:" + key + "\nalice:" + key + "\n";
  CHECK(complaint(psk).find("second time") != std::string::npos);
  psk.psk = "\n\n";
  CHECK(complaint(psk).find("no key") != std::string::npos);
  psk.psk = "#616c696365:" + key + "\r\n";
  CHECK(complaint(psk).empty());
  CHECK(load(psk)->psk_of("alice") != nullptr);
}

}  // namespace
}  // namespace atl
