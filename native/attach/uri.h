// uri.h: where an export is, as the NBD project's doc/uri.md and libnbd write it.
//
//   nbd://HOST[:PORT]/NAME                     nbd+unix:///NAME?socket=PATH
//   nbds://[USER@]HOST[:PORT]/NAME?…           nbds+unix://[USER@]/NAME?socket=PATH&…
//   with TLS: tls-certificates=DIR, tls-psk-file=FILE, tls-hostname=NAME, tls-verify-peer=false
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace atl::attach {

struct TlsSettings {
  std::string certificates_dir;  // ca-cert.pem, client-cert.pem and client-key.pem; empty: the system's authorities
  std::string psk_file;          // lines of USER:HEXKEY; empty: certificates
  std::string user;              // whose key it is
  std::string hostname;          // that the server's certificate must be for; empty: the host of the address
  bool verify_peer = true;
};

struct ExportUri {
  std::string host;  // empty: a unix socket
  std::string port;
  std::string socket_path;
  std::string name;
  std::optional<TlsSettings> tls;
};

/// Paths become absolute. `invalid`: the text is not such a URI.
Result<ExportUri> parse_uri(std::string_view text);

/// Returns a text that parse_uri() reads as the same.
std::string uri_text(const ExportUri& uri);

struct Address {
  std::string host, port;
  bool operator==(const Address&) const = default;
};

/// "HOST", "HOST:PORT", "[IPv6]" or "[IPv6]:PORT"; the port defaults to 10809.
Result<Address> parse_address(std::string_view text);

}  // namespace atl::attach
