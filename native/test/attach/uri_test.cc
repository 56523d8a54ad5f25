// uri_test.cc: the URIs that atoll-attach takes, and its messages about those that it does not.
#include <doctest/doctest.h>

#include <filesystem>

#include "attach/uri.h"

namespace atl::attach {
namespace {

TEST_CASE("attach: URIs of TCP have a host, a port or 10809, and a name that may be empty or percent-encoded") {
  struct Case {
    const char *text, *host, *port, *name;
  };
  for (const Case& each :
       {Case{"nbd://host:1234/name", "host", "1234", "name"}, Case{"nbd://host", "host", "10809", ""},
        Case{"nbd://host/", "host", "10809", ""}, Case{"nbd://[::1]/x", "::1", "10809", "x"},
        Case{"nbd://[fe80::1%eth0]:7/x", "fe80::1%eth0", "7", "x"},
        Case{"nbd://10.0.2.2:1/a%20b%2Fc%c3%A4", "10.0.2.2", "1", "a b/c\xc3\xa4"}}) {
    CAPTURE(each.text);
    const Result<ExportUri> uri = parse_uri(each.text);
    REQUIRE(uri.ok());
    CHECK(uri->host == each.host);
    CHECK(uri->port == each.port);
    CHECK(uri->name == each.name);
    CHECK(uri->socket_path.empty());
    CHECK_FALSE(uri->tls.has_value());
  }
}

TEST_CASE("attach: URIs of unix sockets have a path and a name; a relative path becomes absolute") {
  const Result<ExportUri> uri = parse_uri("nbd+unix:///the%20name?socket=/run/a%3fb.sock");
  REQUIRE(uri.ok());
  CHECK(uri->host.empty());
  CHECK(uri->name == "the name");
  CHECK(uri->socket_path == "/run/a?b.sock");
  const Result<ExportUri> relative = parse_uri("nbd+unix:///x?socket=a.sock");
  REQUIRE(relative.ok());
  CHECK(relative->socket_path == (std::filesystem::current_path() / "a.sock").string());
}

TEST_CASE("attach: URIs of TLS have the parameters of libnbd") {
  const Result<ExportUri> x509 =
      parse_uri("nbds://host/x?tls-certificates=/etc/pki/nbd&tls-hostname=other&tls-verify-peer=false");
  REQUIRE(x509.ok());
  REQUIRE(x509->tls.has_value());
  CHECK(x509->tls->certificates_dir == "/etc/pki/nbd");
  CHECK(x509->tls->hostname == "other");
  CHECK_FALSE(x509->tls->verify_peer);
  const Result<ExportUri> psk = parse_uri("nbds+unix://al%40ice@/x?socket=/s&tls-psk-file=/keys.psk");
  REQUIRE(psk.ok());
  REQUIRE(psk->tls.has_value());
  CHECK(psk->tls->psk_file == "/keys.psk");
  CHECK(psk->tls->user == "al@ice");
  CHECK(psk->tls->verify_peer);
  CHECK(psk->socket_path == "/s");
}

TEST_CASE("attach: the text of a URI is read as the same URI again") {
  for (const char* text :
       {"nbd://host:1234/na%0Ame", "nbd://[::1]:10809/", "nbd+unix:///a%20b?socket=/a%26b",
        "nbds://alice@host:10809/x?tls-psk-file=/k%3D", "nbds+unix:///x?socket=/s&tls-certificates=/c&tls-hostname=h",
        "nbds://host:10809/x?tls-verify-peer=false"}) {
    CAPTURE(text);
    const Result<ExportUri> uri = parse_uri(text);
    REQUIRE(uri.ok());
    CHECK(uri_text(*uri) == text);
  }
}

TEST_CASE("attach: a text that is not the URI of an export is invalid, with the reason") {
  struct Case {
    const char *text, *reason;
  };
  for (const Case& each : {Case{"", "expected nbd://"},
                           Case{"host:10809", "expected nbd://"},
                           Case{"NBD://host/x", "expected nbd://"},
                           Case{"nbd://", "expected HOST"},
                           Case{"nbd://:10809/x", "expected HOST"},
                           Case{"nbd://host:/x", "expected HOST"},
                           Case{"nbd://host:http/x", "expected HOST"},
                           Case{"nbd://host:123456/x", "expected HOST"},
                           Case{"nbd://[]/x", "expected HOST"},
                           Case{"nbd://[::1/x", "expected ] after ["},
                           Case{"nbd://[::1]x/y", "between ] and the port"},
                           Case{"nbd://host/x?socket=/y", "got \"socket\""},
                           Case{"nbd://host/%", "after %"},
                           Case{"nbd://host/%1", "after %"},
                           Case{"nbd://host/%gg", "after %"},
                           Case{"nbd://host/a%00b", "expected no NUL"},
                           Case{"nbd://host/a\nb", "without control characters"},
                           Case{"nbd://alice@host/x", "without TLS"},
                           Case{"nbd+unix:///x", "expected ?socket="},
                           Case{"nbd+unix:///x?socket=", "expected a path after socket="},
                           Case{"nbd+unix://host/x?socket=/y", "without a host"},
                           Case{"nbd+unix:///x?path=/y", "got \"path\""},
                           Case{"nbd+unix:///x?socket=/y&tls-psk-file=/z", "got \"tls-psk-file\""},
                           Case{"nbd+unix:///x?socket=/y&socket=/z", "expected one socket, got two"},
                           Case{"nbd+unix:///x?socket=%zz", "after %"},
                           Case{"nbds://host/x?tls-certificates=", "expected a path after tls-certificates="},
                           Case{"nbds://host/x?tls-hostname=", "expected a name"},
                           Case{"nbds://host/x?tls-verify-peer=no", "expected tls-verify-peer=true"},
                           Case{"nbds://host/x?tls-psk-file=/k", "expected USER@"},
                           Case{"nbds://alice@host/x", "expected tls-psk-file=FILE"},
                           Case{"nbds://a@h/x?tls-psk-file=/k&tls-certificates=/c", "got both"},
                           Case{"nbds://alice:secret@host/x", "expected no password"},
                           Case{"nbds://host/x?tls=1", "got \"tls\""}}) {
    CAPTURE(each.text);
    const Result<ExportUri> uri = parse_uri(each.text);
    REQUIRE_FALSE(uri.ok());
    CHECK(uri.error().code == Code::invalid);
    CHECK_MESSAGE(uri.error().message.find(each.reason) != std::string::npos, uri.error().message);
  }
}

}  // namespace
}  // namespace atl::attach
