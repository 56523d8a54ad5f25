// machine_test.cc: the simulated machine keeps the promises of real executors, and of its seed.
#include "sim/machine.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "base/async.h"

using namespace atl;
using namespace atl::sim;

namespace {

struct Steps {
  static Task<void> run(JobSink* sink, char name, int steps, std::string* log) {
    for (int i = 0; i < steps; i++) {
      co_await sink->schedule();
      *log += name;
    }
  }
};

std::string interleaving(uint64_t seed) {
  Machine machine{seed};
  std::string log;
  SimExecutor& one = machine.add_executor();
  SimExecutor& two = machine.add_executor();
  SimPool& pool = machine.add_pool(2);
  spawn(Steps::run(&one, 'a', 10, &log));
  spawn(Steps::run(&two, 'b', 10, &log));
  spawn(Steps::run(&pool, 'p', 10, &log));
  machine.run_until_idle();
  return log;
}

}  // namespace

TEST_CASE("sim machine: a seed gives one interleaving, another seed another") {
  CHECK(interleaving(1) == interleaving(1));
  CHECK(interleaving(1).size() == 30);
  int different = 0;
  for (uint64_t seed = 2; seed < 12; seed++) different += interleaving(seed) != interleaving(1);
  CHECK(different >= 9);
}

TEST_CASE("sim machine: an executor runs its jobs in the order of posting") {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    Machine machine{seed};
    SimExecutor& executor = machine.add_executor();
    std::string log;
    for (const char name : {'a', 'b', 'c', 'd'}) spawn(Steps::run(&executor, name, 1, &log));
    machine.run_until_idle();
    REQUIRE(log == "abcd");
  }
}

TEST_CASE("sim machine: jobs of a pool may end in any order, those of a pool of one thread not") {
  bool reordered = false;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    Machine machine{seed};
    std::string one_log, four_log;
    SimPool& one = machine.add_pool(1);
    SimPool& four = machine.add_pool(4);
    for (const char name : {'a', 'b', 'c', 'd'}) {
      spawn(Steps::run(&one, name, 1, &one_log));
      spawn(Steps::run(&four, name, 1, &four_log));
    }
    machine.run_until_idle();
    REQUIRE(one_log == "abcd");
    reordered |= four_log != "abcd";
    std::sort(four_log.begin(), four_log.end());
    REQUIRE(four_log == "abcd");
  }
  CHECK(reordered);
}

TEST_CASE("sim machine: there is an executor while its jobs run, and none on a pool") {
  Machine machine{1};
  SimExecutor& executor = machine.add_executor();
  SimPool& pool = machine.add_pool();
  struct Look {
    static Task<bool> run(SimExecutor* home, SimPool* away) {
      bool right = Executor::current() == home;
      co_await away->schedule();
      right = right && Executor::current() == nullptr;
      co_await home->schedule();
      co_return right&& Executor::current() == home;
    }
  };
  CHECK(machine.run(executor, Look::run(&executor, &pool)));
  CHECK(Executor::current() == nullptr);
}

TEST_CASE("sim machine: sleepers wake in order of time, on their executors, not before it is time") {
  Machine machine{1};
  SimExecutor& one = machine.add_executor();
  SimExecutor& two = machine.add_executor();
  std::string log;
  struct Sleep {
    static Task<void> run(SimExecutor* executor, uint64_t delay_ns, char name, std::string* log) {
      co_await executor->schedule();
      const uint64_t before = executor->now_ns();
      co_await executor->sleep_ns(delay_ns);
      CHECK(executor->now_ns() >= before + delay_ns);
      CHECK(executor->on_thread());
      *log += name;
    }
  };
  spawn(Sleep::run(&one, 3'000'000, 'c', &log));
  spawn(Sleep::run(&two, 1'000'000, 'a', &log));
  spawn(Sleep::run(&one, 2'000'000, 'b', &log));
  machine.run_until_idle();
  CHECK(log == "abc");
  CHECK(machine.now_ns() < 4'000'000);  // waiting costs nothing but simulated time
}

TEST_CASE("sim machine: run() answers with what the task answered") {
  Machine machine{1};
  SimExecutor& executor = machine.add_executor();
  SimPool& pool = machine.add_pool();
  struct Work {
    static Task<Result<std::string>> run(Executor* home, JobSink* away) {
      co_await away->schedule();
      std::string text = "done";
      co_await home->schedule();
      co_return text;
    }
  };
  CHECK(*machine.run(executor, Work::run(&executor, &pool)) == "done");
}
