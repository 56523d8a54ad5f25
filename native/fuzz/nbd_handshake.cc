// nbd_handshake.cc: any bytes as a client's side of the handshake. In whatever pieces they arrive, the answers are the same, bounded,
// and the machine never stands still with input before it.
#include "fuzz/handshake_player.h"

namespace atl::fuzz {

void run(Bytes input) {
  Input in{input};
  const auto tls = static_cast<TlsMode>(in.u8() % 3);
  check_handshake(in.rest(), tls);
}

std::vector<std::string> seeds() {
  const auto option = [](uint32_t number, std::string data) {
    std::vector<std::byte> bytes;
    nbd::append_be(bytes, nbd::option_magic);
    nbd::append_be(bytes, number);
    nbd::append_be(bytes, static_cast<uint32_t>(data.size()));
    nbd::append_text(bytes, data);
    return std::string{text_of(bytes)};
  };
  const auto named = [](std::string_view name, std::string_view tail) {
    std::vector<std::byte> bytes;
    nbd::append_be(bytes, static_cast<uint32_t>(name.size()));
    nbd::append_text(bytes, name);
    nbd::append_text(bytes, tail);
    return std::string{text_of(bytes)};
  };
  const std::string flags{"\0\0\0\3", 4};
  const std::string tls_off{"\0", 1};
  const std::string query{"\0\0\0\1\0\0\0\17base:allocation", 23};
  std::vector<std::string> all;
  for (uint32_t number = 0; number < 12; number++) all.push_back(tls_off + flags + option(number, ""));
  all.push_back(tls_off + flags + option(1, "disk"));
  all.push_back(tls_off + flags + option(8, "") + option(10, named("disk", query)) +
                option(7, named("disk", {"\0\0", 2})));
  all.push_back(tls_off + flags + option(9, named("disk", {"\0\0\0\0", 4})) +
                option(6, named("disk", {"\0\1\0\3", 4})));
  all.push_back(std::string{"\1", 1} + flags + option(8, "") + option(5, "") + option(7, named("disk", {"\0\0", 2})));
  all.push_back(std::string{"\2", 1} + flags + option(3, "") + option(5, "") + option(3, "") + option(2, ""));
  return all;
}

}  // namespace atl::fuzz
