// tasks_test.cc: lives of tasks and of what they hold; when_all and Waiters.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/task.h"

using namespace atl;

namespace {

/// Counts itself: a frame freed twice or never shows in the balance (and to the sanitizers).
struct Counted {
  int* alive;
  explicit Counted(int* count) : alive(count) { ++*alive; }
  Counted(const Counted& other) : alive(other.alive) { ++*alive; }
  Counted(Counted&& other) noexcept : alive(other.alive) { ++*alive; }
  ~Counted() { --*alive; }
};

/// Suspends until someone calls open().
struct Gate {
  std::coroutine_handle<> waiter{};
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) noexcept { waiter = handle; }
  void await_resume() const noexcept {}
  void open() { std::exchange(waiter, {}).resume(); }
};

Task<int> answer(Counted held, int value) {
  (void)held;
  co_return value;
}

Task<int> answer_later(Counted held, Gate* gate, int value) {
  (void)held;
  co_await *gate;
  co_return value;
}

Task<void> keep(Task<int> task, int* into) { *into = co_await task; }

}  // namespace

TEST_CASE("task: it starts only when awaited, and an unstarted one frees what it holds") {
  int alive = 0;
  {
    Task<int> never = answer(Counted{&alive}, 1);
    CHECK(alive == 1);
    Task<int> moved = std::move(never);
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("task: the result arrives, at once or later, and the frame is freed once") {
  int alive = 0, into = 0;
  spawn(keep(answer(Counted{&alive}, 7), &into));
  CHECK(into == 7);
  CHECK(alive == 0);

  Gate gate;
  spawn(keep(answer_later(Counted{&alive}, &gate, 8), &into));
  CHECK(into == 7);
  CHECK(alive == 1);
  gate.open();
  CHECK(into == 8);
  CHECK(alive == 0);
}

TEST_CASE("task: move-only results come out whole") {
  struct Body {
    static Task<std::unique_ptr<std::string>> make() { co_return std::make_unique<std::string>("whole"); }
    static Task<void> take(std::string* into) {
      Task<std::unique_ptr<std::string>> task = make();
      std::unique_ptr<std::string> text = co_await task;
      *into = *text;
    }
  };
  std::string into;
  spawn(Body::take(&into));
  CHECK(into == "whole");
}

// GCC makes symmetric transfer a jump only when it optimises, and never under these sanitizers (task.h, rule 1).
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr uint64_t long_chain = 1'000'000;
#else
constexpr uint64_t long_chain = 2000;
#endif

TEST_CASE("task: long chains of awaits need no stack") {
  struct Body {
    static Task<uint64_t> one() { co_return 1; }
    static Task<void> sum(uint64_t* into) {
      for (uint64_t i = 0; i < long_chain; i++) {
        Task<uint64_t> task = one();
        const uint64_t value = co_await task;
        *into += value;
      }
    }
    static Task<uint64_t> depth(uint64_t left) {
      if (left == 0) co_return 0;
      Task<uint64_t> deeper = depth(left - 1);
      const uint64_t below = co_await deeper;
      co_return below + 1;
    }
    static Task<void> dive(uint64_t* into) {
      Task<uint64_t> task = depth(long_chain / 20);
      *into = co_await task;
    }
  };
  uint64_t sum = 0, depth = 0;
  spawn(Body::sum(&sum));
  CHECK(sum == long_chain);
  spawn(Body::dive(&depth));
  CHECK(depth == long_chain / 20);
}

TEST_CASE("when_all: all run at once, and it ends with the last") {
  struct Body {
    static Task<Result<void>> wait(Gate* gate, Counted held, Code code) {
      (void)held;
      co_await *gate;
      if (code != Code::io) co_return Error{code, "from the task"};
      co_return Result<void>{};
    }
    static Task<void> all(std::vector<Task<Result<void>>> tasks, std::string* into) {
      Task<Result<void>> together = when_all(std::move(tasks));
      Result<void> result = co_await together;
      *into = result ? "ok" : code_name(result.error().code);
    }
  };
  int alive = 0;
  std::string into = "waiting";
  Gate gates[3];

  SUBCASE("the last gate ends it") {
    std::vector<Task<Result<void>>> tasks;
    for (Gate& gate : gates) tasks.push_back(Body::wait(&gate, Counted{&alive}, Code::io));
    spawn(Body::all(std::move(tasks), &into));
    CHECK(alive == 3);
    gates[1].open();
    gates[2].open();
    CHECK(into == "waiting");
    gates[0].open();
    CHECK(into == "ok");
  }
  SUBCASE("the first error in the order of the tasks wins, after all have ended") {
    std::vector<Task<Result<void>>> tasks;
    tasks.push_back(Body::wait(&gates[0], Counted{&alive}, Code::io));
    tasks.push_back(Body::wait(&gates[1], Counted{&alive}, Code::no_space));
    tasks.push_back(Body::wait(&gates[2], Counted{&alive}, Code::corrupt));
    spawn(Body::all(std::move(tasks), &into));
    gates[2].open();
    gates[1].open();
    CHECK(into == "waiting");
    gates[0].open();
    CHECK(into == "no_space");
  }
  SUBCASE("nothing to do is done at once") {
    spawn(Body::all({}, &into));
    CHECK(into == "ok");
  }
  CHECK(alive == 0);
}

TEST_CASE("waiters: woken in order, and who waits again meanwhile stays for the next call") {
  struct Body {
    static Task<void> wait(Waiters* waiters, int times, int number, std::vector<int>* order) {
      for (int i = 0; i < times; i++) {
        co_await waiters->wait();
        order->push_back(number);
      }
    }
  };
  Waiters waiters;
  std::vector<int> order;
  CHECK(waiters.empty());
  waiters.wake_all();
  spawn(Body::wait(&waiters, 2, 1, &order));
  spawn(Body::wait(&waiters, 1, 2, &order));
  spawn(Body::wait(&waiters, 2, 3, &order));
  CHECK(!waiters.empty());
  waiters.wake_all();
  CHECK((order == std::vector<int>{1, 2, 3}));
  waiters.wake_all();
  CHECK((order == std::vector<int>{1, 2, 3, 1, 3}));
  CHECK(waiters.empty());
}

TEST_CASE("frame pool: frames of all sizes are given back and used again") {
  std::vector<std::pair<void*, size_t>> frames;
  for (int round = 0; round < 3; round++) {
    for (size_t bytes = 1; bytes < 6000; bytes += 97) {
      void* frame = FramePool::allocate(bytes);
      std::fill_n(static_cast<char*>(frame), bytes, static_cast<char>(round));
      frames.emplace_back(frame, bytes);
    }
    for (auto [frame, bytes] : frames) FramePool::release(frame, bytes);
    frames.clear();
  }
}
