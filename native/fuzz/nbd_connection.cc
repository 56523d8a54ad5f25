// nbd_connection.cc: a whole connection. Bytes of a payload never act: of a client that sends requests with payloads, which look like
// requests where they can, exactly those requests arrive, with exactly those payloads, in whatever pieces the bytes come and
// whatever is refused or fails. Of any bytes at all it takes the same course in whatever pieces they come.
#include "fuzz/connection_player.h"

namespace atl::fuzz {
namespace {

constexpr uint64_t size_bytes = 1 << 20;
constexpr uint32_t maximum = 2048;
constexpr uint64_t poison_cookie = 0xbad0bad0bad0bad0;

struct Setting {
  bool structured, extended, read_only, contexts, by_export_name;
  uint32_t minimum;
};

struct Sent {
  nbd::Command command{};
  uint16_t flags = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::vector<std::byte> payload;
  bool last = false;  // whatever follows is not for this connection
};

Setting setting_of(uint8_t choice) {
  Setting setting;
  setting.extended = (choice & 3) >= 2;
  setting.structured = (choice & 3) == 1;
  setting.read_only = (choice & 4) != 0;
  setting.minimum = (choice & 8) != 0 ? 512 : 1;
  setting.contexts = (choice & 16) != 0 && (setting.structured || setting.extended);
  setting.by_export_name = (choice & 64) != 0 && !setting.extended && setting.minimum == 1;
  return setting;
}

void append_option(std::vector<std::byte>& out, nbd::Option option, const std::vector<std::byte>& data) {
  nbd::append_be(out, nbd::option_magic);
  nbd::append_be(out, option);
  nbd::append_be(out, static_cast<uint32_t>(data.size()));
  out.insert(out.end(), data.begin(), data.end());
}

void append_handshake(std::vector<std::byte>& out, const Setting& setting) {
  nbd::append_be(out, uint32_t{nbd::flag_fixed_newstyle | nbd::flag_no_zeroes});
  if (setting.structured) append_option(out, nbd::Option::structured_reply, {});
  if (setting.extended) append_option(out, nbd::Option::extended_headers, {});
  const auto name = [](std::vector<std::byte>& data) {
    nbd::append_be(data, uint32_t{4});
    nbd::append_text(data, "disk");
  };
  if (setting.contexts) {
    std::vector<std::byte> data;
    name(data);
    nbd::append_be(data, uint32_t{1});
    nbd::append_be(data, static_cast<uint32_t>(nbd::base_allocation.size()));
    nbd::append_text(data, nbd::base_allocation);
    append_option(out, nbd::Option::set_meta_context, data);
  }
  std::vector<std::byte> data;
  if (setting.by_export_name) {
    nbd::append_text(data, "disk");
    return append_option(out, nbd::Option::export_name, data);
  }
  name(data);
  nbd::append_be(data, uint16_t{1});
  nbd::append_be(data, nbd::Info::block_size);
  append_option(out, nbd::Option::go, data);
}

void append_header(std::vector<std::byte>& out, bool extended, const Sent& sent, uint64_t cookie) {
  nbd::append_be(out, extended ? nbd::extended_request_magic : nbd::request_magic);
  nbd::append_be(out, sent.flags);
  nbd::append_be(out, sent.command);
  nbd::append_be(out, cookie);
  nbd::append_be(out, sent.offset);
  if (extended)
    nbd::append_be(out, sent.length);
  else
    nbd::append_be(out, static_cast<uint32_t>(sent.length));
}

std::vector<std::byte> poison(bool extended, size_t bytes) {
  std::vector<std::byte> all;
  const Sent evil{nbd::Command::write, 0, 4096, 64, {}, false};
  while (all.size() < bytes) {
    append_header(all, extended, evil, poison_cookie);
    all.resize(all.size() + evil.length, std::byte{0xee});
  }
  all.resize(bytes);
  return all;
}

/// command:1, flags:2, shape:1, offset:4, length:2, and with some shapes the payload's own bytes.
Sent next_request(Input& in, const Setting& setting) {
  static constexpr uint16_t commands[] = {0, 1, 1, 1, 3, 4, 5, 6, 7, 7, 8, 0xffff, 2};
  Sent sent;
  sent.command = nbd::Command{commands[in.u8() % std::size(commands)]};
  sent.flags = in.u16();
  const uint8_t shape = in.u8();
  if ((shape & 1) != 0) sent.flags &= nbd::cflag_fua | nbd::cflag_payload_len;
  sent.offset = in.u32() % (size_bytes + 4096);
  if ((shape & 2) != 0) sent.offset &= ~uint64_t{511};
  sent.length = in.u16() % 3000;
  if ((shape & 4) != 0) sent.length = sent.length / 512 * 512;
  // By the protocol; a WRITE with extended headers has a payload without the flag too, because QEMU sends it so.
  const bool carries =
      sent.command == nbd::Command::write || (setting.extended && (sent.flags & nbd::cflag_payload_len) != 0);
  sent.last = sent.command == nbd::Command::disconnect;
  if (!carries) {
    if ((shape & 8) != 0) sent.length = setting.extended ? in.u64() : in.u32();
    return sent;
  }
  if (setting.extended && (shape & 0xf0) == 0xf0) {
    sent.length = maximum + 1 + in.u64() % (UINT64_MAX - maximum);
    sent.last = true;
    return sent;
  }
  switch (shape >> 4 & 3) {
    case 0: {
      const Bytes own = in.take(sent.length);
      sent.payload.assign(own.begin(), own.end());
      sent.payload.resize(sent.length);
      break;
    }
    case 1:  // a filter, if it is that long
      nbd::append_be(sent.payload, uint64_t{in.u32()});
      for (uint32_t i = 0; i < sent.length % 4; i++) nbd::append_be(sent.payload, 1 + in.u8() / 128u);
      sent.length = sent.payload.size();
      break;
    default: sent.payload = poison(setting.extended, sent.length);
  }
  if (setting.extended && sent.length > maximum) sent.last = true;
  return sent;
}

/// A WRITE that no rule refuses.
bool must_be_accepted(const Sent& sent, const Setting& setting) {
  const uint16_t legal = setting.extended ? nbd::cflag_fua | nbd::cflag_payload_len : nbd::cflag_fua;
  return sent.command == nbd::Command::write && !setting.read_only && (sent.flags & ~legal) == 0 &&
         sent.length <= maximum && sent.offset + sent.length <= size_bytes &&
         (sent.offset | sent.length) % setting.minimum == 0;
}

void check_requests(Input in, const Setting& setting, const nbd::ExportFacts& facts) {
  const uint32_t seed = in.u32();
  std::vector<std::byte> stream;
  append_handshake(stream, setting);
  std::vector<Sent> all;
  while (!in.at_end() && all.size() < 64) {
    all.push_back(next_request(in, setting));
    append_header(stream, setting.extended, all.back(), all.size());
    stream.insert(stream.end(), all.back().payload.begin(), all.back().payload.end());
    if (!all.back().last) continue;
    const std::vector<std::byte> after = poison(setting.extended, 500);
    stream.insert(stream.end(), after.begin(), after.end());
    break;
  }
  const Course course = Connection(stream, Arrival::at_random(seed), facts).play();
  EXPECT(course.transmission);
  const bool disconnects = !all.empty() && all.back().command == nbd::Command::disconnect;
  EXPECT(course.disconnected == disconnects);
  EXPECT(course.lost == (!all.empty() && all.back().last && !disconnects));
  EXPECT(course.requests.size() == all.size() - (disconnects ? 1 : 0));
  for (size_t i = 0; i < course.requests.size(); i++) {
    const Sent& sent = all[i];
    const Served& served = course.requests[i];
    EXPECT(served.cookie == i + 1);
    EXPECT(served.command == sent.command && served.flags == sent.flags && served.offset == sent.offset);
    // The length of a BLOCK_STATUS with a filter is what the filter says.
    EXPECT(served.length == sent.length || (sent.command == nbd::Command::block_status && !sent.payload.empty()));
    if (must_be_accepted(sent, setting)) EXPECT(served.error == nbd::NbdError::none);
    if (served.error != nbd::NbdError::none || sent.command != nbd::Command::write) {
      EXPECT(served.payload.empty());
      continue;
    }
    EXPECT(served.failed || served.payload.size() == sent.payload.size());
    EXPECT(std::equal(served.payload.begin(), served.payload.end(), sent.payload.begin()));
  }
}

/// `greeted`: after a handshake that is right.
void check_any_bytes(Bytes bytes, const Setting& setting, const nbd::ExportFacts& facts, bool greeted) {
  std::vector<std::byte> stream;
  if (greeted) append_handshake(stream, setting);
  stream.insert(stream.end(), bytes.begin(), bytes.end());
  const Course whole = Connection(stream, Arrival::in_pieces_of(SIZE_MAX), facts).play();
  EXPECT(!greeted || whole.transmission);
  EXPECT(Connection(stream, Arrival::in_pieces_of(1), facts).play() == whole);
  EXPECT(Connection(stream, Arrival::in_pieces_of(33), facts).play() == whole);
}

}  // namespace

void run(Bytes input) {
  Input in{input};
  const uint8_t choice = in.u8();
  const Setting setting = setting_of(choice);
  nbd::ExportFacts facts;
  facts.size_bytes = size_bytes;
  facts.read_only = setting.read_only;
  facts.block_sizes = {setting.minimum, 4096, maximum};
  if ((choice & 32) != 0)
    check_any_bytes(in.rest(), setting, facts, (choice & 128) == 0);
  else
    check_requests(in, setting, facts);
}

std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (int choice = 0; choice < 256; choice += (choice & 32) != 0 ? 1 : 4) {
    std::vector<std::byte> bytes;
    if ((choice & 32) != 0) {
      // Any bytes: a handshake if it takes one, a WRITE with a payload, and DISC.
      const Setting setting = setting_of(static_cast<uint8_t>(choice));
      if ((choice & 128) != 0) append_handshake(bytes, setting);
      const Sent sent{nbd::Command::write, 0, 512, 512, {}, false};
      append_header(bytes, setting.extended, sent, 1);
      const std::vector<std::byte> payload = poison(setting.extended, sent.length);
      bytes.insert(bytes.end(), payload.begin(), payload.end());
      append_header(bytes, setting.extended, {nbd::Command::disconnect, 0, 0, 0, {}, false}, 2);
      all.push_back(static_cast<char>(choice) + std::string{text_of(bytes)});
    }
  }
  // Lists: a WRITE that is accepted, one that is refused, a filter, a command that has no payload, DISC.
  for (char choice : {0, 1, 2, 6, 10, 17, 18, 26})
    for (char shape : {0x27, 0x07, 0x17}) {
      std::string list{choice, 1, 2, 3, 4};
      for (char command : {1, 1, 8, 5, 0, 1, 12})
        for (char flags : {0, 32}) {
          list += command;
          list += flags;
          list += std::string{"\0", 1};
          list += shape;
          list += std::string{"\0\020\0\0\0\2", 6};
        }
      all.push_back(std::move(list));
    }
  return all;
}

}  // namespace atl::fuzz
