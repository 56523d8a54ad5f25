// export_test.cc: atoll-attach's side of the handshake with servers that say the right thing, the wrong thing, or half of it.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "attach/export.h"
#include "nbd/protocol/protocol.h"

namespace atl::attach {
namespace {

using namespace atl::nbd;
using Said = std::vector<std::byte>;

TEST_SUITE_BEGIN("threads");

/// A server that says these bytes to the one client that comes, whatever that says, and then ends its side of the stream.
class Speaker {
 public:
  explicit Speaker(Said said) : said_(std::move(said)), listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    char name[] = "/tmp/atoll-attach-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    dir_ = name;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().data(), path().size());
    REQUIRE(::bind(listener_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.fd(), 1) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Speaker() {
    thread_.join();
    ::unlink(path().c_str());
    ::rmdir(dir_.c_str());
  }
  Result<OpenedExport> opened() const { return open_export(ExportUri{"", "", path(), "disk", {}}); }

 private:
  std::string path() const { return dir_ + "/s"; }
  void serve() {
    const Socket client(::accept(listener_.fd(), nullptr, nullptr));
    for (size_t at = 0; at < said_.size();) {
      const ssize_t n = ::send(client.fd(), said_.data() + at, said_.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return;  // the client has heard enough
      at += static_cast<size_t>(n);
    }
    ::shutdown(client.fd(), SHUT_WR);
    std::byte heard[4096];
    while (::recv(client.fd(), heard, sizeof heard, 0) > 0) {
    }
  }

  Said said_;
  std::string dir_;
  Socket listener_;
  std::thread thread_;
};

Said greeting(uint64_t magic = option_magic, uint16_t flags = flag_fixed_newstyle | flag_no_zeroes) {
  Said said;
  append_be(said, init_magic);
  append_be(said, magic);
  append_be(said, flags);
  return said;
}

void reply(Said& said, OptionReply type, const Said& data = {}, Option option = Option::go, size_t length = SIZE_MAX,
           uint64_t magic = option_reply_magic) {
  append_be(said, magic);
  append_be(said, option);
  append_be(said, type);
  append_be(said, static_cast<uint32_t>(length == SIZE_MAX ? data.size() : length));
  said.insert(said.end(), data.begin(), data.end());
}

Said size_and_flags(uint64_t size_bytes) {
  Said data;
  append_be(data, Info::export_);
  append_be(data, size_bytes);
  append_be(data, uint16_t{tflag_has_flags | tflag_send_flush});
  return data;
}

Said words(const std::string& text) {
  Said data;
  append_text(data, text);
  return data;
}

/// What all goes well with.
Said good() {
  Said said = greeting(), block_sizes, name;
  append_be(block_sizes, Info::block_size);
  for (const uint32_t bytes : {512u, 4096u, 1u << 25}) append_be(block_sizes, bytes);
  append_be(name, Info::name);
  append_text(name, "another");
  reply(said, OptionReply::info, name);
  reply(said, OptionReply::info, size_and_flags(1 << 30));
  reply(said, OptionReply::info, block_sizes);
  reply(said, OptionReply::ack);
  return said;
}

TEST_CASE("attach: the handshake tells size, flags and block size, and passes over what it did not ask for") {
  const Speaker server(good());
  const Result<OpenedExport> opened = server.opened();
  REQUIRE(opened.ok());
  CHECK(opened->facts.size_bytes == 1 << 30);
  CHECK(opened->facts.flags == (tflag_has_flags | tflag_send_flush));
  CHECK(opened->facts.block_bytes_min == 512);
}

TEST_CASE("attach: a handshake that is cut anywhere is an error, and never an export") {
  const Said whole = good();
  for (size_t length = 0; length < whole.size(); length++) {
    CAPTURE(length);
    const Speaker server(Said(whole.begin(), whole.begin() + static_cast<long>(length)));
    CHECK_FALSE(server.opened().ok());
  }
}

TEST_CASE("attach: what a server says wrong is told as that") {
  struct Case {
    const char* reason;
    Code code;
    Said said;
  };
  std::vector<Case> cases;
  cases.push_back({"of the old style", Code::invalid, greeting(0x00420281861253)});
  cases.push_back({"no NBD server", Code::invalid, words("HTTP/1.1 400 Bad Request\r\n\r\n")});
  cases.push_back({"not of the fixed newstyle", Code::unsupported, greeting(option_magic, 0)});
  const auto after_greeting = [&](const char* reason, Code code, auto... arguments) {
    Said said = greeting();
    reply(said, arguments...);
    cases.push_back({reason, code, std::move(said)});
  };
  after_greeting("not that of an NBD server", Code::invalid, OptionReply::ack, Said{}, Option::list);
  after_greeting("not that of an NBD server", Code::invalid, OptionReply::info, Said{}, Option::go, size_t{0xffffffff});
  after_greeting("not that of an NBD server", Code::invalid, OptionReply::ack, Said{}, Option::go, size_t{0}, 12345);
  after_greeting("did not say how large", Code::invalid, OptionReply::ack);
  after_greeting("too short", Code::invalid, OptionReply::info, Said(1));
  after_greeting("too short", Code::invalid, OptionReply::info, Said(11));
  after_greeting("there is no such export: never heard of?[2J", Code::not_found, OptionReply::err_unknown,
                 words("never heard of\x1b[2J"));
  after_greeting("the server refuses the export", Code::busy, OptionReply::err_policy);
  after_greeting("the server requires TLS: use nbds://", Code::busy, OptionReply::err_tls_reqd);
  Said endless = greeting();
  for (int i = 0; i < 1000; i++) reply(endless, OptionReply::info, size_and_flags(512));
  cases.push_back({"do not come to an end", Code::invalid, std::move(endless)});

  for (Case& each : cases) {
    CAPTURE(each.reason);
    const Speaker server(std::move(each.said));
    const Result<OpenedExport> opened = server.opened();
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == each.code);
    CHECK_MESSAGE(opened.error().message.find(each.reason) != std::string::npos, opened.error().message);
    CHECK(opened.error().message.size() < 400);
  }
}

TEST_CASE("attach: a path that is too long for a socket, and one where nobody listens, are errors") {
  const Result<OpenedExport> long_one = open_export(ExportUri{"", "", std::string(200, 'x'), "disk", {}});
  REQUIRE_FALSE(long_one.ok());
  CHECK(long_one.error().code == Code::invalid);
  CHECK_FALSE(open_export(ExportUri{"", "", "/nowhere/at/all", "disk", {}}).ok());
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::attach
