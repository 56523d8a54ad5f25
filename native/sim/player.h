// player.h: plays a script on the real engine, and judges every answer, every restart and every byte (content.h).
//
// A wrong answer ends the process with the exit status `found_wrong` and a line on standard error that begins with `wrong: `;
// a broken invariant of the engine aborts it. Whoever plays many scripts does so in processes of his own (simulate.cc).
#pragma once

#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "sim/script.h"
#include "sim/tree.h"

namespace atl::sim {

constexpr int found_wrong = 3;

struct Tally {
  uint64_t runs = 0;
  uint64_t steps = 0;        // begun
  uint64_t operations = 0;   // of the stores
  uint64_t cuts = 0;         // power cuts and kills
  uint64_t failures = 0;     // told by stores
  uint64_t reads = 0;        // judged: reads of clients and of the look after a start
  uint64_t checks = 0;       // of the whole record store
  uint64_t stray_bytes = 0;  // that crashes left in files of heads until they are overwritten or deleted
};

class Player {
 public:
  Player(const Script& script, bool tell);
  Tally play();

 private:
  struct Client {
    bool busy = false;
    std::map<uint32_t, VolumePtr> leases;  // by place
  };

  [[noreturn]] void wrong(const std::string& what);
  template <class... Words>
  void tell(const Words&... words) {
    if (!tell_) return;
    ((std::cout << words << ' '), ...);
    std::cout << std::endl;
  }
  bool off() { return host_.disk().is_off(); }

  // ---- the run (player.cc) ----
  void begin(const Step& step);
  void wait_for(const bool& busy);
  void wait_for_all();
  void moments(uint32_t count);
  template <class T>
  T must(Result<T> result, const char* what);
  void run(Task<void> task, const char* what);
  void recover(const Step& why);
  void restart();
  void settle();
  void end();
  void check_records();
  void count_space();
  void look_at(VolumePtr volume, bool settled);
  Task<void> look(VolumePtr volume, bool settled);
  void close_all();

  // ---- clients (player_clients.cc) ----
  Task<void> perform(Client* client, Step step);
  Task<VolumePtr> lease(Client* client, const Step& step);
  Task<void> give_back(Client* client, uint32_t place);
  Task<void> make(Client* client, Step step);
  Task<void> change(Client* client, Step step);
  Task<void> flush(Client* client, Step step);
  Task<void> read(Client* client, Step step);
  Task<void> extents(Client* client, Step step);
  Task<void> resize(Step step);
  void place(uint32_t at, VolumePtr volume);
  void judge(const Error& error, const std::string& what, bool resized = false);
  bool may_fail(Code code) const;

  const Script& script_;
  const bool tell_;
  EngineHost host_;
  Tree tree_;
  std::map<uint32_t, Client> clients_;
  std::map<uint32_t, VolumePtr> places_;
  Step last_cut_;
  uint64_t failures_before_ = 0;  // told before the last start
  bool space_was_short_ = false;
  Tally tally_;
};

}  // namespace atl::sim
