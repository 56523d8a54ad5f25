// nbd_session.h: a handshake machine without a socket, its owner, and the options that tests send it.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "nbd/protocol/handshake.h"
#include "test/support/nbd_wire.h"

namespace atl::nbd::test {

constexpr uint32_t both_flags = flag_fixed_newstyle | flag_no_zeroes;

inline ExportFacts facts_of(const std::string& name) {
  ExportFacts facts;
  facts.size_bytes = 1 << 20;
  facts.read_only = name == "ro";
  if (name == "direct") facts.block_sizes.minimum = 512;
  facts.canonical_name = name == "alias" ? "disk" : "";
  facts.description = "a disk";
  for (const char* context : {"qemu:dirty-bitmap:a", "qemu:dirty-bitmap:b", "atoll:depth"})
    facts.contexts.push_back({context, {}, {}});
  return facts;
}

/// A handshake and the owner that answers its questions: "disk", "ro", "direct" and "alias" exist.
struct Session {
  NbdLimits limits;
  Handshake machine;
  std::vector<std::byte> received;  // all output so far, from `seen` on unread
  size_t opens = 0;
  size_t lists = 0;

  explicit Session(uint32_t client_flags = both_flags, NbdLimits with = {}) : limits(with), machine(limits) {
    take();
    CHECK(received.size() == 18);
    received.clear();
    Wire wire;
    wire.u32(client_flags);
    feed(wire);
  }

  void take() {
    for (std::byte byte : machine.take_output()) received.push_back(byte);
  }

  void answer() {
    if (machine.state() == Handshake::State::list_wanted) {
      lists++;
      machine.list({"disk", "ro"});
    } else if (machine.state() == Handshake::State::open_wanted) {
      opens++;
      const std::string& name = machine.export_name();
      if (name == "disk" || name == "ro" || name == "direct" || name == "alias")
        machine.found(facts_of(name));
      else
        machine.not_found(OptionReply::err_unknown, "no such export");
    }
  }

  /// Answers how much of it was consumed.
  size_t feed(const Wire& wire) {
    Bytes left(wire.bytes);
    for (;;) {
      left = left.subspan(machine.consume(left));
      take();
      if (machine.state() == Handshake::State::open_wanted || machine.state() == Handshake::State::list_wanted) {
        answer();
        take();
        continue;
      }
      if (machine.state() != Handshake::State::negotiating || left.empty()) return wire.bytes.size() - left.size();
    }
  }

  /// Sends one option and answers its replies.
  std::vector<OptionAnswer> option(Option option, const Wire& data = {}) {
    received.clear();
    Wire wire;
    wire.option(option, data);
    feed(wire);
    return option_answers(received);
  }
};

inline Wire go_data(std::string_view name, std::vector<Info> infos = {}) {
  Wire data;
  data.string(name).u16(static_cast<uint16_t>(infos.size()));
  for (Info info : infos) data.u16(static_cast<uint16_t>(info));
  return data;
}

inline Wire meta_data(std::string_view name, std::vector<std::string_view> queries) {
  Wire data;
  data.string(name).u32(static_cast<uint32_t>(queries.size()));
  for (std::string_view query : queries) data.string(query);
  return data;
}

inline bool is_error(const std::vector<OptionAnswer>& answers, OptionReply error) {
  return answers.size() == 1 && answers[0].type == error;
}

}  // namespace atl::nbd::test
