// handshake_player.h: one client's bytes through the handshake, whole or in pieces, with a server that answers by the name alone.
#pragma once

#include <algorithm>

#include "fuzz/target.h"
#include "nbd/protocol/handshake.h"

namespace atl::fuzz {

/// All that a peer and the owner could see.
struct Seen {
  std::vector<std::byte> output;
  nbd::Handshake::State state{};
  size_t consumed = 0;
  std::string name;
  bool structured = false;
  size_t contexts = 0;
  friend bool operator==(const Seen&, const Seen&) = default;
};

/// `piece`: how many bytes arrive at once.
inline Seen play(Bytes input, size_t piece, TlsMode tls) {
  // Small bounds, so that inputs reach them.
  NbdLimits limits;
  limits.option_bytes = 4096 + 512;
  limits.options = 48;
  limits.meta_queries = 8;
  limits.meta_contexts = 3;
  nbd::Handshake handshake{limits, tls};
  Seen seen;
  using State = nbd::Handshake::State;
  const auto send = [&] {
    const std::vector<std::byte> out = handshake.take_output();
    // One answer: infos, contexts and an error message, each bounded.
    EXPECT(out.size() < 64 << 10);
    seen.output.insert(seen.output.end(), out.begin(), out.end());
  };
  send();
  while (handshake.state() != State::closed && handshake.state() != State::transmission) {
    switch (handshake.state()) {
      case State::open_wanted: {
        const std::string name = handshake.export_name();
        EXPECT(name.size() <= nbd::max_string_bytes);
        if (name.size() % 3 == 2) {
          handshake.not_found(nbd::OptionReply::err_unknown, "no such export: " + name);
          break;
        }
        nbd::ExportFacts facts;
        facts.size_bytes = name.size() << 20;
        facts.read_only = name.size() % 2 == 1;
        facts.canonical_name = name.size() % 4 == 0 ? "canonical" : "";
        facts.description = "what it is";
        if (name == "direct") facts.block_sizes.minimum = 4096;
        if (handshake.meta_queries() != nullptr)
          for (int i = 0; i < 5; i++) facts.contexts.push_back({.name = "atoll:" + std::to_string(i)});
        handshake.found(facts);
        break;
      }
      case State::list_wanted: handshake.list({"", "one", std::string(300, 'x')}); break;
      case State::tls_wanted: handshake.tls_started(); break;
      default: {
        if (seen.consumed == input.size()) break;
        // Until everything that arrived is taken or there is something to say.
        const size_t arrived = std::min(piece, input.size() - seen.consumed);
        const size_t used = handshake.consume(input.subspan(seen.consumed, arrived));
        EXPECT(used <= arrived);
        EXPECT(used > 0 || handshake.has_output() || handshake.state() != State::negotiating);
        seen.consumed += used;
      }
    }
    send();
    if (handshake.state() == State::negotiating && seen.consumed == input.size() && !handshake.has_output()) break;
  }
  send();
  seen.state = handshake.state();
  seen.name = handshake.export_name();
  seen.structured = handshake.negotiated().structured;
  seen.contexts = handshake.negotiated().contexts.size();
  EXPECT(seen.contexts <= limits.meta_contexts);
  return seen;
}

inline void check_handshake(Bytes input, TlsMode tls) {
  const Seen whole = play(input, SIZE_MAX, tls);
  EXPECT(play(input, 1, tls) == whole);
  EXPECT(play(input, 7, tls) == whole);
}

}  // namespace atl::fuzz
