// payloads_test.cc: no byte of a payload is ever parsed as a request, whatever becomes of the request that it belongs to.
//
// Every payload here is made of whole WRITE requests to the canary, so a server that loses count of one either overwrites the canary or
// leaves the next request unanswered.
#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <set>

#include "base/async.h"
#include "nbd/protocol/transmission.h"
#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

constexpr uint64_t canary_at = 8u << 20;
constexpr uint32_t canary_bytes = 512;
constexpr uint64_t poison_cookie = 0xbad;
constexpr uint32_t payload_max = 64u << 10;

enum class Form : uint8_t { simple, structured, extended };
constexpr Form forms[] = {Form::simple, Form::structured, Form::extended};
const char* name_of(Form form) {
  return form == Form::simple ? "simple" : form == Form::structured ? "structured" : "extended";
}

Wire header(Form form, Command command, uint16_t flags, uint64_t cookie, uint64_t offset, uint64_t length) {
  Wire wire;
  wire.u32(form == Form::extended ? extended_request_magic : request_magic);
  wire.u16(flags).u16(static_cast<uint16_t>(command)).u64(cookie).u64(offset);
  return form == Form::extended ? wire.u64(length) : wire.u32(static_cast<uint32_t>(length));
}

/// What a client sends after the header: with extended headers PAYLOAD_LEN announces a payload for any command, and a WRITE has one
/// without it too (QEMU).
bool carries_payload(Form form, Command command, uint16_t flags) {
  return command == Command::write || (form == Form::extended && (flags & cflag_payload_len) != 0);
}

std::vector<std::byte> crafted(Form form, size_t bytes) {
  const std::vector<std::byte> body(canary_bytes, std::byte{0xee});
  Wire wire;
  while (wire.bytes.size() < bytes)
    wire.append(header(form, Command::write, 0, poison_cookie, canary_at, canary_bytes).bytes).append(body);
  wire.bytes.resize(bytes);
  return wire.bytes;
}

/// A connection, and its requests that are not answered yet.
struct Peer {
  Client client;
  Form form;
  uint64_t last_cookie = 0;
  std::map<uint64_t, std::pair<Command, uint64_t>> asked{};  // by cookie: the command and its length

  struct Answer {
    NbdError error = NbdError::none;
    std::vector<std::byte> data;  // of a READ
  };

  Peer(const World& world, Form of, std::string_view name, bool contexts)
      : client(Client::unix_socket(world)), form(of) {
    client.greet();
    if (form == Form::structured) REQUIRE(client.option(Option::structured_reply).back().type == OptionReply::ack);
    if (form == Form::extended) REQUIRE(client.option(Option::extended_headers).back().type == OptionReply::ack);
    if (contexts && form != Form::simple) {
      Wire data;
      data.string(name).u32(1).string(base_allocation);
      REQUIRE(client.option(Option::set_meta_context, data).back().type == OptionReply::ack);
    }
    Wire data;
    data.string(name).u16(1).u16(static_cast<uint16_t>(Info::block_size));
    REQUIRE(client.option(Option::go, data).back().type == OptionReply::ack);
  }

  /// Adds a request to `wire`, with the payload that belongs to it; returns its cookie.
  uint64_t add(Wire& wire, Command command, uint16_t flags, uint64_t offset, uint64_t length) {
    const uint64_t cookie = ++last_cookie << 16;
    wire.append(header(form, command, flags, cookie, offset, length).bytes);
    if (carries_payload(form, command, flags)) wire.append(crafted(form, length));
    asked[cookie] = {command, length};
    return cookie;
  }
  uint64_t send(Command command, uint16_t flags, uint64_t offset, uint64_t length) {
    Wire wire;
    const uint64_t cookie = add(wire, command, flags, offset, length);
    client.send(wire);
    return cookie;
  }

  /// Reads replies until all that was asked is answered; each must be an answer to something that was asked.
  std::map<uint64_t, Answer> answers(size_t unanswered = 0) {
    std::map<uint64_t, Answer> got;
    while (asked.size() > unanswered) {
      const auto magic = load_be<uint32_t>(client.receive(4).data());
      if (form == Form::simple) {
        REQUIRE(magic == simple_reply_magic);
        const std::vector<std::byte> head = client.receive(12);
        const uint64_t cookie = load_be<uint64_t>(head.data() + 4);
        REQUIRE(asked.count(cookie) == 1);
        Answer& answer = got[cookie];
        answer.error = NbdError{load_be<uint32_t>(head.data())};
        if (asked[cookie].first == Command::read && answer.error == NbdError::none)
          answer.data = client.receive(asked[cookie].second);
        asked.erase(cookie);
        continue;
      }
      const bool extended = form == Form::extended;
      // All but READ may be answered by a simple reply where structured ones are on.
      if (!extended && magic == simple_reply_magic) {
        const std::vector<std::byte> head = client.receive(12);
        const uint64_t cookie = load_be<uint64_t>(head.data() + 4);
        REQUIRE(asked.count(cookie) == 1);
        CHECK(asked[cookie].first != Command::read);
        got[cookie].error = NbdError{load_be<uint32_t>(head.data())};
        asked.erase(cookie);
        continue;
      }
      REQUIRE(magic == (extended ? extended_reply_magic : structured_reply_magic));
      const std::vector<std::byte> head = client.receive(extended ? 28 : 16);
      WireReader reader(head);
      const auto flags = reader.number<uint16_t>();
      const auto type = Chunk{reader.number<uint16_t>()};
      const auto cookie = reader.number<uint64_t>();
      REQUIRE(asked.count(cookie) == 1);
      if (extended) reader.number<uint64_t>();
      const uint64_t bytes = extended ? reader.number<uint64_t>() : reader.number<uint32_t>();
      REQUIRE(bytes <= payload_max + 8);
      const std::vector<std::byte> payload = client.receive(bytes);
      Answer& answer = got[cookie];
      if (type == Chunk::error || type == Chunk::error_offset)
        answer.error = NbdError{load_be<uint32_t>(payload.data())};
      if (type == Chunk::offset_data) answer.data.insert(answer.data.end(), payload.begin() + 8, payload.end());
      if (type == Chunk::offset_hole) answer.data.resize(answer.data.size() + load_be<uint32_t>(payload.data() + 8));
      if ((flags & chunk_done) != 0) asked.erase(cookie);
    }
    return got;
  }
};

struct Case {
  const char* name;
  const char* disk;
  uint64_t offset;
  uint64_t length;
  bool contexts = true;
  bool revoked = false;
};

constexpr uint64_t end_of_disk = World::disk_bytes;
constexpr Case cases[] = {
    {"nothing is wrong", "disk", 0, 2048},
    {"a payload as short as a filter", "disk", 0, 64},
    {"no payload at all", "disk", 0, 0},
    {"a read-only export", "ro", 0, 2048},
    {"past the end", "disk", end_of_disk - 512, 2048},
    {"misaligned", "blocks", 4096, 2048},
    {"too long", "disk", 0, payload_max + 512},
    {"no contexts", "disk", 0, 2048, false},
    {"no contexts, and as short as a filter", "disk", 0, 64, false},
};
constexpr Case revoked_cases[] = {
    {"revoked", "disk", 0, 2048, true, true},
    {"revoked, and as short as a filter", "disk", 0, 64, true, true},
    {"revoked and past the end", "disk", end_of_disk - 512, 2048, true, true},
};

std::vector<Command> every_command() {
  std::vector<Command> all;
  for (uint16_t number = 0; number < command_kinds; number++) all.push_back(Command{number});
  for (uint16_t number : {8, 9, 77, 0xffff}) all.push_back(Command{number});
  return all;
}

/// None, each alone, and each with PAYLOAD_LEN.
std::set<uint16_t> every_flag() {
  std::set<uint16_t> all{0};
  for (int bit = 0; bit < 16; bit++) {
    all.insert(static_cast<uint16_t>(1 << bit));
    all.insert(static_cast<uint16_t>(1 << bit | cflag_payload_len));
  }
  return all;
}

bool ends_connection(Form form, const Case& at, Command command, uint16_t flags) {
  return form == Form::extended && !at.revoked && carries_payload(form, command, flags) && at.length > payload_max;
}

/// What docs/reference/nbd.md ("Errors") promises.
NbdError expected(Form form, const Case& at, Command command, uint16_t flags) {
  const bool structured = form != Form::simple;
  const bool payload = form == Form::extended && (flags & cflag_payload_len) != 0;
  if (at.revoked) return NbdError::shutdown;
  if (ends_connection(form, at, command, flags)) return NbdError::inval;
  if (static_cast<uint16_t>(command) >= command_kinds) return NbdError::inval;
  // The crafted payload is no filter.
  if (command == Command::block_status && payload && at.length > 0) return NbdError::inval;
  const bool writes = command == Command::write || command == Command::write_zeroes;
  if (std::string_view(at.disk) == "ro" && (writes || command == Command::trim)) return NbdError::perm;
  uint16_t legal = cflag_fua;
  if (command == Command::read && structured) legal |= cflag_df;
  if (command == Command::write_zeroes) legal |= cflag_no_hole | cflag_fast_zero;
  if (command == Command::block_status) legal |= cflag_req_one;
  if (form == Form::extended && (command == Command::write || command == Command::block_status))
    legal |= cflag_payload_len;
  if ((flags & ~legal) != 0) return NbdError::inval;
  if (command == Command::flush) return at.offset == 0 && at.length == 0 ? NbdError::none : NbdError::inval;
  if ((command == Command::read || command == Command::write) && at.length > payload_max)
    return (flags & cflag_df) != 0 ? NbdError::overflow : NbdError::inval;
  if (at.offset + at.length > end_of_disk) return writes ? NbdError::nospc : NbdError::inval;
  if (std::string_view(at.disk) == "blocks") return NbdError::inval;
  if (command == Command::block_status && (!structured || !at.contexts || at.length == 0)) return NbdError::inval;
  return NbdError::none;
}

Task<void> read_into(BlockDevice* device, uint64_t offset, MutableBytes into) {
  const Result<void> read = co_await device->read(offset, into);
  REQUIRE(read.ok());
}

std::vector<std::byte> stored(World& world, uint64_t offset, size_t bytes) {
  std::vector<std::byte> into(bytes);
  world.run(read_into(world.disk.get(), offset, into));
  return into;
}

Task<void> disconnect(NbdServer* server, std::string name, std::atomic<bool>* done) {
  co_await server->disconnect(std::move(name));
  *done = true;
}

Task<void> shut_down(NbdServer* server, std::atomic<bool>* done) {
  co_await server->shutdown();
  *done = true;
}

NbdLimits small_payloads() {
  NbdLimits limits;
  limits.payload_bytes = limits.piece_bytes = payload_max;
  return limits;
}

/// A world whose disk has the canary; "blocks" is its disk with a minimum block size of 4096.
struct Canary : World {
  const std::vector<std::byte> pattern_there = pattern(canary_bytes, 77);
  explicit Canary(IoKind kind, const NbdLimits& limits = small_payloads()) : World(kind, limits) {
    resolver.add("blocks", {.device = disk, .canonical = "", .minimum_block = 4096});
    Client client = Client::unix_socket(*this);
    client.enter("disk");
    REQUIRE(client.write(canary_at, pattern_there).error == NbdError::none);
  }
  bool lives() { return stored(*this, canary_at, canary_bytes) == pattern_there; }
};

TEST_SUITE_BEGIN("threads");

TEST_CASE(
    "payloads: every command with every flag in every header form, refused or not, leaves the next request right") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  Canary world(kind);
  for (const Form form : forms) {
    for (const Case& at : cases) {
      auto peer = std::make_unique<Peer>(world, form, at.disk, at.contexts);
      for (const Command command : every_command()) {
        for (const uint16_t flags : every_flag()) {
          CAPTURE(name_of(form));
          CAPTURE(at.name);
          CAPTURE(static_cast<uint16_t>(command));
          CAPTURE(flags);
          Wire wire;
          const uint64_t cookie = peer->add(wire, command, flags, at.offset, at.length);
          const bool over = command == Command::disconnect || ends_connection(form, at, command, flags);
          const uint64_t next = peer->add(wire, Command::read, 0, canary_at, canary_bytes);
          peer->client.send(wire);
          if (over) {
            if (command == Command::disconnect) {
              peer->asked.clear();
            } else {
              auto got = peer->answers(1);
              REQUIRE(got.count(cookie) == 1);
              CHECK(got[cookie].error == NbdError::inval);
            }
            CHECK(peer->client.at_end());
            peer = std::make_unique<Peer>(world, form, at.disk, at.contexts);
          } else {
            auto got = peer->answers();
            CHECK(got[cookie].error == expected(form, at, command, flags));
            const bool aligned = std::string_view(at.disk) != "blocks";
            CHECK(got[next].error == (aligned ? NbdError::none : NbdError::inval));
            if (aligned) CHECK(got[next].data == world.pattern_there);
          }
        }
        REQUIRE(world.lives());
      }
    }
  }
}

TEST_CASE("payloads: what comes after the export was taken away gets ESHUTDOWN, and its payload is dropped") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  for (const Form form : forms) {
    Canary world(kind);
    Peer peer(world, form, "disk", true);
    world.at_home([&] { world.disk->hold(); });
    const uint64_t held = peer.send(Command::read, 0, canary_at, canary_bytes);  // keeps the connection open
    eventually([&] { return world.disk->running == 1; });
    std::atomic<bool> done{false};
    spawn_on(world.home(), disconnect(world.server.get(), "disk", &done));
    // EINVAL until the connection has heard of it.
    eventually([&] {
      const uint64_t cookie = peer.send(Command::trim, 0x8000, 0, 0);
      return peer.answers(1)[cookie].error == NbdError::shutdown;
    });
    for (const Case& at : revoked_cases)
      for (const Command command : every_command()) {
        if (command == Command::disconnect) continue;
        for (const uint16_t flags : every_flag()) {
          CAPTURE(name_of(form));
          CAPTURE(at.name);
          CAPTURE(static_cast<uint16_t>(command));
          CAPTURE(flags);
          Wire wire;
          const uint64_t cookie = peer.add(wire, command, flags, at.offset, at.length);
          const uint64_t next = peer.add(wire, Command::read, 0, canary_at, canary_bytes);
          peer.client.send(wire);
          auto got = peer.answers(1);
          CHECK(got[cookie].error == NbdError::shutdown);
          CHECK(got[next].error == NbdError::shutdown);
        }
      }
    world.at_home([&] { world.disk->release(); });
    CHECK(peer.answers()[held].data == world.pattern_there);
    CHECK(peer.client.at_end());
    peer.client.close();
    eventually([&] { return done.load(); });
    CHECK(world.lives());
  }
}

TEST_CASE("payloads: a WRITE that fails in its first, a middle or its last piece has all of its payload dropped") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits = small_payloads();
  limits.piece_bytes = 4096;
  for (const Form form : forms) {
    Canary world(kind, limits);
    Peer peer(world, form, "disk", true);
    for (const uint64_t failing : {uint64_t{0}, uint64_t{5 * 4096}, uint64_t{payload_max - 4096}}) {
      CAPTURE(name_of(form));
      CAPTURE(failing);
      world.fail([failing](const MemoryDevice::Call& call) -> std::optional<Error> {
        if (call.verb == MemoryDevice::Verb::write && call.offset == failing) return Error{Code::io, "a bad sector"};
        return std::nullopt;
      });
      Wire wire;
      const uint64_t cookie = peer.add(wire, Command::write, 0, 0, payload_max);
      const uint64_t next = peer.add(wire, Command::read, 0, canary_at, canary_bytes);
      peer.client.send(wire);
      auto got = peer.answers();
      CHECK(got[cookie].error == NbdError::io);
      CHECK(got[next].data == world.pattern_there);
    }
    CHECK(world.lives());
  }
}

TEST_CASE("payloads: requests that wait for the limit on requests in flight keep their payloads apart") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  NbdLimits limits = small_payloads();
  limits.connection_requests = 1;
  for (const Form form : forms) {
    CAPTURE(name_of(form));
    Canary world(kind, limits);
    Peer peer(world, form, "disk", true);
    world.at_home([&] { world.disk->hold(); });
    Wire wire;
    std::map<uint64_t, NbdError> expects;
    expects[peer.add(wire, Command::write, 0, 0, 2048)] = NbdError::none;
    expects[peer.add(wire, Command::write, 0x8000, 0, 2048)] = NbdError::inval;
    expects[peer.add(wire, Command::write, 0, end_of_disk, 20'000)] = NbdError::nospc;
    expects[peer.add(wire, Command{77}, cflag_payload_len, 0, 2048)] = NbdError::inval;
    expects[peer.add(wire, Command::write, 0, 4096, 20'000)] = NbdError::none;
    const uint64_t last = peer.add(wire, Command::read, 0, canary_at, canary_bytes);
    expects[last] = NbdError::none;
    peer.client.send(wire);
    eventually([&] { return world.disk->running == 1; });
    world.at_home([&] { world.disk->release(); });
    auto got = peer.answers();
    for (const auto& [cookie, error] : expects) CHECK(got[cookie].error == error);
    CHECK(got[last].data == world.pattern_there);
    CHECK(world.lives());
  }
}

TEST_CASE("payloads: at shutdown, what comes in the middle of a payload or after it is not parsed") {
  IoKind kind;
  FOR_BOTH_LOOPS(kind);
  for (const Form form : forms) {
    CAPTURE(name_of(form));
    Canary world(kind);
    Peer first(world, form, "disk", true), second(world, form, "disk", true);
    world.at_home([&] { world.disk->hold(); });
    const uint64_t held = first.send(Command::read, 0, canary_at, canary_bytes);
    // Of this one the server has the header and half of the payload.
    Wire wire;
    const uint64_t halved = second.add(wire, Command::write, 0, 0, 20'000);
    const Bytes all(wire.bytes);
    const uint64_t begun = world.server->counters().requests[static_cast<size_t>(Command::write)];
    second.client.send(all.first(10'000));
    eventually([&] { return world.server->counters().requests[static_cast<size_t>(Command::write)] > begun; });
    eventually([&] { return world.disk->running == 1; });
    std::atomic<bool> done{false};
    Peer idle(world, form, "disk", true);
    spawn_on(world.home(), shut_down(world.server.get(), &done));
    CHECK(idle.client.at_end());
    second.client.send(all.subspan(10'000));
    second.client.send(crafted(form, 4096));  // whole requests, which come too late
    first.client.send(crafted(form, 4096));
    first.client.send(Bytes(crafted(form, 4096)).subspan(100));
    world.at_home([&] { world.disk->release(); });
    CHECK(first.answers()[held].data == world.pattern_there);
    CHECK(second.answers()[halved].error == NbdError::none);
    CHECK(first.client.at_end());
    CHECK(second.client.at_end());
    first.client.close();
    second.client.close();
    idle.client.close();
    eventually([&] { return done.load(); });
    CHECK(world.lives());
  }
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
