// device_state_test.cc: a keeper's record of its device, as text.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "attach/device_state.h"

namespace atl::attach {
namespace {

DeviceState example() {
  DeviceState state;
  state.uri = *parse_uri("nbds://alice@[::1]:7/na%0Ame?tls-psk-file=/keys");
  state.more_addresses = {{"other", "10809"}, {"fe80::1", "1"}};
  state.address_in_use = 2;
  state.connections = 4;
  state.device.index = 17;
  state.device.facts.size_bytes = 1ull << 50;
  state.device.facts.flags = 0x16d;
  state.device.block_bytes = 4096;
  state.device.timeout_s = 3;
  state.device.dead_timeout_s = 600;
  state.connected_by = "123@boot";
  return state;
}

TEST_CASE("attach: the record of a device is read as it was written") {
  const std::string text = state_text(example());
  const Result<DeviceState> state = parse_state(text);
  REQUIRE(state.ok());
  CHECK(state_text(*state) == text);
  CHECK(state->uri.name == "na\nme");
  CHECK(state->more_addresses == example().more_addresses);
  CHECK(state->address_in_use == 2);
  CHECK(state->connections == 4);
  CHECK(state->device.index == 17);
  CHECK(state->device.facts.size_bytes == 1ull << 50);
  CHECK(state->device.facts.flags == 0x16d);
  CHECK(state->connected_by == "123@boot");
}

TEST_CASE("attach: a record that is cut anywhere, or has a line of another kind, is damaged") {
  const std::string text = state_text(example());
  for (size_t length = 0; length < text.size(); length++) {
    CAPTURE(length);
    CHECK_FALSE(parse_state(text.substr(0, length)).ok());
  }
  for (const char* line : {"unknown 1\n", "flags 65536\n", "connections -1\n", "connections\n", "address_in_use 3\n",
                           "uri http://x\n", "\n"}) {
    CAPTURE(line);
    std::string wrong = text;
    wrong.insert(wrong.size() - std::string("end\n").size(), line);
    const Result<DeviceState> state = parse_state(wrong);
    REQUIRE_FALSE(state.ok());
    CHECK(state.error().code == Code::corrupt);
  }
}

TEST_CASE("attach: a device that is taken over with other addresses keeps the one in use if it is among them") {
  struct Case {
    const char* uri;
    std::vector<Address> more_addresses;
    uint32_t in_use;
  };
  for (const Case& each :
       {Case{"nbd://a:1/disk", {{"fe80::1", "1"}, {"other", "10809"}}, 1},
        Case{"nbd://a:1/disk", {{"other", "10809"}, {"fe80::1", "1"}}, 2},
        Case{"nbd://[fe80::1]:1/disk", {{"other", "10809"}}, 0}, Case{"nbd://[fe80::1]:1/disk", {{"fe80::1", "1"}}, 0},
        Case{"nbd://a:1/disk", {{"fe80::1", "2"}}, 0}, Case{"nbd://a:1/disk", {}, 0}}) {
    CAPTURE(each.uri);
    DeviceState state = example();  // whose second further address is in use
    set_addresses(state, *parse_uri(each.uri), each.more_addresses);
    CHECK(state.address_in_use == each.in_use);
    CHECK(uri_text(state.uri) == each.uri);
    CHECK(state.more_addresses == each.more_addresses);
    // Once more the other way, from the URI's own address.
    state.address_in_use = 0;
    set_addresses(state, *parse_uri("nbd://elsewhere/disk"), {{"x", "1"}, {state.uri.host, state.uri.port}});
    CHECK(state.address_in_use == 2);
  }
}

TEST_CASE("attach: a device's record is removed by the keeper that wrote it, and not by a former one") {
  char folder[] = "/tmp/atoll-attach-state-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/atoll-attach-nbd17.state";
  REQUIRE(save_state(example(), folder).ok());
  for (const char* other : {"124@boot", "123@another boot", ""}) {
    CAPTURE(other);
    remove_state(17, other, folder);
    CHECK(std::filesystem::exists(path));
  }
  remove_state(16, "123@boot", folder);
  CHECK(std::filesystem::exists(path));
  remove_state(17, "123@boot", folder);
  CHECK_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace atl::attach
