#include "sim/trial.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>

namespace atl::sim {
namespace {

constexpr unsigned child_seconds_max = 60;

/// Failures of one kind differ in their numbers.
std::string kind_of(const std::string& failure) {
  std::string kind;
  for (char c : failure)
    if ((c < '0' || c > '9') && kind.size() < 200) kind.push_back(c);
  return kind.substr(0, 40);
}

}  // namespace

std::optional<std::string> in_child(const std::function<void()>& work) {
  int ends[2];
  VERIFY(::pipe(ends) == 0);
  std::cout << std::flush;
  const pid_t child = ::fork();
  VERIFY(child >= 0);
  if (child == 0) {
    ::close(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
    ::alarm(child_seconds_max);
    work();
    std::cout << std::flush;
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<size_t>(n));
  ::close(ends[0]);
  int status = 0;
  VERIFY(::waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
  while (!said.empty() && said.back() == '\n') said.pop_back();
  const size_t line = said.rfind('\n');
  std::string last = line == std::string::npos ? said : said.substr(line + 1);
  if (last.starts_with("wrong: ")) last = last.substr(7);
  if (last.empty() && WIFSIGNALED(status))
    last = WTERMSIG(status) == SIGALRM ? "a run takes longer than a minute"
                                       : "ended by signal " + std::to_string(WTERMSIG(status));
  return last;
}

std::optional<std::string> try_script(const Script& script) {
  return in_child([&script] { (void)Player{script, false}.play(); });
}

Shrunk shrink(Script script, std::string failure, uint64_t trials_max) {
  Shrunk best{std::move(script), std::move(failure), 0};
  const std::string kind = kind_of(best.failure);
  const auto try_instead = [&](const Script& candidate) {
    if (best.trials >= trials_max) return false;
    best.trials++;
    auto fails = try_script(candidate);
    if (!fails || kind_of(*fails) != kind) return false;
    best.script = candidate;
    best.failure = *fails;
    return true;
  };
  // Taking a step out moves all that chance decides after it; so each part is tried under several seeds.
  const auto try_seeds = [&](Script candidate, int seeds) {
    for (int i = 0; i < seeds; i++) {
      if (try_instead(candidate)) return true;
      candidate.seed++;
    }
    return false;
  };
  for (size_t part = best.script.steps.size() / 2; part > 0;) {
    bool shorter = false;
    for (size_t at = 0; at < best.script.steps.size();) {
      Script candidate = best.script;
      const auto from = candidate.steps.begin() + static_cast<std::ptrdiff_t>(at);
      const auto to = from + static_cast<std::ptrdiff_t>(std::min(part, candidate.steps.size() - at));
      candidate.steps.erase(from, to);
      if (try_seeds(std::move(candidate), part > 4 ? 4 : 12))
        shorter = true;
      else
        at += part;
    }
    if (!shorter || part > 1) part = part == 1 ? 0 : part / 2;
  }
  for (size_t at = 0; at < best.script.steps.size(); at++) {
    const auto simpler = [&](auto change) {
      Script candidate = best.script;
      change(candidate.steps[at]);
      (void)try_seeds(std::move(candidate), 3);
    };
    simpler([](Step& step) { step.client = 0; });
    simpler([](Step& step) { step.pause = 0; });
    simpler([](Step& step) { step.pause = 200; });
    simpler([](Step& step) { step.x = false; });
    if (best.script.steps[at].kind == Kind::write) simpler([](Step& step) { step.b = std::min<uint64_t>(step.b, 16); });
    if (best.script.steps[at].kind == Kind::upload)
      simpler([](Step& step) { step.a = std::min<uint64_t>(step.a, 16); });
  }
  return best;
}

}  // namespace atl::sim
