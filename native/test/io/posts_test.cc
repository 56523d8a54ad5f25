// posts_test.cc: jobs and timers of a loop, and moving between loops and pools.
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "io/blocking_pool.h"
#include "io/loop_thread.h"
#include "test/support/io_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

std::unique_ptr<LoopThread> make_thread(IoKind kind, const char* name) {
  LoopOptions options;
  options.kind = kind;
  options.name = name;
  Result<std::unique_ptr<LoopThread>> thread = LoopThread::start(options);
  REQUIRE(thread.ok());
  return std::move(*thread);
}

/// A job that notes its number on the loop's thread and stops the loop as the last of its kind.
struct Note : Job {
  Loop* loop = nullptr;
  std::vector<uint32_t>* notes = nullptr;
  uint32_t number = 0;
  size_t stop_at = SIZE_MAX;
  Note() {
    run = [](Job& job) noexcept {
      Note& note = static_cast<Note&>(job);
      note.notes->push_back(note.number);
      if (note.notes->size() == note.stop_at) note.loop->stop();
    };
  }
};

}  // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE("loop: jobs of many threads all run, those of one thread in the order of posting") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  constexpr uint32_t posters = 8, each = 5000;
  std::vector<uint32_t> notes;
  std::vector<Note> jobs(posters * each);
  std::unique_ptr<Loop> loop = make_loop(kind);
  for (uint32_t i = 0; i < jobs.size(); i++) {
    jobs[i].loop = loop.get();
    jobs[i].notes = &notes;
    jobs[i].number = i;
    jobs[i].stop_at = jobs.size();
  }
  std::vector<std::thread> threads;
  for (uint32_t p = 0; p < posters; p++)
    threads.emplace_back([&loop, &jobs, p] {
      for (uint32_t i = 0; i < each; i++) {
        loop->post(jobs[p * each + i]);
        if (i % 512 == 0) std::this_thread::yield();  // lets the loop fall asleep now and then
      }
    });
  loop->run();
  for (std::thread& thread : threads) thread.join();
  REQUIRE(notes.size() == jobs.size());
  std::vector<uint32_t> next(posters);
  bool ordered = true;
  for (uint32_t number : notes) ordered = ordered && number % each == next[number / each]++;
  CHECK(ordered);
}

TEST_CASE("loop: what was posted before run() and before stop() still runs") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  std::unique_ptr<Loop> loop = make_loop(kind);
  std::vector<uint32_t> notes;
  std::vector<Note> jobs(1000);
  for (uint32_t i = 0; i < jobs.size(); i++) {
    jobs[i].notes = &notes;
    jobs[i].number = i;
    loop->post(jobs[i]);
  }
  CHECK(!loop->stopping());
  loop->stop();
  loop->stop();
  CHECK(loop->stopping());
  loop->run();
  REQUIRE(notes.size() == jobs.size());
  CHECK(std::is_sorted(notes.begin(), notes.end()));
}

TEST_CASE("loop: current() is the loop while it runs and null elsewhere") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  CHECK(Executor::current() == nullptr);
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        CHECK(Executor::current() == &loop);
        CHECK(&Loop::here() == &loop);
        CHECK(loop.on_thread());
        const uint64_t before = loop.now_ns();
        co_await loop.schedule();
        CHECK(loop.now_ns() >= before);
      });
  CHECK(Executor::current() == nullptr);
}

TEST_CASE("loop: a task hops between two loops and a pool and is where it says") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  std::unique_ptr<LoopThread> other = make_thread(kind, "other");
  Result<std::unique_ptr<BlockingPool>> pool = BlockingPool::create("pool", 2);
  REQUIRE(pool.ok());
  on_loop(
      kind,
      +[](Loop& home, Loop* away, BlockingPool* workers) -> Task<void> {
        uint32_t wrong = 0;
        for (uint32_t i = 0; i < 2000; i++) {
          co_await away->schedule();
          if (!away->on_thread() || home.on_thread()) wrong++;
          co_await workers->schedule();
          if (Executor::current() != nullptr) wrong++;
          co_await home.schedule();
          if (!home.on_thread()) wrong++;
        }
        CHECK(wrong == 0);
      },
      &other->loop(), pool->get());
}

TEST_CASE("run_on: a task runs elsewhere and its result comes home") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  std::unique_ptr<LoopThread> other = make_thread(kind, "other");
  struct Body {
    static Task<std::string> name_of(Loop* where) { co_return where->on_thread() ? "there" : "not there"; }
    static Task<void> run(Loop& home, Loop* away) {
      Task<std::string> ask = name_of(away);
      const std::string answer = co_await run_on(*away, std::move(ask));
      CHECK(answer == "there");
      CHECK(home.on_thread());
      Task<std::string> ask_here = name_of(&home);
      const std::string here = co_await run_on(home, std::move(ask_here));
      CHECK(here == "there");
    }
  };
  on_loop(kind, &Body::run, &other->loop());
}

TEST_CASE("pool: everything posted runs before the pool is gone") {
  std::atomic<uint32_t> ran{0};
  struct Count : Job {
    std::atomic<uint32_t>* ran;
    JobSink* again = nullptr;
  };
  std::vector<Count> jobs(20'000);
  {
    Result<std::unique_ptr<BlockingPool>> pool = BlockingPool::create("pool", 4);
    REQUIRE(pool.ok());
    for (Count& job : jobs) {
      job.ran = &ran;
      job.again = pool->get();
      job.run = [](Job& self) noexcept {
        Count& count = static_cast<Count&>(self);
        // Each posts itself once more: draining includes what is posted on the way.
        if (JobSink* sink = std::exchange(count.again, nullptr)) sink->post(self);
        count.ran->fetch_add(1, std::memory_order_relaxed);
      };
      (*pool)->post(job);
    }
  }
  CHECK(ran.load() == 2 * jobs.size());
}

TEST_CASE("loop: it can be destroyed the moment it has ended, whoever posted last") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  Result<std::unique_ptr<BlockingPool>> pool = BlockingPool::create("pool", 1);
  REQUIRE(pool.ok());
  for (int i = 0; i < 300; i++) {
    on_loop(
        kind,
        +[](Loop& home, BlockingPool* worker) -> Task<void> {
          co_await worker->schedule();
          // The loop sleeps by now, most times. The pool's thread may still be in post() when the loop ends.
          co_await home.schedule();
        },
        pool->get());
  }
}

TEST_CASE("loop thread: stop from any thread ends it, and sleepers notice") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  std::atomic<bool> woken{false};
  {
    std::unique_ptr<LoopThread> thread = make_thread(kind, "sleeper");
    struct Body {
      static Task<void> sleep(Loop* loop, std::atomic<bool>* woken, std::atomic<bool>* asleep) {
        asleep->store(true);
        co_await loop->sleep_ns(uint64_t{3600} * 1'000'000'000);
        CHECK(loop->stopping());
        // Timers set from now on are due at once.
        co_await loop->sleep_ns(UINT64_MAX);
        woken->store(true);
      }
    };
    std::atomic<bool> asleep{false};
    spawn_on(thread->loop(), Body::sleep(&thread->loop(), &woken, &asleep));
    while (!asleep.load()) std::this_thread::yield();
    thread->stop();
    thread->join();
    thread->join();
  }
  CHECK(woken.load());
}

TEST_CASE("loop thread: it bears its name and leaves signals to the main thread, like those of a pool") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  struct Body {
    static void look(std::string* name, bool* deaf) {
      char text[16];
      ::pthread_getname_np(::pthread_self(), text, sizeof text);
      *name = text;
      sigset_t blocked;
      ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
      *deaf = ::sigismember(&blocked, SIGTERM) == 1 && ::sigismember(&blocked, SIGINT) == 1;
    }
    static Task<void> run(Loop* loop, BlockingPool* pool, std::string* names, bool* deaf) {
      look(&names[0], &deaf[0]);
      co_await pool->schedule();
      look(&names[1], &deaf[1]);
      co_await loop->schedule();
      loop->stop();
    }
  };
  Result<std::unique_ptr<BlockingPool>> pool = BlockingPool::create("a pool of long name", 1);
  REQUIRE(pool.ok());
  std::unique_ptr<LoopThread> thread = make_thread(kind, "a loop of long name");
  std::string names[2];
  bool deaf[2] = {};
  spawn_on(thread->loop(), Body::run(&thread->loop(), pool->get(), names, deaf));
  thread->join();
  CHECK(names[0] == "a loop of long ");
  CHECK(names[1] == "a pool of lon-0");
  CHECK(deaf[0]);
  CHECK(deaf[1]);
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  CHECK(::sigismember(&blocked, SIGTERM) == 0);
}

TEST_SUITE_END();

TEST_CASE("loop: sleepers wake in the order of their times, never early") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  struct Body {
    static Task<void> sleeper(Loop* loop, uint32_t ms, std::vector<uint32_t>* order, size_t all) {
      const uint64_t before = loop->now_ns();
      co_await loop->sleep_ns(uint64_t{ms} * 1'000'000);
      CHECK(loop->now_ns() - before >= uint64_t{ms} * 1'000'000);
      order->push_back(ms);
      if (order->size() == all) loop->stop();
    }
    static Task<void> start(Loop* loop, std::vector<uint32_t>* order) {
      co_await loop->schedule();
      const std::vector<uint32_t> times{30, 5, 20, 1, 10, 0, 25, 15};
      for (uint32_t ms : times) spawn(sleeper(loop, ms, order, times.size()));
    }
  };
  std::unique_ptr<Loop> loop = make_loop(kind);
  std::vector<uint32_t> order;
  spawn(Body::start(loop.get(), &order));
  loop->run();
  CHECK(order == std::vector<uint32_t>{0, 1, 5, 10, 15, 20, 25, 30});
}

TEST_CASE("loop: jobs that post themselves for ever do not starve files and timers") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  struct Forever : Job {
    Loop* loop = nullptr;
    uint64_t runs = 0;
  };
  on_loop(
      kind, +[](Loop& loop) -> Task<void> {
        Forever busy[3];
        for (Forever& job : busy) {
          job.loop = &loop;
          job.run = [](Job& self) noexcept {
            Forever& one = static_cast<Forever&>(self);
            one.runs++;
            if (one.loop != nullptr) one.loop->post(self);
          };
          loop.post(job);
        }
        Fd file = temporary_file();
        const std::string text = "here";
        const int32_t count = co_await loop.write(file.get(), bytes_of(text), 0);
        CHECK(count == 4);
        co_await loop.sleep_ns(1'000'000);
        for (Forever& job : busy) job.loop = nullptr;
        // Their last posts are ahead of this one.
        co_await loop.schedule();
        co_await loop.schedule();
        CHECK(busy[0].runs > 1);
      });
}

TEST_CASE("loop: work in flight at stop is completed before run() returns") {
  IoKind kind{};
  FOR_BOTH_LOOPS(kind);
  struct Body {
    static Task<void> run(Loop* loop, int fd, uint32_t* done) {
      co_await loop->schedule();
      loop->stop();
      const std::string text(4096, 'x');
      for (uint64_t i = 0; i < 100; i++) {
        const int32_t count = co_await loop->write(fd, bytes_of(text), i * 4096);
        CHECK(count == 4096);
        ++*done;
      }
      const int32_t synced = co_await loop->fsync(fd);
      CHECK(synced == 0);
      ++*done;
    }
  };
  std::unique_ptr<Loop> loop = make_loop(kind);
  Fd file = temporary_file();
  uint32_t done = 0;
  spawn(Body::run(loop.get(), file.get(), &done));
  loop->run();
  CHECK(done == 101);
}
