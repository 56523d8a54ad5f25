#include "attach/uri.h"

#include <algorithm>
#include <filesystem>

namespace atl::attach {
namespace {

constexpr std::string_view default_port = "10809";
constexpr std::string_view forms = "nbd://HOST[:PORT]/NAME or nbd+unix:///NAME?socket=PATH, or nbds for TLS";

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
    if (low < 0) return Error{Code::invalid, "expected two hexadecimal digits after %"};
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (decoded.find('\0') != std::string::npos) return Error{Code::invalid, "expected no NUL"};
  return decoded;
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view plain = "-._~/";
  constexpr char digits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || plain.find(c) != std::string_view::npos)
      encoded += c;
    else
      encoded += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return encoded;
}

Result<std::string> path_from(std::string_view key, std::string_view value) {
  Result<std::string> path = percent_decoded(value);
  if (!path) return path;
  if (path->empty()) return Error{Code::invalid, std::string("expected a path after ") + std::string(key) + "="};
  // The keeper works in the root directory.
  return std::filesystem::absolute(*path).string();
}

Result<void> take_parameter(ExportUri& uri, std::string_view key, std::string_view value) {
  const auto set_path = [&](std::string& into) -> Result<void> {
    Result<std::string> path = path_from(key, value);
    if (!path) return path.error();
    into = std::move(*path);
    return {};
  };
  if (key == "socket" && uri.host.empty()) return set_path(uri.socket_path);
  if (uri.tls) {
    if (key == "tls-certificates") return set_path(uri.tls->certificates_dir);
    if (key == "tls-psk-file") return set_path(uri.tls->psk_file);
    if (key == "tls-hostname") {
      Result<std::string> hostname = percent_decoded(value);
      if (!hostname) return hostname.error();
      if (hostname->empty()) return Error{Code::invalid, "expected a name after tls-hostname="};
      uri.tls->hostname = std::move(*hostname);
      return {};
    }
    if (key == "tls-verify-peer") {
      if (value != "true" && value != "false")
        return Error{Code::invalid,
                     "expected tls-verify-peer=true or tls-verify-peer=false, got \"" + std::string(value) + "\""};
      uri.tls->verify_peer = value == "true";
      return {};
    }
  }
  const char* known = uri.tls
                          ? "socket (of a unix socket), tls-certificates, tls-psk-file, tls-hostname, tls-verify-peer"
                          : "socket (of a unix socket)";
  return Error{Code::invalid,
               std::string("expected one of the parameters ") + known + ", got \"" + std::string(key) + "\""};
}

Result<void> take_query(ExportUri& uri, std::string_view query) {
  std::string seen = "&";
  while (!query.empty()) {
    const std::string_view parameter = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(parameter.size() + 1, query.size()));
    const size_t equals = parameter.find('=');
    const std::string_view key = parameter.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view{} : parameter.substr(equals + 1);
    const std::string mark = std::string(key) + "&";
    if (seen.find("&" + mark) != std::string::npos)
      return Error{Code::invalid, "expected one " + std::string(key) + ", got two"};
    seen += mark;
    if (Result<void> taken = take_parameter(uri, key, value); !taken) return taken;
  }
  return {};
}

Result<void> take_authority(ExportUri& uri, std::string_view authority, bool unix_socket) {
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    if (!uri.tls) return Error{Code::invalid, "expected no USER@ without TLS"};
    const std::string_view user = authority.substr(0, at);
    if (user.find(':') != std::string_view::npos) return Error{Code::invalid, "expected no password before @"};
    Result<std::string> decoded = percent_decoded(user);
    if (!decoded) return decoded.error();
    uri.tls->user = std::move(*decoded);
    authority.remove_prefix(at + 1);
  }
  if (unix_socket) {
    if (authority.empty()) return {};
    return Error{Code::invalid, "expected nbd+unix:///NAME?socket=PATH, without a host"};
  }
  Result<Address> address = parse_address(authority);
  if (!address) return address.error();
  uri.host = std::move(address->host);
  uri.port = std::move(address->port);
  return {};
}

Result<ExportUri> parse(std::string_view rest, bool unix_socket, bool tls) {
  ExportUri uri;
  if (tls) uri.tls.emplace();
  const size_t question = rest.find('?');
  const std::string_view query = question == std::string_view::npos ? std::string_view{} : rest.substr(question + 1);
  rest = rest.substr(0, question);
  const size_t slash = rest.find('/');
  if (Result<void> taken = take_authority(uri, rest.substr(0, slash), unix_socket); !taken) return taken.error();
  Result<std::string> name =
      percent_decoded(slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1));
  if (!name) return name.error();
  uri.name = std::move(*name);
  if (Result<void> taken = take_query(uri, query); !taken) return taken.error();
  if (unix_socket && uri.socket_path.empty()) return Error{Code::invalid, "expected ?socket=PATH"};
  if (!tls) return uri;
  const bool psk = !uri.tls->psk_file.empty();
  if (psk && uri.tls->user.empty())
    return Error{Code::invalid, "expected USER@ before the host: tls-psk-file has keys of several users"};
  if (!psk && !uri.tls->user.empty()) return Error{Code::invalid, "expected tls-psk-file=FILE with the key of USER@"};
  if (psk && !uri.tls->certificates_dir.empty())
    return Error{Code::invalid, "expected tls-certificates or tls-psk-file, got both"};
  return uri;
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  Address address{std::string(text), std::string(default_port)};
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return Error{Code::invalid, "expected ] after ["};
    address.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    if (!text.empty() && text.front() != ':') return Error{Code::invalid, "expected : between ] and the port"};
    has_port = !text.empty();
    if (has_port) port = text.substr(1);
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    address.host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  if (has_port) address.port = port;
  const bool number = address.port.find_first_not_of("0123456789") == std::string::npos;
  if (address.host.empty() || address.port.empty() || address.port.size() > 5 || !number)
    return Error{Code::invalid, "expected HOST or HOST:PORT"};
  return address;
}

Result<ExportUri> parse_uri(std::string_view text) {
  // Texts of users go to logs, and to files of lines.
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }))
    return Error{Code::invalid, "expected a URI without control characters"};
  for (const bool tls : {false, true}) {
    for (const bool unix_socket : {false, true}) {
      const std::string scheme = std::string(tls ? "nbds" : "nbd") + (unix_socket ? "+unix" : "") + "://";
      if (!text.starts_with(scheme)) continue;
      Result<ExportUri> uri = parse(text.substr(scheme.size()), unix_socket, tls);
      if (!uri) return Error{Code::invalid, uri.error().message + ", in \"" + std::string(text) + "\""};
      return uri;
    }
  }
  return Error{Code::invalid, "expected " + std::string(forms) + ", got \"" + std::string(text) + "\""};
}

std::string uri_text(const ExportUri& uri) {
  std::string text = uri.tls ? "nbds" : "nbd";
  text += uri.host.empty() ? "+unix://" : "://";
  if (uri.tls && !uri.tls->user.empty()) text += percent_encoded(uri.tls->user) + "@";
  if (!uri.host.empty()) {
    const bool bracketed = uri.host.find(':') != std::string::npos;
    text += (bracketed ? "[" + uri.host + "]" : uri.host) + ":" + uri.port;
  }
  text += "/" + percent_encoded(uri.name);
  char separator = '?';
  const auto add = [&](std::string_view key, const std::string& value) {
    if (value.empty()) return;
    text += separator;
    text += std::string(key) + "=" + percent_encoded(value);
    separator = '&';
  };
  add("socket", uri.socket_path);
  if (uri.tls) {
    add("tls-certificates", uri.tls->certificates_dir);
    add("tls-psk-file", uri.tls->psk_file);
    add("tls-hostname", uri.tls->hostname);
    add("tls-verify-peer", uri.tls->verify_peer ? "" : "false");
  }
  return text;
}

}  // namespace atl::attach
