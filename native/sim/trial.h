// trial.h: plays scripts in processes of their own, so that a wrong answer, a broken invariant or an endless loop is an answer and
// not the end; and cuts a script that fails down to a short one that fails, too.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "sim/player.h"

namespace atl::sim {

/// Runs `work` in a child process and waits for it. Nothing when it ended well; else the last line of what it said on standard error.
std::optional<std::string> in_child(const std::function<void()>& work);

/// What is wrong with the script, if anything is.
std::optional<std::string> try_script(const Script& script);

struct Shrunk {
  Script script;
  std::string failure;
  uint64_t trials = 0;
};
/// Takes steps out for as long as it fails in a like manner (delta debugging), then makes what is left simpler.
Shrunk shrink(Script script, std::string failure, uint64_t trials_max);

}  // namespace atl::sim
