// admissions.h: how many connections there may be: in all, in the handshake of one client, on one export and on those of one project.
//
// A client is an IPv4 address, or the /64 of an IPv6 address.
//
// Invariants
//   1. Tenants never take the last `operator_reserve` of the connections.
//   2. A tenant's new connection is not refused because of handshakes that have not chosen an export: when there is no room, the oldest
//      handshake of the client that has the most of them is closed for it. Connections that have chosen an export are never closed
//      for others.
//   3. Of one export, and of one project's, at most so many tenants' connections have chosen one.
//   4. Operators' connections are limited in all only.
//
// No lock and no thread of its own: guarded by the mutex of ServerState, which owns it.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <string>

#include "nbd/protocol/exports.h"
#include "nbd/protocol/limits.h"

namespace atl::nbd {

class Connection;

/// What one connection is counted as.
struct Place {
  enum class State : uint8_t { none, handshake, chosen, refused, evicted };

  Connection* connection = nullptr;
  Door door{};
  std::string client;  // client_of(); of tenants
  State state = State::none;
  std::string export_name, project;        // chosen
  std::list<Place*>::iterator position{};  // handshake, of tenants: among those of the client
};

/// The client at the other end of a socket. Empty: it is no TCP socket.
std::string client_of(int fd);

class Admissions {
 public:
  explicit Admissions(const NbdLimits& limits) : limits_(limits) {}

  /// welcome: counted as a handshake. over_limit: counted as one that gets the refusal and no export. closed: not counted.
  enum class Answer : uint8_t { welcome, over_limit, closed };
  struct Entry {
    Answer answer;
    Place* evicted = nullptr;  // its connection is to be cut
  };
  /// REQUIRES: place.door and place.client. The place stays where it is until leave().
  Entry enter(Place& place);

  enum class Choice : uint8_t { granted, export_full, project_full };
  /// The handshake has chosen an export. `project`: whose it is; empty: no project's.
  Choice choose(Place& place, const std::string& export_name, const std::string& project);
  /// The choice did not lead into the transmission phase: a handshake again.
  void take_back(Place& place);
  void leave(Place& place);

 private:
  bool is_full(Door door) const;
  Place* oldest_handshake_of_most() const;
  void begin_handshake(Place& place);
  void end_handshake(Place& place);
  void end_choice(Place& place);
  uint32_t& count_of(Door door) { return door == Door::tenant ? tenants_ : operators_; }

  const NbdLimits& limits_;
  uint32_t tenants_ = 0;  // in a handshake or with an export
  uint32_t operators_ = 0;
  uint32_t refused_ = 0;
  uint32_t evicted_ = 0;                                 // not gone yet
  std::map<std::string, std::list<Place*>> handshakes_;  // tenants', by client; the oldest first
  std::map<std::string, uint32_t> of_export_, of_project_;
};

}  // namespace atl::nbd
