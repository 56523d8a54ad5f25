// tls_test.cc: atoll-attach behind TLS, against a server that is GnuTLS itself: whom it trusts, and what its pump passes on.
#include <doctest/doctest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "attach/export.h"
#include "nbd/protocol/protocol.h"
#include "test/support/tls_fixture.h"

namespace atl::attach {
namespace {

using namespace atl::nbd;
using test::Identity;
using test::Purpose;

TEST_SUITE_BEGIN("threads");

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/atoll-attach-tls-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
    return path + "/" + name;
  }
  std::string path;
};

enum class Manner { good, no_tls, garbage_after_ack, closes_after_ack, leaves, stalls };

constexpr int stall_ms_max = 20'000;

/// Serves one client: STARTTLS, one export of 1 MiB, and then an echo of all that it is sent.
class TlsServer {
 public:
  TlsServer(const Folder& folder, bool psk, Manner manner = Manner::good)
      : manner_(manner), psk_(psk), listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    path = folder.path + "/s";
    key_file_ = folder.write("server.psk", test::psk_file);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::bind(listener_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.fd(), 1) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~TlsServer() { end(); }
  /// Returns whether the client said goodbye (close_notify).
  bool end() {
    if (thread_.joinable()) thread_.join();
    ::unlink(path.c_str());
    return goodbye_;
  }
  /// Returns whether the client ended the connection, which `stalls` waits for.
  bool saw_end() {
    end();
    return saw_end_;
  }
  std::string path;

 private:
  static bool read_all(int fd, void* into, size_t bytes) {
    return ::recv(fd, into, bytes, MSG_WAITALL) == ssize_t(bytes);
  }
  void serve() {
    const Socket client(::accept(listener_.fd(), nullptr, nullptr));
    const int fd = client.fd();
    std::vector<std::byte> said;
    append_be(said, init_magic);
    append_be(said, option_magic);
    append_be(said, uint16_t{flag_fixed_newstyle | flag_no_zeroes});
    ::send(fd, said.data(), said.size(), MSG_NOSIGNAL);
    std::byte heard[20];
    if (!read_all(fd, heard, sizeof heard)) return;
    said.clear();
    reply(said, Option::starttls, manner_ == Manner::no_tls ? OptionReply::err_unsup : OptionReply::ack, 0);
    if (manner_ == Manner::garbage_after_ack) append_text(said, std::string(100, 'x'));
    ::send(fd, said.data(), said.size(), MSG_NOSIGNAL);
    if (manner_ != Manner::no_tls && manner_ != Manner::closes_after_ack) speak_tls(fd);
  }
  static void reply(std::vector<std::byte>& said, Option option, OptionReply type, uint32_t length) {
    append_be(said, option_reply_magic);
    append_be(said, option);
    append_be(said, type);
    append_be(said, length);
  }
  void speak_tls(int fd) {
    gnutls_session_t session;
    gnutls_certificate_credentials_t certificates;
    gnutls_psk_server_credentials_t keys;
    gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
    gnutls_certificate_allocate_credentials(&certificates);
    gnutls_psk_allocate_server_credentials(&keys);
    if (psk_) {
      gnutls_psk_set_server_credentials_file(keys, key_file_.c_str());
      gnutls_credentials_set(session, GNUTLS_CRD_PSK, keys);
      gnutls_priority_set_direct(session, "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK", nullptr);
    } else {
      const TlsMaterial material = test::server_material();
      const auto datum = [](const std::string& text) {
        return gnutls_datum_t{reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), unsigned(text.size())};
      };
      const gnutls_datum_t certificate = datum(material.certificate), key = datum(material.key);
      gnutls_certificate_set_x509_key_mem(certificates, &certificate, &key, GNUTLS_X509_FMT_PEM);
      gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificates);
      gnutls_priority_set_direct(session, "NORMAL", nullptr);
    }
    gnutls_transport_set_int(session, fd);
    if (gnutls_handshake(session) == 0) serve_export(session, fd);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(certificates);
    gnutls_psk_free_server_credentials(keys);
  }
  void serve_export(gnutls_session_t session, int fd) {
    std::byte go[16 + 4 + 4 + 2 + 2];  // a name of four bytes
    for (size_t at = 0; at < sizeof go;) {
      const ssize_t n = gnutls_record_recv(session, go + at, sizeof go - at);
      if (n <= 0) return;
      at += size_t(n);
    }
    std::vector<std::byte> said;
    reply(said, Option::go, OptionReply::info, 12);
    append_be(said, Info::export_);
    append_be(said, uint64_t{1} << 20);
    append_be(said, uint16_t{tflag_has_flags});
    reply(said, Option::go, OptionReply::ack, 0);
    gnutls_record_send(session, said.data(), said.size());
    std::vector<std::byte> bytes(16 << 10);
    for (;;) {
      if (manner_ == Manner::leaves) return;
      if (manner_ == Manner::stalls) {
        // Takes nothing until the client has gone.
        pollfd polled{fd, POLLRDHUP, 0};
        saw_end_ = ::poll(&polled, 1, stall_ms_max) == 1 && (polled.revents & POLLRDHUP) != 0;
        return;
      }
      const ssize_t n = gnutls_record_recv(session, bytes.data(), bytes.size());
      goodbye_ = n == 0;
      if (n <= 0) return;
      for (ssize_t at = 0; at < n;) {
        const ssize_t sent = gnutls_record_send(session, bytes.data() + at, size_t(n - at));
        if (sent < 0) return;
        at += sent;
      }
    }
  }

  Manner manner_;
  bool psk_, goodbye_ = false, saw_end_ = false;
  std::string key_file_;
  Socket listener_;
  std::thread thread_;
};

ExportUri uri_of(const TlsServer& server, TlsSettings settings) {
  return ExportUri{"", "", server.path, "disk", std::move(settings)};
}

TlsSettings trusting(const Folder& folder, const test::TestCa& ca, const std::string& hostname) {
  folder.write("ca-cert.pem", ca.certificate());
  TlsSettings settings;
  settings.certificates_dir = folder.path;
  settings.hostname = hostname;
  return settings;
}

TlsSettings key_of(const std::string& user, const std::string& file) {
  TlsSettings settings;
  settings.user = user;
  settings.psk_file = file;
  return settings;
}

TEST_CASE("attach: TLS passes megabytes on in both directions at once, and ends with close_notify") {
  const Folder folder;
  for (const bool psk : {false, true}) {
    CAPTURE(psk);
    TlsServer server(folder, psk);
    {
      const std::string keys = folder.write("client.psk", std::string("bob:00\n") + test::psk_file);
      const Result<OpenedExport> opened =
          open_export(uri_of(server, psk ? key_of("alice", keys) : trusting(folder, test::good_ca(), "localhost")));
      REQUIRE_MESSAGE(opened.ok(), opened.error().message);
      CHECK(opened->facts.size_bytes == 1 << 20);
      std::vector<std::byte> sent(8 << 20), received(sent.size());
      std::mt19937_64 random(psk);
      for (std::byte& byte : sent) byte = std::byte(random());
      std::thread sender([&] {
        for (size_t at = 0; at < sent.size();) {
          const ssize_t n = ::send(opened->socket.fd(), sent.data() + at, sent.size() - at, MSG_NOSIGNAL);
          if (n <= 0) return;
          at += size_t(n);
        }
      });
      const ssize_t n = ::recv(opened->socket.fd(), received.data(), received.size(), MSG_WAITALL);
      sender.join();
      REQUIRE(n == ssize_t(received.size()));
      CHECK(received == sent);
    }
    CHECK(server.end());
  }
}

TEST_CASE("attach: when the server goes, the kernel's end of the connection ends") {
  const Folder folder;
  TlsServer server(folder, false, Manner::leaves);
  const Result<OpenedExport> opened = open_export(uri_of(server, trusting(folder, test::good_ca(), "localhost")));
  REQUIRE(opened.ok());
  std::byte nothing;
  CHECK(::recv(opened->socket.fd(), &nothing, 1, 0) == 0);
}

TEST_CASE("attach: when the kernel gives up on a server that takes nothing, the connection to the server ends") {
  const Folder folder;
  TlsServer server(folder, false, Manner::stalls);
  const Result<OpenedExport> opened = open_export(uri_of(server, trusting(folder, test::good_ca(), "localhost")));
  REQUIRE(opened.ok());
  // As the kernel ends a connection whose server takes nothing.
  std::vector<std::byte> much(8 << 20);
  while (::send(opened->socket.fd(), much.data(), much.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
    pollfd writable{opened->socket.fd(), POLLOUT, 0};
    if (::poll(&writable, 1, 100) == 0) break;
  }
  REQUIRE(::shutdown(opened->socket.fd(), SHUT_RDWR) == 0);
  CHECK(server.saw_end());
}

TEST_CASE("attach: a server of another authority or for another host is refused, unless it is not to be verified") {
  const Folder folder;
  struct Case {
    const test::TestCa& ca;
    const char* hostname;
    bool verify;
    const char* reason;  // null: it is taken
  };
  for (const Case& each :
       {Case{test::good_ca(), "localhost", true, nullptr}, Case{test::good_ca(), "", true, nullptr},
        Case{test::good_ca(), "elsewhere", true, "expected a certificate for \"elsewhere\""},
        Case{test::other_ca(), "localhost", true, "issuer"}, Case{test::other_ca(), "elsewhere", false, nullptr}}) {
    CAPTURE(each.hostname);
    TlsServer server(folder, false);
    TlsSettings settings = trusting(folder, each.ca, each.hostname);
    settings.verify_peer = each.verify;
    const Result<OpenedExport> opened = open_export(uri_of(server, settings));
    REQUIRE(opened.ok() == (each.reason == nullptr));
    if (!opened) CHECK_MESSAGE(opened.error().message.find(each.reason) != std::string::npos, opened.error().message);
  }
}

TEST_CASE("attach: a wrong key, a user without a key and files that are not there are errors") {
  const Folder folder;
  const std::string wrong = folder.write("wrong.psk", "alice:00112233445566778899aabbccddeeff\n");
  const std::string no_key = folder.write("no.psk", "alice:not hexadecimal\n");
  const Folder empty;
  TlsSettings without_ca;
  without_ca.certificates_dir = empty.path;
  struct Case {
    TlsSettings settings;
    const char* reason;
  };
  for (const Case& each :
       {Case{key_of("alice", wrong), "TLS: "}, Case{key_of("bob", wrong), "has no key of the user \"bob\""},
        Case{key_of("alice", no_key), no_key.c_str()}, Case{key_of("alice", "/nowhere"), "/nowhere"},
        Case{without_ca, "/ca-cert.pem"}}) {
    CAPTURE(each.reason);
    TlsServer server(folder, true);
    const Result<OpenedExport> opened = open_export(uri_of(server, each.settings));
    REQUIRE_FALSE(opened.ok());
    CHECK_MESSAGE(opened.error().message.find(each.reason) != std::string::npos, opened.error().message);
  }
}

TEST_CASE("attach: a server without TLS, and one whose TLS is none, get no export's name") {
  const Folder folder;
  struct Case {
    Manner manner;
    const char* reason;
  };
  for (const Case& each : {Case{Manner::no_tls, "does not offer TLS"}, Case{Manner::garbage_after_ack, "TLS: "},
                           Case{Manner::closes_after_ack, "TLS: "}}) {
    CAPTURE(each.reason);
    TlsServer server(folder, false, each.manner);
    const Result<OpenedExport> opened = open_export(uri_of(server, trusting(folder, test::good_ca(), "localhost")));
    REQUIRE_FALSE(opened.ok());
    CHECK_MESSAGE(opened.error().message.find(each.reason) != std::string::npos, opened.error().message);
  }
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::attach
