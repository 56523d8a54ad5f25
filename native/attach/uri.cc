#include "attach/uri.h"

namespace atl::attach {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low < 0) return Error{Code::invalid, "a % that two hexadecimal digits do not follow"};
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (decoded.find('\0') != std::string::npos) return Error{Code::invalid, "a NUL"};
  return decoded;
}

Result<ExportUri> parse_unix(std::string_view rest) {
  ExportUri uri;
  const size_t question = rest.find('?');
  constexpr std::string_view key = "socket=";
  if (!rest.starts_with('/') || question == std::string_view::npos)
    return Error{Code::invalid, "expected nbd+unix:///NAME?socket=PATH"};
  const std::string_view query = rest.substr(question + 1);
  if (!query.starts_with(key) || query.find('&') != std::string_view::npos)
    return Error{Code::invalid, "expected ?socket=PATH and nothing else"};
  Result<std::string> path = percent_decoded(query.substr(key.size()));
  if (!path) return path.error();
  if (path->empty()) return Error{Code::invalid, "an empty socket path"};
  Result<std::string> name = percent_decoded(rest.substr(1, question - 1));
  if (!name) return name.error();
  uri.socket_path = std::move(*path);
  uri.name = std::move(*name);
  return uri;
}

Result<ExportUri> parse_tcp(std::string_view rest) {
  ExportUri uri;
  const size_t slash = rest.find('/');
  std::string_view where = rest.substr(0, slash);
  const std::string_view path = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  if (path.find('?') != std::string_view::npos) return Error{Code::invalid, "a query, which nbd:// does not have"};
  uri.port = "10809";
  if (where.starts_with('[')) {
    const size_t end = where.find(']');
    if (end == std::string_view::npos) return Error{Code::invalid, "a [ without its ]"};
    uri.host = where.substr(1, end - 1);
    where.remove_prefix(end + 1);
    if (!where.empty() && where.front() != ':') return Error{Code::invalid, "something between ] and the port"};
    if (!where.empty()) uri.port = where.substr(1);
  } else {
    const size_t colon = where.find(':');
    uri.host = where.substr(0, colon);
    if (colon != std::string_view::npos) uri.port = where.substr(colon + 1);
  }
  if (uri.host.empty() || uri.port.empty()) return Error{Code::invalid, "expected nbd://HOST[:PORT]/NAME"};
  Result<std::string> name = percent_decoded(path);
  if (!name) return name.error();
  uri.name = std::move(*name);
  return uri;
}

}  // namespace

Result<ExportUri> parse_uri(std::string_view text) {
  constexpr std::string_view tcp = "nbd://", unix_socket = "nbd+unix://";
  const bool by_tcp = text.starts_with(tcp);
  if (text.starts_with("nbds"))
    return Error{Code::unsupported, "the kernel's NBD client speaks no TLS: attach in the clear, or through a tunnel"};
  if (!by_tcp && !text.starts_with(unix_socket))
    return Error{Code::invalid,
                 std::string(text) + ": expected nbd://HOST[:PORT]/NAME or nbd+unix:///NAME?socket=PATH"};
  Result<ExportUri> uri = by_tcp ? parse_tcp(text.substr(tcp.size())) : parse_unix(text.substr(unix_socket.size()));
  if (!uri) return Error{Code::invalid, std::string(text) + ": " + uri.error().message};
  return uri;
}

}  // namespace atl::attach
