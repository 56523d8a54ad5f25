#include "nbd/server/admissions.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/verify.h"

namespace atl::nbd {
namespace {

/// Evicted connections that have not gone yet hold descriptors.
uint32_t evicted_max(const NbdLimits& limits) { return std::max(limits.refusals, limits.connections / 16); }

void count_down(std::map<std::string, uint32_t>& counts, const std::string& name) {
  const auto found = counts.find(name);
  VERIFY(found != counts.end());
  if (--found->second == 0) counts.erase(found);
}

uint32_t count_in(const std::map<std::string, uint32_t>& counts, const std::string& name) {
  const auto found = counts.find(name);
  return found == counts.end() ? 0 : found->second;
}

std::string bytes(const void* data, size_t length) { return {static_cast<const char*>(data), length}; }

}  // namespace

std::string client_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  if (address.ss_family == AF_INET) return bytes(&reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
  if (address.ss_family != AF_INET6) return {};
  const in6_addr& six = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&six)) return bytes(six.s6_addr + 12, 4);
  return bytes(six.s6_addr, 8);
}

Admissions::Entry Admissions::enter(Place& place) {
  VERIFY(place.state == Place::State::none);
  Entry entry{Answer::welcome};
  if (place.door == Door::tenant) {
    const auto own = handshakes_.find(place.client);
    Place* victim = nullptr;
    if (own != handshakes_.end() && own->second.size() >= std::max(limits_.address_handshakes, 1u))
      victim = own->second.front();
    else if (is_full(Door::tenant))
      victim = oldest_handshake_of_most();
    if (victim != nullptr) {
      if (evicted_ >= evicted_max(limits_)) return {Answer::closed};
      end_handshake(*victim);
      victim->state = Place::State::evicted;
      evicted_++;
      entry.evicted = victim;
    }
  }
  if (is_full(place.door)) {
    if (refused_ >= limits_.refusals) {
      entry.answer = Answer::closed;
      return entry;
    }
    refused_++;
    place.state = Place::State::refused;
    entry.answer = Answer::over_limit;
    return entry;
  }
  begin_handshake(place);
  return entry;
}

bool Admissions::is_full(Door door) const {
  if (tenants_ + operators_ >= limits_.connections) return true;
  const uint32_t reserve = std::min(limits_.operator_reserve, limits_.connections / 4);
  return door == Door::tenant && tenants_ >= limits_.connections - reserve;
}

/// Null: all have chosen an export.
Place* Admissions::oldest_handshake_of_most() const {
  const auto most = std::max_element(handshakes_.begin(), handshakes_.end(), [](const auto& one, const auto& other) {
    return one.second.size() < other.second.size();
  });
  return most == handshakes_.end() ? nullptr : most->second.front();
}

Admissions::Choice Admissions::choose(Place& place, const std::string& export_name, const std::string& project) {
  if (place.state != Place::State::handshake) return Choice::granted;  // evicted: it is being cut
  if (place.door == Door::tenant) {
    if (count_in(of_export_, export_name) >= limits_.export_connections) return Choice::export_full;
    if (!project.empty() && count_in(of_project_, project) >= limits_.project_connections) return Choice::project_full;
    of_export_[export_name]++;
    if (!project.empty()) of_project_[project]++;
  }
  end_handshake(place);
  count_of(place.door)++;
  place.state = Place::State::chosen;
  place.export_name = export_name;
  place.project = project;
  return Choice::granted;
}

void Admissions::take_back(Place& place) {
  if (place.state != Place::State::chosen) return;
  end_choice(place);
  begin_handshake(place);
}

void Admissions::leave(Place& place) {
  switch (place.state) {
    case Place::State::none: return;
    case Place::State::handshake: end_handshake(place); break;
    case Place::State::chosen: end_choice(place); break;
    case Place::State::refused: refused_--; break;
    case Place::State::evicted: evicted_--; break;
  }
  place.state = Place::State::none;
}

void Admissions::begin_handshake(Place& place) {
  place.state = Place::State::handshake;
  count_of(place.door)++;
  if (place.door != Door::tenant) return;
  std::list<Place*>& own = handshakes_[place.client];
  place.position = own.insert(own.end(), &place);
}

void Admissions::end_handshake(Place& place) {
  count_of(place.door)--;
  if (place.door != Door::tenant) return;
  const auto own = handshakes_.find(place.client);
  VERIFY(own != handshakes_.end());
  own->second.erase(place.position);
  if (own->second.empty()) handshakes_.erase(own);
}

void Admissions::end_choice(Place& place) {
  count_of(place.door)--;
  if (place.door != Door::tenant) return;
  count_down(of_export_, place.export_name);
  if (!place.project.empty()) count_down(of_project_, place.project);
}

}  // namespace atl::nbd
