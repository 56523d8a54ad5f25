// simulate.cc: the program behind scripts/simulate (docs/internals/reliability.md, "Simulated crashes").
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>
#include <thread>

#include "base/mutation.h"
#include "sim/mutations.h"
#include "sim/trial.h"

namespace atl::sim {
namespace {

constexpr const char* help =
    R"(scripts/simulate: the real engine on simulated disks and clocks, through power cuts and failures

  --seed N        the first seed (default 1). With --runs 1 it replays one run
  --runs N        how many seeds, one after the other (default 1000)
  --minutes M     ends after M minutes, whatever --runs says
  --steps N       how many things happen in a run (default 400)
  --jobs J        how many processes at once (default: one for each processor)
  --fresh N       then N more runs from a seed that nobody has seen; it is printed
  --tell          says each step, change and flush as it happens (one run)
  --no-shrink     does not cut a failing run down
  --mutations     instead: breaks one rule of the engine after the other and counts the seeds until that is seen
  --mutation NAME with one rule broken (this and --mutations: in the program that is built for it)
  --seeds-max N   --mutations: how many seeds each may take (default 2000)
  --help          this

Exit status: 0 all is as it must be; 1 something is wrong (the seed and a short script that shows it are printed);
2 the arguments make no sense.
)";

struct Options {
  uint64_t seed = 1;
  uint64_t runs = 1000;
  uint64_t fresh = 0;
  uint32_t steps = 400;
  double minutes = 0;
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  bool tell = false;
  bool shrink = true;
  bool mutations = false;
  uint64_t seeds_max = 2000;
};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// What a worker says of itself, in memory that its parent shares.
struct Worker {
  uint64_t seed = 0;  // the one it is at
  Tally sum;
};

void add(Tally& sum, const Tally& run) {
  sum.runs += run.runs;
  sum.steps += run.steps;
  sum.operations += run.operations;
  sum.cuts += run.cuts;
  sum.failures += run.failures;
  sum.reads += run.reads;
  sum.checks += run.checks;
  sum.stray_bytes = std::max(sum.stray_bytes, run.stray_bytes);
}

void work(Worker& worker, uint64_t first, uint64_t end, uint64_t stride, const Options& options,
          Clock::time_point until) {
  for (uint64_t seed = first; seed < end && Clock::now() < until; seed += stride) {
    worker.seed = seed;
    const Script script = draw_script(seed, options.steps);
    add(worker.sum, Player{script, false}.play());
  }
}

/// The first seed that fails, if one does.
std::optional<uint64_t> play_all(uint64_t first, uint64_t runs, const Options& options, Clock::time_point until,
                                 Tally& sum) {
  void* shared =
      ::mmap(nullptr, sizeof(Worker) * options.jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  VERIFY(shared != MAP_FAILED);
  Worker* workers = new (shared) Worker[options.jobs];
  std::vector<pid_t> children(options.jobs);
  std::cout << std::flush;
  for (unsigned i = 0; i < options.jobs; i++) {
    children[i] = ::fork();
    VERIFY(children[i] >= 0);
    if (children[i] == 0) {
      // What it says is said again, once, when the seed is looked at.
      if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(1);
      work(workers[i], first + i, first + runs, options.jobs, options, until);
      ::_exit(0);
    }
  }
  std::optional<uint64_t> failed;
  const auto start = Clock::now();
  double told = 0;
  for (size_t left = children.size(); left > 0;) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, WNOHANG);
    if (ended > 0) {
      const auto at = static_cast<size_t>(std::find(children.begin(), children.end(), ended) - children.begin());
      VERIFY(at < children.size());
      children[at] = 0;
      left--;
      const bool told_to = failed && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
      if (!told_to && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        if (!failed || workers[at].seed < *failed) failed = workers[at].seed;
        for (pid_t child : children)
          if (child != 0) ::kill(child, SIGTERM);
      }
      continue;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const double now = seconds_since(start);
    if (now - told < 10) continue;
    told = now;
    uint64_t done = 0;
    for (unsigned i = 0; i < options.jobs; i++) done += workers[i].sum.runs;
    std::printf("  %llu of %llu runs in %.0f s\n", static_cast<unsigned long long>(done),
                static_cast<unsigned long long>(runs), now);
    std::fflush(stdout);
  }
  for (unsigned i = 0; i < options.jobs; i++) add(sum, workers[i].sum);
  ::munmap(shared, sizeof(Worker) * options.jobs);
  return failed;
}

void show_failure(uint64_t seed, const Options& options) {
  const Script script = draw_script(seed, options.steps);
  const auto failure = try_script(script);
  std::printf("\nFAILED: seed %llu: %s\n", static_cast<unsigned long long>(seed),
              failure ? failure->c_str() : "not when it was run again");
  std::printf("again: scripts/simulate --seed %llu --runs 1 --steps %u --tell\n", static_cast<unsigned long long>(seed),
              options.steps);
  if (!failure || !options.shrink) return;
  std::printf("cutting it down …\n");
  std::fflush(stdout);
  const Shrunk shrunk = shrink(script, *failure, 4000);
  std::printf("%zu of %zu steps are enough (%llu trials; writes in units of %u):\n\n%s\nthen: %s\n",
              shrunk.script.steps.size(), script.steps.size(), static_cast<unsigned long long>(shrunk.trials),
              shrunk.script.disk.write_alignment, describe(shrunk.script).c_str(), shrunk.failure.c_str());
  if (options.tell) (void)in_child([&] { (void)Player{shrunk.script, true}.play(); });
}

void print(const Tally& sum, double seconds) {
  std::printf(
      "%llu runs: %llu steps, %llu store operations, %llu power cuts and kills, %llu failures of stores, "
      "%llu reads judged, %llu checks\n",
      static_cast<unsigned long long>(sum.runs), static_cast<unsigned long long>(sum.steps),
      static_cast<unsigned long long>(sum.operations), static_cast<unsigned long long>(sum.cuts),
      static_cast<unsigned long long>(sum.failures), static_cast<unsigned long long>(sum.reads),
      static_cast<unsigned long long>(sum.checks));
  std::printf("%.1f s, %.2f ms a run\n", seconds, sum.runs == 0 ? 0 : seconds * 1000 / static_cast<double>(sum.runs));
}

int simulate(const Options& options) {
  const auto start = Clock::now();
  const auto until =
      options.minutes > 0
          ? start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.minutes * 60))
          : Clock::time_point::max();
  Tally sum;
  std::optional<uint64_t> failed;
  if (options.tell && options.runs == 1) {
    const auto failure = in_child([&] { (void)Player{draw_script(options.seed, options.steps), true}.play(); });
    if (failure) std::printf("wrong: %s\n", failure->c_str());
    return failure ? 1 : 0;
  }
  std::printf("seeds %llu to %llu, %u steps each, %u processes\n", static_cast<unsigned long long>(options.seed),
              static_cast<unsigned long long>(options.seed + options.runs - 1), options.steps, options.jobs);
  std::fflush(stdout);
  if (options.runs > 0) failed = play_all(options.seed, options.runs, options, until, sum);
  if (!failed && options.fresh > 0) {
    const uint64_t first = std::random_device{}() % 1'000'000'000 * 1000 + 1'000'000'000;
    std::printf("fresh seeds %llu to %llu\n", static_cast<unsigned long long>(first),
                static_cast<unsigned long long>(first + options.fresh - 1));
    std::fflush(stdout);
    failed = play_all(first, options.fresh, options, until, sum);
  }
  print(sum, seconds_since(start));
  if (!failed) return 0;
  show_failure(*failed, options);
  return 1;
}

[[noreturn]] void usage(const std::string& what) {
  std::fprintf(stderr, "simulate: %s (see --help)\n", what.c_str());
  std::exit(2);
}

uint64_t number(const char* option, const char* text, uint64_t least) {
  char* end = nullptr;
  const uint64_t value = text == nullptr ? 0 : std::strtoull(text, &end, 10);
  if (text == nullptr || *text < '0' || *text > '9' || *end != '\0' || value < least)
    usage(std::string(option) + " needs a number" + (least > 0 ? ", at least " + std::to_string(least) : ""));
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string option = argv[i];
    const auto next = [&](uint64_t least) {
      const char* text = i + 1 < argc ? argv[++i] : nullptr;
      return number(option.c_str(), text, least);
    };
    if (option == "--help" || option == "-h") {
      std::fputs(help, stdout);
      std::exit(0);
    } else if (option == "--seed") {
      options.seed = next(1);
    } else if (option == "--runs") {
      options.runs = next(0);
    } else if (option == "--fresh") {
      options.fresh = next(0);
    } else if (option == "--steps") {
      options.steps = static_cast<uint32_t>(std::min<uint64_t>(next(3), 1'000'000));
    } else if (option == "--minutes") {
      options.minutes = static_cast<double>(next(1));
      options.runs = std::max<uint64_t>(options.runs, 1'000'000'000);
    } else if (option == "--jobs") {
      options.jobs = static_cast<unsigned>(std::min<uint64_t>(next(1), 256));
    } else if (option == "--seeds-max") {
      options.seeds_max = next(1);
    } else if (option == "--tell") {
      options.tell = true;
    } else if (option == "--no-shrink") {
      options.shrink = false;
    } else if (option == "--mutations" && mutations_built) {
      options.mutations = true;
    } else if (option == "--mutation" && mutations_built) {
      if (!activate_mutation(i + 1 < argc ? argv[++i] : "")) usage("no such mutation; they are" + mutation_names());
    } else {
      usage("unknown option " + option);
    }
  }
  return options;
}

}  // namespace
}  // namespace atl::sim

int main(int argc, char** argv) {
  const atl::sim::Options options = atl::sim::parse(argc, argv);
  if (options.mutations) return atl::sim::show_mutations(options.seed, options.steps, options.seeds_max, options.jobs);
  return atl::sim::simulate(options);
}
