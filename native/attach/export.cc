#include "attach/export.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "nbd/protocol.h"

namespace atl::attach {

using namespace atl::nbd;

Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

namespace {

constexpr timeval patience{10, 0};
constexpr uint32_t reply_bytes_max = 64u << 10;
// Of one option: the kinds of information that there are, and some that are to come.
constexpr int replies_max = 64;
constexpr size_t words_bytes_max = 200;

void set_patience(int fd, timeval time) {
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

Result<Socket> connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{Code::invalid, "the path is too long for a socket: " + path};
  std::memcpy(address.sun_path, path.data(), path.size());
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return Error::from_errno(errno, "socket");
  set_patience(socket.fd(), patience);
  if (::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno(errno, "connect to " + path);
  return socket;
}

Result<Socket> connect_tcp(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  if (error != 0) return Error{Code::not_found, host + ":" + port + ": " + ::gai_strerror(error)};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(list, ::freeaddrinfo);
  Error failure{Code::not_found, host + ": no address"};
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd() < 0) continue;
    set_patience(socket.fd(), patience);
    const int yes = 1;
    ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    if (::connect(socket.fd(), at->ai_addr, at->ai_addrlen) == 0) return socket;
    failure = Error::from_errno(errno, "connect to " + host + ":" + port);
  }
  return failure;
}

Result<void> send_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error::from_errno(n < 0 ? errno : EPIPE, "send to the server");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<void> receive_all(int fd, MutableBytes into) {
  while (!into.empty()) {
    const ssize_t n = ::recv(fd, into.data(), into.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno(errno, "receive from the server");
    if (n == 0) return Error{Code::io, "the server closed the connection during the handshake"};
    into = into.subspan(static_cast<size_t>(n));
  }
  return {};
}

/// NBD_OPT_GO or NBD_OPT_INFO with a request for the block sizes.
Result<void> ask(int fd, Option option, const std::string& name) {
  std::vector<std::byte> out;
  append_be(out, option_magic);
  append_be(out, option);
  append_be(out, static_cast<uint32_t>(4 + name.size() + 2 + 2));
  append_be(out, static_cast<uint32_t>(name.size()));
  append_text(out, name);
  append_be(out, uint16_t{1});
  append_be(out, Info::block_size);
  return send_all(fd, out);
}

/// What a server says is shown on a terminal and in logs.
std::string printable(std::string_view words) {
  std::string clean(words.substr(0, words_bytes_max));
  for (char& c : clean)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  return clean;
}

/// Reads the replies up to the last one.
Result<Export> answer(int fd, Option option, const std::string& name) {
  std::optional<Export> facts;
  uint32_t block_bytes_min = 1;
  for (int replies = 0;; replies++) {
    if (replies == replies_max) return Error{Code::invalid, "the server's replies do not come to an end"};
    std::byte head[20];
    if (Result<void> got = receive_all(fd, head); !got) return got.error();
    WireReader reader(head);
    const bool ours = reader.number<uint64_t>() == option_reply_magic && Option{reader.number<uint32_t>()} == option;
    const auto type = OptionReply{reader.number<uint32_t>()};
    const auto length = reader.number<uint32_t>();
    if (!ours || length > reply_bytes_max)
      return Error{Code::invalid, "the server's reply is not that of an NBD server"};
    std::vector<std::byte> data(length);
    if (Result<void> got = receive_all(fd, data); !got) return got.error();
    WireReader body(data);
    if (type == OptionReply::ack) break;
    if (type != OptionReply::info) {
      const std::string words = printable(body.text(length));
      const char* what = type == OptionReply::err_unknown ? "there is no such export" : "the server refuses the export";
      return Error{type == OptionReply::err_unknown ? Code::not_found : Code::busy,
                   name + ": " + what + (words.empty() ? "" : ": " + words)};
    }
    const auto info = Info{body.number<uint16_t>()};
    if (info == Info::export_) {
      facts.emplace();
      facts->size_bytes = body.number<uint64_t>();
      facts->flags = body.number<uint16_t>();
    } else if (info == Info::block_size) {
      block_bytes_min = body.number<uint32_t>();
    }
    if (!body.ok()) return Error{Code::invalid, "the server's reply is too short"};
  }
  if (!facts) return Error{Code::invalid, "the server did not say how large the export is"};
  facts->block_bytes_min = block_bytes_min;
  return *facts;
}

Result<OpenedExport> negotiate(const ExportUri& uri, Option option) {
  if (uri.tls) return Error{Code::unsupported, "expected a URI without TLS: nbd://… or nbd+unix://…"};
  Result<Socket> socket = uri.host.empty() ? connect_unix(uri.socket_path) : connect_tcp(uri.host, uri.port);
  if (!socket) return socket.error();
  const int fd = socket->fd();
  std::byte greeting[18];
  if (Result<void> got = receive_all(fd, greeting); !got) return got.error();
  WireReader reader(greeting);
  if (reader.number<uint64_t>() != init_magic || reader.number<uint64_t>() != option_magic)
    return Error{Code::invalid, "this is no NBD server, or one of the old style"};
  const auto flags = reader.number<uint16_t>();
  if ((flags & flag_fixed_newstyle) == 0) return Error{Code::unsupported, "the server is not of the fixed newstyle"};
  std::vector<std::byte> ours;
  append_be(ours, uint32_t{flags} & uint32_t{flag_fixed_newstyle | flag_no_zeroes});
  if (Result<void> sent = send_all(fd, ours); !sent) return sent.error();
  if (Result<void> sent = ask(fd, option, uri.name); !sent) return sent.error();
  Result<Export> facts = answer(fd, option, uri.name);
  if (!facts) return facts.error();
  // From here on the kernel reads and writes, as patiently as it likes.
  set_patience(fd, timeval{});
  return OpenedExport{std::move(*socket), *facts};
}

}  // namespace

Result<OpenedExport> open_export(const ExportUri& uri) { return negotiate(uri, Option::go); }

Result<Export> look_at_export(const ExportUri& uri) {
  Result<OpenedExport> seen = negotiate(uri, Option::info);
  if (!seen) return seen.error();
  return seen->facts;
}

}  // namespace atl::attach
