// extended_test.cc: extended headers: the option, requests of 64 bits, payloads, chunks, and ranges that take many steps.
#include <doctest/doctest.h>

#include "nbd/protocol/transmission.h"
#include "test/support/nbd_fixture.h"
#include "test/support/nbd_session.h"

namespace atl::nbd::test {
namespace {

constexpr uint64_t page = MemoryDevice::page_bytes;

uint16_t info_flags(const std::vector<OptionAnswer>& answers) {
  WireReader reader(answers.at(0).data);
  CHECK(reader.number<uint16_t>() == 0);
  reader.number<uint64_t>();
  return reader.number<uint16_t>();
}

TEST_CASE("handshake: EXTENDED_HEADERS with data, or a second time, is ERR_INVALID and changes nothing") {
  Session session;
  Wire data;
  data.u32(1);
  CHECK(is_error(session.option(Option::extended_headers, data), OptionReply::err_invalid));
  CHECK_FALSE(session.machine.negotiated().extended);
  CHECK(session.option(Option::extended_headers).back().type == OptionReply::ack);
  for (int i = 0; i < 2; i++) {
    CHECK(session.machine.negotiated().extended);
    CHECK(session.machine.negotiated().structured);
    CHECK(is_error(session.option(Option::extended_headers), OptionReply::err_invalid));
  }
}

TEST_CASE("handshake: extended headers follow structured replies, but not the other way round: ERR_EXT_HEADER_REQD") {
  Session session;
  CHECK(session.option(Option::structured_reply).back().type == OptionReply::ack);
  CHECK(session.option(Option::extended_headers).back().type == OptionReply::ack);
  CHECK(is_error(session.option(Option::structured_reply), OptionReply::err_ext_header_reqd));
  CHECK(session.machine.negotiated().extended);
  CHECK(session.option(Option::go, go_data("disk")).back().type == OptionReply::ack);
}

TEST_CASE("handshake: EXPORT_NAME after extended headers closes") {
  Session session;
  session.option(Option::extended_headers);
  Wire name, wire;
  name.text("disk");
  wire.option(Option::export_name, name);
  session.feed(wire);
  CHECK(session.machine.state() == Handshake::State::closed);
  CHECK(session.opens == 0);
}

TEST_CASE(
    "handshake: with extended headers INFO offers BLOCK_STATUS payloads; GO needs a context of this very export") {
  const auto offers = [](Session& session, Option option, std::string_view name) {
    return (info_flags(session.option(option, go_data(name))) & tflag_block_status_payload) != 0;
  };
  Session session;
  CHECK_FALSE(offers(session, Option::info, "disk"));
  session.option(Option::extended_headers);
  CHECK(offers(session, Option::info, "disk"));
  session.option(Option::set_meta_context, meta_data("disk", {base_allocation}));
  CHECK(offers(session, Option::info, "disk"));
  CHECK(offers(session, Option::info, "ro"));
  CHECK(offers(session, Option::go, "disk"));
  Session other;
  other.option(Option::extended_headers);
  other.option(Option::set_meta_context, meta_data("disk", {base_allocation}));
  CHECK_FALSE(offers(other, Option::go, "ro"));
  Session without;
  without.option(Option::extended_headers);
  CHECK_FALSE(offers(without, Option::go, "disk"));
  Session compact;
  compact.option(Option::structured_reply);
  compact.option(Option::set_meta_context, meta_data("disk", {base_allocation}));
  CHECK_FALSE(offers(compact, Option::info, "disk"));
  CHECK_FALSE(offers(compact, Option::go, "disk"));
}

TransmissionRules extended_rules() {
  TransmissionRules rules;
  rules.structured = rules.extended = true;
  for (uint32_t id : {1, 2, 3}) rules.contexts.push_back({{std::string(base_allocation), {}, {}}, id});
  return rules;
}

Wire extended_request(Command command, uint64_t cookie, uint64_t offset, uint64_t length, uint16_t flags = 0) {
  Wire wire;
  wire.u32(extended_request_magic).u16(flags).u16(static_cast<uint16_t>(command)).u64(cookie);
  return wire.u64(offset).u64(length);
}

TEST_CASE(
    "request: 32 bytes decode with a 64-bit length, which is the payload's length with PAYLOAD_LEN and for WRITE") {
  Wire wire = extended_request(Command::trim, 0x1122334455667788, 0xa1b2c3d4e5f60718, 0x0102030405060708, 1);
  Request request;
  REQUIRE(wire.bytes.size() == extended_request_bytes);
  REQUIRE(decode_request(wire.bytes.data(), true, request));
  CHECK(request.cookie == 0x1122334455667788);
  CHECK(request.offset == 0xa1b2c3d4e5f60718);
  CHECK(request.length == 0x0102030405060708);
  CHECK(request.payload == 0);
  CHECK_FALSE(decode_request(wire.bytes.data(), false, request));
  wire = extended_request(Command::trim, 1, 0, 77, cflag_payload_len);
  REQUIRE(decode_request(wire.bytes.data(), true, request));
  CHECK(request.payload == 77);
  for (uint16_t flags : {uint16_t{0}, cflag_fua, cflag_payload_len}) {
    wire = extended_request(Command::write, 1, 0, 77, flags);
    REQUIRE(decode_request(wire.bytes.data(), true, request));
    CHECK(request.payload == 77);
  }
}

TEST_CASE("judge: PAYLOAD_LEN is optional for WRITE and BLOCK_STATUS with extended headers, and EINVAL for the rest") {
  const auto verdict = [](Command command, uint16_t flags) {
    Request request;
    request.command = command;
    request.length = command == Command::flush ? 0 : 512;
    request.flags = flags;
    return judge(request, extended_rules(), 1 << 20).error;
  };
  CHECK(verdict(Command::write, 0) == NbdError::none);
  CHECK(verdict(Command::write, cflag_payload_len) == NbdError::none);
  CHECK(verdict(Command::block_status, cflag_payload_len) == NbdError::none);
  for (Command command : {Command::read, Command::flush, Command::trim, Command::cache, Command::write_zeroes})
    CHECK(verdict(command, cflag_payload_len) == NbdError::inval);
}

TEST_CASE("judge: ranges of 64 bits do not wrap around, and have no other limit than the export's end") {
  const uint64_t size = uint64_t{1} << 62;
  for (Command command : {Command::trim, Command::write_zeroes, Command::cache, Command::block_status}) {
    Request request;
    request.command = command;
    request.length = size;
    CHECK(judge(request, extended_rules(), size).accepted());
    request.offset = 1;
    CHECK_FALSE(judge(request, extended_rules(), size).accepted());
    request.length = UINT64_MAX;
    CHECK_FALSE(judge(request, extended_rules(), size).accepted());
    request.offset = UINT64_MAX;
    CHECK_FALSE(judge(request, extended_rules(), size).accepted());
  }
}

TEST_CASE("a status filter is an effect length and ids that were negotiated, each once; anything else is EINVAL") {
  const auto read = [](const Wire& wire, Request& request) {
    return read_status_filter(wire.bytes, extended_rules(), request).error;
  };
  Request request;
  CHECK(read(Wire{}.u64(1 << 20).u32(3).u32(1), request) == NbdError::none);
  CHECK(request.length == 1 << 20);
  CHECK(request.contexts == 5);
  CHECK(read(Wire{}.u64(1 << 20), request) == NbdError::inval);
  CHECK(read(Wire{}.u64(1 << 20).u16(1), request) == NbdError::inval);
  CHECK(read(Wire{}.u64(1 << 20).u32(4), request) == NbdError::inval);
  CHECK(read(Wire{}.u64(1 << 20).u32(2).u32(2), request) == NbdError::inval);
  CHECK(read(Wire{}.u32(1), request) == NbdError::inval);
}

// ---- over sockets ----

struct Chunk64 {
  uint16_t flags = 0;
  Chunk type{};
  uint64_t cookie = 0;
  uint64_t offset = 0;
  std::vector<std::byte> payload;
  NbdError error() const {
    return (static_cast<uint16_t>(type) & 0x8000) != 0 ? NbdError{load_be<uint32_t>(payload.data())} : NbdError::none;
  }
};

Chunk64 chunk(Client& client) {
  const std::vector<std::byte> head = client.receive(32);
  WireReader reader(head);
  CHECK(reader.number<uint32_t>() == extended_reply_magic);
  Chunk64 got;
  got.flags = reader.number<uint16_t>();
  got.type = Chunk{reader.number<uint16_t>()};
  got.cookie = reader.number<uint64_t>();
  got.offset = reader.number<uint64_t>();
  const auto length = reader.number<uint64_t>();
  REQUIRE(length <= (64u << 20) + 8);
  got.payload = client.receive(length);
  return got;
}

Chunk64 ask(Client& client, const Wire& wire) {
  client.send(wire);
  return chunk(client);
}

Client& enter_extended(Client& client, std::string_view name = "disk") {
  client.greet();
  REQUIRE(client.option(Option::extended_headers).back().type == OptionReply::ack);
  Wire data;
  data.string(name).u32(1).string(base_allocation);
  REQUIRE(client.option(Option::set_meta_context, data).back().type == OptionReply::ack);
  REQUIRE(client.go(name).back().type == OptionReply::ack);
  return client;
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("extended headers: every answer is an extended chunk with the request's cookie and offset") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  enter_extended(client);
  const auto data = pattern(5000, 3);
  Chunk64 got = ask(client, extended_request(Command::write, 7, 100, 5000, cflag_payload_len).append(data));
  CHECK(got.type == Chunk::none);
  CHECK(got.flags == chunk_done);
  CHECK(got.cookie == 7);
  CHECK(got.offset == 100);
  CHECK(got.payload.empty());
  got = ask(client, extended_request(Command::read, 8, 100, 5000));
  CHECK(got.type == Chunk::offset_data);
  CHECK(got.offset == 100);
  CHECK(load_be<uint64_t>(got.payload.data()) == 100);
  CHECK(std::equal(data.begin(), data.end(), got.payload.begin() + 8, got.payload.end()));
  got = ask(client, extended_request(Command::read, 9, 2 * page, page));
  CHECK(got.type == Chunk::offset_hole);
  CHECK(got.payload.size() == 12);
  for (Command command : {Command::trim, Command::write_zeroes, Command::cache})
    CHECK(ask(client, extended_request(command, 10, page, page)).type == Chunk::none);
  CHECK(ask(client, extended_request(Command::flush, 11, 0, 0)).type == Chunk::none);
  CHECK(ask(client, extended_request(Command::read, 12, World::disk_bytes, 1)).error() == NbdError::inval);
  CHECK(ask(client, extended_request(Command::trim, 13, 1, UINT64_MAX)).error() == NbdError::inval);
  CHECK(ask(client, extended_request(Command::write_zeroes, 14, 1, UINT64_MAX)).error() == NbdError::nospc);
}

TEST_CASE(
    "extended headers: a payload where none belongs is read past and EINVAL; one over the maximum ends the "
    "connection") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  enter_extended(client);
  const auto data = pattern(100'000, 3);
  for (Command command : {Command::read, Command::flush, Command::trim, Command::block_status, Command{99}}) {
    Chunk64 got = ask(client, extended_request(command, 7, 0, data.size(), cflag_payload_len).append(data));
    CHECK(got.error() == NbdError::inval);
    CHECK(got.cookie == 7);
  }
  CHECK(ask(client, extended_request(Command::flush, 9, 0, 0)).type == Chunk::none);
  Chunk64 got = ask(client, extended_request(Command::write, 10, 0, uint64_t{1} << 40, cflag_payload_len));
  CHECK(got.error() == NbdError::inval);
  CHECK(client.at_end());
}

TEST_CASE("extended headers: a WRITE without PAYLOAD_LEN, as QEMU sends it, stores its payload and does not run it") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  enter_extended(client);
  // Each payload holds a whole WRITE to another offset, at its very beginning. In one piece and in several.
  for (const uint32_t length : {4096u, 70'000u, 3u << 20}) {
    Wire crafted = extended_request(Command::write, 99, 8 << 20, 512);
    crafted.append(std::vector<std::byte>(512, std::byte{0xee}));
    crafted.bytes.resize(length);
    Chunk64 got = ask(client, extended_request(Command::write, 7, 0, length).append(crafted.bytes));
    CHECK(got.type == Chunk::none);
    CHECK(got.cookie == 7);
    got = ask(client, extended_request(Command::read, 8, 0, length, cflag_df));
    REQUIRE(got.type == Chunk::offset_data);
    CHECK(got.cookie == 8);
    CHECK(std::equal(crafted.bytes.begin(), crafted.bytes.end(), got.payload.begin() + 8, got.payload.end()));
    CHECK(ask(client, extended_request(Command::read, 9, 8 << 20, 512)).type == Chunk::offset_hole);
  }
}

TEST_CASE("extended headers: BLOCK_STATUS_EXT, with a filter for the contexts that are asked for") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  World world(kind);
  Client client = Client::unix_socket(world);
  enter_extended(client);
  CHECK(ask(client, extended_request(Command::write, 7, page, 512, cflag_payload_len).append(pattern(512, 1))).type ==
        Chunk::none);
  Wire filtered = extended_request(Command::block_status, 9, 0, 12, cflag_payload_len);
  filtered.u64(World::disk_bytes).u32(1);
  for (const Wire& wire : {extended_request(Command::block_status, 9, 0, World::disk_bytes), filtered}) {
    const Chunk64 got = ask(client, wire);
    CHECK(got.type == Chunk::block_status_ext);
    CHECK(got.flags == chunk_done);
    WireReader reader(got.payload);
    CHECK(reader.number<uint32_t>() == 1);
    CHECK(reader.number<uint32_t>() == 3);
    const uint64_t nothing = state_hole | state_zero;
    for (uint64_t expected : {page, nothing, page, uint64_t{0}, World::disk_bytes - 2 * page, nothing})
      CHECK(reader.number<uint64_t>() == expected);
    CHECK(reader.left() == 0);
  }
  Wire unknown = extended_request(Command::block_status, 9, 0, 12, cflag_payload_len);
  unknown.u64(page).u32(2);
  CHECK(ask(client, unknown).error() == NbdError::inval);
  Wire past = extended_request(Command::block_status, 9, 0, 12, cflag_payload_len);
  past.u64(UINT64_MAX).u32(1);
  CHECK(ask(client, past).error() == NbdError::inval);
  CHECK(ask(client, extended_request(Command::flush, 9, 0, 0)).type == Chunk::none);
}

TEST_CASE("a range longer than a step is done in steps that touch; with FUA one flush makes all of it durable") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.range_step_bytes = 4 * page;
  World world(kind, limits);
  world.at_home([&] {
    world.disk->allocate();
    world.disk->status_bytes_max = World::disk_bytes / 8;
  });
  Client client = Client::unix_socket(world);
  enter_extended(client);
  CHECK(ask(client, extended_request(Command::trim, 1, page, World::disk_bytes - 2 * page, cflag_fua)).type ==
        Chunk::none);
  CHECK(world.disk->flushes == 1);
  CHECK(world.disk->fua_writes == 0);
  const Chunk64 got = ask(client, extended_request(Command::block_status, 2, 0, World::disk_bytes));
  WireReader reader(got.payload);
  reader.number<uint32_t>();
  CHECK(reader.number<uint32_t>() == 3);
  CHECK(reader.number<uint64_t>() == page);
  reader.number<uint64_t>();
  CHECK(reader.number<uint64_t>() == World::disk_bytes - 2 * page);
  const Chunk64 one =
      ask(client, extended_request(Command::block_status, 3, page, World::disk_bytes - page, cflag_req_one));
  CHECK(load_be<uint64_t>(one.payload.data() + 8) == World::disk_bytes - 2 * page);
}

TEST_CASE("a discard of a whole disk that holds nothing is one step") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.range_step_bytes = 4096;
  World world(kind, limits);
  std::atomic<uint64_t> steps{0};
  std::atomic<uint64_t> bytes{0};
  world.delay([&](const MemoryDevice::Call& call) -> uint64_t {
    if (call.verb != MemoryDevice::Verb::trim && call.verb != MemoryDevice::Verb::write_zeroes) return 0;
    steps++;
    bytes += call.length;
    return 0;
  });
  Client client = Client::unix_socket(world);
  enter_extended(client);
  for (const Command command : {Command::trim, Command::write_zeroes, Command::cache})
    CHECK(ask(client, extended_request(command, 1, 5, World::disk_bytes - 9)).type == Chunk::none);
  // Not none: the device may be refusing changes, which it says of an empty range too.
  CHECK(steps == 2);
  CHECK(bytes == 0);
  CHECK(ask(client,
            extended_request(Command::write, 2, World::disk_bytes / 2, 512, cflag_payload_len).append(pattern(512, 1)))
            .type == Chunk::none);
  CHECK(ask(client, extended_request(Command::trim, 3, 0, World::disk_bytes)).type == Chunk::none);
  CHECK(bytes > 0);
  CHECK(bytes <= MemoryDevice::page_bytes);
}

TEST_CASE("a range of many steps stops when its client has left, and lets others have their turn before") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits;
  limits.range_step_bytes = 4096;
  World world(kind, limits);
  world.at_home([&] { world.disk->allocate(); });
  std::atomic<uint64_t> steps{0};
  world.delay([&](const MemoryDevice::Call& call) -> uint64_t {
    if (call.verb != MemoryDevice::Verb::trim) return 0;
    steps++;
    return 1'000'000;
  });
  {
    Client client = Client::unix_socket(world);
    enter_extended(client);
    client.send(extended_request(Command::trim, 1, 0, World::disk_bytes));  // 4,096 steps of a millisecond or more
    eventually([&] { return steps > 2; });
    Client other = Client::unix_socket(world);
    enter_extended(other);
    CHECK(ask(other, extended_request(Command::read, 2, 0, 512)).error() == NbdError::none);
  }
  eventually([&] { return world.resolver.leases == 0; });
  CHECK(steps < World::disk_bytes / 4096);
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
