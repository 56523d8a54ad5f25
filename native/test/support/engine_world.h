// engine_world.h: an engine over some store, as the engine's tests see it: run a task to its end, restart, cut the power.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/health/check.h"

namespace atl::testing {

class World {
 public:
  virtual ~World() = default;
  virtual const char* name() const = 0;
  virtual Engine& engine() = 0;
  virtual StoreAccess stores() = 0;
  /// Runs the task on the registrar and waits until it has ended.
  virtual void run(Task<void> task) = 0;
  /// A clean stop and a start on the same store.
  virtual void restart() = 0;
  /// The process dies, with the power if the store can lose it; then a start on what survived. False: this world cannot.
  virtual bool crash() { return false; }
  /// The power goes at the nth store operation from now, in the middle of whatever runs then: every call fails until crash().
  virtual void arm_crash(uint64_t operations) { (void)operations; }
  virtual bool is_off() { return false; }
  /// From now on only so many more bytes can be allocated, until the next call; UINT64_MAX: no limit. False: this world cannot.
  virtual bool limit_space(uint64_t more_bytes) {
    (void)more_bytes;
    return false;
  }
  /// Bytes that data files and chunks really take, where the world can tell.
  virtual uint64_t allocated_bytes() { return 0; }
};

struct WorldMaker {
  std::string name;
  std::function<std::unique_ptr<World>(uint64_t seed)> make;
};
/// Every store the engine's tests run over: local (io_uring and threads, buffered and direct) and simulated.
std::vector<WorldMaker> worlds();
std::unique_ptr<World> sim_world(uint64_t seed);

template <class T>
T run_for(World& world, Task<T> task) {
  std::optional<T> value;
  struct Run {
    static Task<void> run(Task<T> task, std::optional<T>* into) { into->emplace(co_await task); }
  };
  world.run(Run::run(std::move(task), &value));
  VERIFY(value.has_value());
  return std::move(*value);
}

/// An upload of the bytes in one piece, into a layer that is new.
Result<void> upload(World& world, LayerId layer, Bytes bytes);

}  // namespace atl::testing
