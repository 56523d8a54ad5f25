// script.h: what happens in one run of the simulator, as a list that is drawn from a seed. It is a list so that a failing run can be
// cut down: any part of it is a run, too. Resources have places (0 … places - 1) rather than numbers in order of making, so that
// what is left still means the same when something else is taken out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/disk.h"

namespace atl::sim {

enum class Kind : uint8_t {
  create,    // at: a blocks
  upload,    // at: a cells of the content number b; x: given up in the middle
  clone,     // at → to: a blocks more
  snapshot,  // at → to
  copy,      // at → to
  resize,    // at: a blocks
  remove,    // at
  write,     // at: cells from a, b of them; x: FUA
  zeroes,    // likewise; y: no hole
  trim,      // likewise
  flush,     // at
  read,      // at: cells from a, b of them
  extents,   // at
  close,     // at: the client gives its lease back
  fail,      // operation a fails once, after b others; x: for want of space
  slow,      // operations take up to a ns
  full,      // b bytes more can be allocated
  room,      // any number again
  cut,  // the power goes at the a-th store operation from now; b: what to look at afterwards (bits); x: once more while recovering
  kill,     // the process ends here; b and x likewise
  restart,  // cleanly
  settle,   // everything is closed, checked, counted
};
constexpr int kind_count = 22;

struct Step {
  Kind kind = Kind::flush;
  uint32_t client = 0;
  uint32_t at = 0;
  uint32_t to = 0;
  uint64_t a = 0;
  uint64_t b = 0;
  bool x = false;
  bool y = false;
  uint32_t pause = 0;  // how long others run before the next step is begun
};

constexpr uint32_t places = 6;
constexpr uint32_t clients_max = 6;

struct Script {
  uint64_t seed =
      0;  // of what the list does not decide: the order among those that are ready, the fate of what was not synced
  DiskOptions disk;
  std::vector<Step> steps;
};

Script draw_script(uint64_t seed, uint32_t steps);

/// In words, for people.
std::string describe(const Step& step);
std::string describe(const Script& script);

}  // namespace atl::sim
