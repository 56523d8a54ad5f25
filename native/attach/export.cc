#include "attach/export.h"

#include <sys/socket.h>

#include <optional>
#include <utility>
#include <vector>

#include "attach/handshake_stream.h"
#include "nbd/protocol/protocol.h"

namespace atl::attach {

using namespace atl::nbd;

namespace {

constexpr uint32_t reply_bytes_max = 64u << 10;
// Of one option: the kinds of information that there are, and some that are to come.
constexpr int replies_max = 64;
constexpr size_t words_bytes_max = 200;

/// NBD_OPT_GO or NBD_OPT_INFO with a request for the block sizes.
Result<void> ask(HandshakeStream& stream, Option option, const std::string& name) {
  std::vector<std::byte> out;
  append_be(out, option_magic);
  append_be(out, option);
  append_be(out, static_cast<uint32_t>(4 + name.size() + 2 + 2));
  append_be(out, static_cast<uint32_t>(name.size()));
  append_text(out, name);
  append_be(out, uint16_t{1});
  append_be(out, Info::block_size);
  return stream.send(out);
}

/// What a server says is shown on a terminal and in logs.
std::string printable(std::string_view words) {
  std::string clean(words.substr(0, words_bytes_max));
  for (char& c : clean)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  return clean;
}

struct Reply {
  OptionReply type;
  std::vector<std::byte> data;
};

Result<Reply> read_reply(HandshakeStream& stream, Option option) {
  std::byte head[20];
  if (Result<void> got = stream.receive(head); !got) return got.error();
  WireReader reader(head);
  const bool ours = reader.number<uint64_t>() == option_reply_magic && Option{reader.number<uint32_t>()} == option;
  const auto type = OptionReply{reader.number<uint32_t>()};
  const auto length = reader.number<uint32_t>();
  if (!ours || length > reply_bytes_max) return Error{Code::invalid, "the server's reply is not that of an NBD server"};
  Reply reply{type, std::vector<std::byte>(length)};
  if (Result<void> got = stream.receive(reply.data); !got) return got.error();
  return reply;
}

/// What the server says about its refusal.
std::string reason_in(const Reply& reply) {
  const std::string words = printable(WireReader(reply.data).text(reply.data.size()));
  return words.empty() ? "" : ": " + words;
}

/// Reads the replies up to the last one.
Result<Export> answer(HandshakeStream& stream, Option option, const std::string& name) {
  std::optional<Export> facts;
  uint32_t block_bytes_min = 1;
  for (int replies = 0;; replies++) {
    if (replies == replies_max) return Error{Code::invalid, "the server's replies do not come to an end"};
    const Result<Reply> reply = read_reply(stream, option);
    if (!reply) return reply.error();
    if (reply->type == OptionReply::ack) break;
    if (reply->type == OptionReply::err_tls_reqd)
      return Error{Code::busy, "the server requires TLS: use nbds:// in place of nbd://" + reason_in(*reply)};
    if (reply->type != OptionReply::info) {
      const bool unknown = reply->type == OptionReply::err_unknown;
      return Error{
          unknown ? Code::not_found : Code::busy,
          name + (unknown ? ": there is no such export" : ": the server refuses the export") + reason_in(*reply)};
    }
    WireReader body(reply->data);
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

/// Nothing that came before TLS counts any more.
Result<void> start_tls(HandshakeStream& stream, const ExportUri& uri) {
  std::vector<std::byte> out;
  append_be(out, option_magic);
  append_be(out, Option::starttls);
  append_be(out, uint32_t{0});
  if (Result<void> sent = stream.send(out); !sent) return sent;
  const Result<Reply> reply = read_reply(stream, Option::starttls);
  if (!reply) return reply.error();
  if (reply->type != OptionReply::ack)
    return Error{Code::unsupported, "the server does not offer TLS, which nbds:// requires" + reason_in(*reply)};
  return stream.start_tls(*uri.tls, uri.host);
}

struct Negotiated {
  HandshakeStream stream;
  Export facts;
};

Result<Negotiated> negotiate(const ExportUri& uri, Option option) {
  Result<Socket> socket = uri.host.empty() ? connect_unix(uri.socket_path) : connect_tcp(uri.host, uri.port);
  if (!socket) return socket.error();
  HandshakeStream stream(std::move(*socket));
  std::byte greeting[18];
  if (Result<void> got = stream.receive(greeting); !got) return got.error();
  WireReader reader(greeting);
  if (reader.number<uint64_t>() != init_magic || reader.number<uint64_t>() != option_magic)
    return Error{Code::invalid, "this is no NBD server, or one of the old style"};
  const auto flags = reader.number<uint16_t>();
  if ((flags & flag_fixed_newstyle) == 0) return Error{Code::unsupported, "the server is not of the fixed newstyle"};
  std::vector<std::byte> ours;
  append_be(ours, uint32_t{flags} & uint32_t{flag_fixed_newstyle | flag_no_zeroes});
  if (Result<void> sent = stream.send(ours); !sent) return sent.error();
  if (uri.tls)
    if (Result<void> started = start_tls(stream, uri); !started) return started.error();
  if (Result<void> sent = ask(stream, option, uri.name); !sent) return sent.error();
  Result<Export> facts = answer(stream, option, uri.name);
  if (!facts) return facts.error();
  return Negotiated{std::move(stream), *facts};
}

}  // namespace

Result<OpenedExport> open_export(const ExportUri& uri) {
  Result<Negotiated> done = negotiate(uri, Option::go);
  if (!done) return done.error();
  if (!uri.tls) return OpenedExport{done->stream.take_socket(), done->facts, nullptr};
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return Error::from_errno(errno, "socketpair");
  Socket kernels(pair[0]), ours(pair[1]);
  return OpenedExport{std::move(kernels), done->facts,
                      std::make_unique<TlsPump>(std::move(ours), done->stream.take_tls())};
}

Result<Export> look_at_export(const ExportUri& uri) {
  Result<Negotiated> seen = negotiate(uri, Option::info);
  if (!seen) return seen.error();
  return seen->facts;
}

}  // namespace atl::attach
