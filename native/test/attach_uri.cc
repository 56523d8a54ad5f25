// attach_uri.cc: what atoll-attach takes for the URI of an export, and what it says of what it does not.
#include <doctest/doctest.h>

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
  }
}

TEST_CASE("attach: URIs of unix sockets have a path and a name") {
  const Result<ExportUri> uri = parse_uri("nbd+unix:///the%20name?socket=/run/a%3fb.sock");
  REQUIRE(uri.ok());
  CHECK(uri->host.empty());
  CHECK(uri->name == "the name");
  CHECK(uri->socket_path == "/run/a?b.sock");
}

TEST_CASE("attach: what is no URI of an export is invalid, and TLS unsupported, with the reason") {
  struct Case {
    const char *text, *reason;
    Code code = Code::invalid;
  };
  for (const Case& each : {Case{"", "expected nbd://"},
                           Case{"host:10809", "expected nbd://"},
                           Case{"NBD://host/x", "expected nbd://"},
                           Case{"nbd://", "expected nbd://HOST"},
                           Case{"nbd://:10809/x", "expected nbd://HOST"},
                           Case{"nbd://host:/x", "expected nbd://HOST"},
                           Case{"nbd://[]/x", "expected nbd://HOST"},
                           Case{"nbd://[::1/x", "a [ without its ]"},
                           Case{"nbd://[::1]x/y", "between ] and the port"},
                           Case{"nbd://host/x?socket=/y", "a query"},
                           Case{"nbd://host/%", "a %"},
                           Case{"nbd://host/%1", "a %"},
                           Case{"nbd://host/%gg", "a %"},
                           Case{"nbd://host/a%00b", "a NUL"},
                           Case{"nbd+unix:///x", "expected nbd+unix"},
                           Case{"nbd+unix:///x?socket=", "an empty socket path"},
                           Case{"nbd+unix://host/x?socket=/y", "expected nbd+unix"},
                           Case{"nbd+unix:///x?path=/y", "expected ?socket="},
                           Case{"nbd+unix:///x?socket=/y&tls=1", "nothing else"},
                           Case{"nbd+unix:///x?socket=%zz", "a %"},
                           Case{"nbds://host/x", "speaks no TLS", Code::unsupported},
                           Case{"nbds+unix:///x?socket=/y", "speaks no TLS", Code::unsupported}}) {
    CAPTURE(each.text);
    const Result<ExportUri> uri = parse_uri(each.text);
    REQUIRE_FALSE(uri.ok());
    CHECK(uri.error().code == each.code);
    CHECK_MESSAGE(uri.error().message.find(each.reason) != std::string::npos, uri.error().message);
  }
}

}  // namespace
}  // namespace atl::attach
