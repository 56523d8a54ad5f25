// export_source_test.cc: which of several addresses of an export atoll-attach uses.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "attach/export_source.h"
#include "nbd/protocol/protocol.h"

namespace atl::attach {
namespace {

using namespace atl::nbd;

TEST_SUITE_BEGIN("threads");

constexpr uint16_t writable = tflag_has_flags, read_only = tflag_has_flags | tflag_read_only;

/// A server on a loopback port that answers the handshakes of all who come with its present size and flags.
class Server {
 public:
  explicit Server(uint16_t present_flags) : flags(present_flags), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_.fd(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(listener_.fd(), 8) == 0);
    socklen_t length = sizeof at;
    REQUIRE(::getsockname(listener_.fd(), reinterpret_cast<sockaddr*>(&at), &length) == 0);
    address = {"127.0.0.1", std::to_string(ntohs(at.sin_port))};
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    ::shutdown(listener_.fd(), SHUT_RDWR);
    thread_.join();
  }
  std::string text() const { return address.host + ":" + address.port; }

  Address address;
  std::atomic<uint64_t> size_bytes = 1 << 20;
  std::atomic<uint16_t> flags;
  std::atomic<bool> away = false;  // hangs up on clients
  std::atomic<int> clients = 0;

 private:
  void serve() {
    for (;;) {
      Socket client(::accept(listener_.fd(), nullptr, nullptr));
      if (client.fd() < 0) return;
      clients++;
      if (away) continue;
      std::vector<std::byte> said;
      append_be(said, init_magic);
      append_be(said, option_magic);
      append_be(said, uint16_t{flag_fixed_newstyle | flag_no_zeroes});
      ::send(client.fd(), said.data(), said.size(), MSG_NOSIGNAL);
      std::byte heard[4 + 8 + 4];  // client flags, magic, option
      if (::recv(client.fd(), heard, sizeof heard, MSG_WAITALL) != sizeof heard) continue;
      WireReader reader(heard);
      reader.number<uint32_t>();
      reader.number<uint64_t>();
      const auto option = Option{reader.number<uint32_t>()};
      said.clear();
      reply(said, option, OptionReply::info, 12);
      append_be(said, Info::export_);
      append_be(said, size_bytes.load());
      append_be(said, flags.load());
      reply(said, option, OptionReply::ack, 0);
      ::send(client.fd(), said.data(), said.size(), MSG_NOSIGNAL);
      served_.push_back(std::move(client));
    }
  }
  static void reply(std::vector<std::byte>& said, Option option, OptionReply type, uint32_t length) {
    append_be(said, option_reply_magic);
    append_be(said, option);
    append_be(said, type);
    append_be(said, length);
  }

  Socket listener_;
  std::vector<Socket> served_;
  std::thread thread_;
};

ExportSource source_of(const Server& first, const Server& second) {
  return ExportSource(ExportUri{first.address.host, first.address.port, "", "disk", {}}, {second.address}, 0);
}

Result<void> same_as_attached(const Export& now) {
  if (now.flags != writable) return Error{Code::invalid, "the flags have changed"};
  if (now.size_bytes < 1 << 20) return Error{Code::invalid, "the export has shrunk"};
  return {};
}

TEST_CASE("attach: an address whose export fails the check has failed, and does not become the current one") {
  Server first(writable), standby(read_only);
  ExportSource source = source_of(first, standby);
  first.away = true;
  const Result<OpenedExport> refused = source.open(same_as_attached);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Code::invalid);
  CHECK_MESSAGE(refused.error().message.starts_with(first.text() + ": "), refused.error().message);
  CHECK_MESSAGE(refused.error().message.ends_with("; " + standby.text() + ": the flags have changed"),
                refused.error().message);
  CHECK(source.current() == 0);

  first.away = false;
  CHECK(source.open(same_as_attached).ok());
  CHECK(source.current() == 0);

  // The first one turns into the standby.
  first.flags = read_only;
  standby.flags = writable;
  CHECK(source.open(same_as_attached).ok());
  CHECK(source.current() == 1);

  // From here the search goes around to the first.
  standby.size_bytes = 512;
  first.flags = writable;
  CHECK(source.open(same_as_attached).ok());
  CHECK(source.current() == 0);
}

TEST_CASE("attach: looking at an export asks the current address alone, and keeps it current") {
  Server first(writable), second(writable);
  ExportSource source = source_of(first, second);
  first.size_bytes = 2 << 20;
  const Result<Export> seen = source.look();
  REQUIRE(seen.ok());
  CHECK(seen->size_bytes == 2 << 20);
  first.away = true;
  CHECK_FALSE(source.look().ok());
  CHECK(second.clients == 0);
  CHECK(source.current() == 0);
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::attach
