#include "sim/mutations.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <map>
#include <vector>

#include "base/mutation.h"
#include "sim/trial.h"

namespace atl {

#ifdef ATOLL_MUTATIONS
Mutation active_mutation = Mutation::none;
#endif

}  // namespace atl

namespace atl::sim {
namespace {

struct Entry {
  const char* name;
  const char* rules;
  const char* what;
};
/// In the order of Mutation.
constexpr std::array<Entry, mutation_count> entries{{
    {"none", "", ""},
    {"skip-data-sync", "I2 I3", "a flush does not sync the data file"},
    {"records-before-data", "I2", "records are committed before the data is synced"},
    {"answer-before-commit", "I3", "a flush answers before its records are durable"},
    {"no-block-locks", "I4", "read-modify-writes of one block run at once"},
    {"partial-over-zeros", "I4", "a write to part of a block puts zeros around it"},
    {"overwrite-sealed", "I1 I5", "a sealed block is overwritten in place"},
    {"ignore-failed-sync", "I6", "a flush goes on after its sync failed"},
    {"trust-caches", "I6", "a head is opened as caches have it after a crash"},
    {"row-before-data", "I7", "an upload's row comes before its records"},
    {"stale-after-shrink", "I8", "a shrink leaves the map of what was cut off"},
    {"merge-ignores-limit", "I8", "a merge takes blocks beyond the parent limit"},
    {"trim-forgets-parent", "I8", "a trim of an ancestor's blocks is not recorded"},
    {"reclaim-before-durable", "I9", "space goes before the record that lets it go is durable"},
    {"reclaim-under-readers", "I9", "space goes under reads that began before"},
    {"snapshot-before-flush", "I9", "a snapshot does not wait for its records"},
    {"seal-from-caches", "I1 I9", "a snapshot seals what caches have after a crash"},
    {"merge-by-dirty", "I9", "a merge decides by dirty records in memory"},
    {"drop-pinned-content", "", "a chunk goes while an upload is about to refer to it"},
    {"lose-reference", "", "a chunk's second reference is not counted"},
    {"forget-intent", "", "a data file is made without a note of it"},
}};

#ifdef ATOLL_MUTATIONS

/// Seeds until it was seen, and as what; nothing: it was not.
struct Seen {
  uint64_t seeds = 0;
  std::string as;
};

std::optional<Seen> look_for(int mutation, uint64_t first_seed, uint32_t steps, uint64_t seeds_max) {
  active_mutation = static_cast<Mutation>(mutation);
  std::optional<Seen> seen;
  for (uint64_t at = 0; at < seeds_max && !seen; at++) {
    const auto failure = try_script(draw_script(first_seed + at, steps));
    if (failure) seen = Seen{at + 1, *failure};
  }
  active_mutation = Mutation::none;
  return seen;
}

#endif

}  // namespace

std::string mutation_names() {
  std::string names;
  for (size_t i = 1; i < entries.size(); i++) names += std::string(" ") + entries[i].name;
  return names;
}

#ifdef ATOLL_MUTATIONS

bool activate_mutation(const std::string& name) {
  for (size_t i = 0; i < entries.size(); i++)
    if (name == entries[i].name) {
      active_mutation = static_cast<Mutation>(i);
      return true;
    }
  return false;
}

int show_mutations(uint64_t first_seed, uint32_t steps, uint64_t seeds_max, unsigned jobs) {
  std::printf("%-24s %-6s %-56s %6s  %s\n", "mutation", "rule", "what it breaks", "seeds", "seen as");
  std::fflush(stdout);
  // Each row in a process of its own, `jobs` at a time, printed in order.
  std::vector<std::pair<pid_t, int>> rows(entries.size());
  int missed = 0;
  size_t started = 1;
  for (size_t at = 1; at < entries.size(); at++) {
    for (; started < entries.size() && started < at + jobs; started++) {
      int ends[2];
      VERIFY(::pipe(ends) == 0);
      const pid_t child = ::fork();
      VERIFY(child >= 0);
      if (child == 0) {
        const auto seen = look_for(static_cast<int>(started), first_seed, steps, seeds_max);
        const Entry& entry = entries[started];
        char row[512];
        const std::string seeds = seen ? std::to_string(seen->seeds) : "-";
        const std::string as = seen ? seen->as.substr(0, 150) : "NOT SEEN";
        const int length = std::snprintf(row, sizeof row, "%-24s %-6s %-56s %6s  %s\n", entry.name, entry.rules,
                                         entry.what, seeds.c_str(), as.c_str());
        const auto written = ::write(ends[1], row, static_cast<size_t>(std::min<int>(length, sizeof row - 1)));
        ::_exit(seen && written > 0 ? 0 : 1);
      }
      ::close(ends[1]);
      rows[started] = {child, ends[0]};
    }
    char buffer[512];
    for (ssize_t n = 0; (n = ::read(rows[at].second, buffer, sizeof buffer)) > 0;)
      std::fwrite(buffer, 1, static_cast<size_t>(n), stdout);
    std::fflush(stdout);
    ::close(rows[at].second);
    int status = 0;
    VERIFY(::waitpid(rows[at].first, &status, 0) == rows[at].first);
    missed += status != 0;
  }
  std::printf("%zu mutations, %d not seen within %llu seeds\n", entries.size() - 1, missed,
              static_cast<unsigned long long>(seeds_max));
  return missed == 0 ? 0 : 1;
}

#else

bool activate_mutation(const std::string&) { return false; }
int show_mutations(uint64_t, uint32_t, uint64_t, unsigned) { return 2; }

#endif

}  // namespace atl::sim
