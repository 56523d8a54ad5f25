// fallback_test.cc: where io_uring is refused, the loop falls back to threads, and says why when it must not.
//
// The refusal is real: a seccomp filter, as a container has it, on a thread that lives only for the case.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <thread>

#include "io/loop_thread.h"
#include "test/support/io_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

/// From here on this thread (and those it starts) get `error` for io_uring_setup. Cannot be undone.
bool refuse_io_uring(uint32_t error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Refuses io_uring_register with EINVAL: a kernel that has rings but cannot say what they can do.
bool refuse_probe() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_register, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Runs the body on a thread of its own and waits.
template <class Body>
void on_thread(Body body) {
  std::thread thread(body);
  thread.join();
}

LoopOptions options_of(IoKind kind) {
  LoopOptions options;
  options.kind = kind;
  options.name = "refused";
  return options;
}

}  // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE("loop: automatic takes io_uring where the kernel has it") {
  Result<std::unique_ptr<Loop>> loop = Loop::create(options_of(IoKind::automatic));
  REQUIRE(loop.ok());
  CHECK((*loop)->kind() == (kernel_has_io_uring() ? IoKind::uring : IoKind::threads));
}

TEST_CASE("loop: automatic falls back to threads where io_uring is refused, and works") {
  for (const uint32_t error : {EPERM, ENOSYS, ENOMEM})
    on_thread([error] {
      REQUIRE(refuse_io_uring(error));
      Result<std::unique_ptr<LoopThread>> thread = LoopThread::start(options_of(IoKind::automatic));
      REQUIRE(thread.ok());
      Loop& loop = (*thread)->loop();
      CHECK(loop.kind() == IoKind::threads);
      struct Body {
        static Task<void> run(Loop* on, int fd) {
          const std::string text = "written without io_uring";
          const int32_t count = co_await on->write(fd, bytes_of(text), 0);
          CHECK(count == static_cast<int32_t>(text.size()));
          on->stop();
        }
      };
      Fd file = temporary_file();
      spawn_on(loop, Body::run(&loop, file.get()));
      (*thread)->join();
    });
}

TEST_CASE("loop: a loop that must be io_uring is refused in words where io_uring is") {
  on_thread([] {
    REQUIRE(refuse_io_uring(EPERM));
    Result<std::unique_ptr<Loop>> loop = Loop::create(options_of(IoKind::uring));
    REQUIRE(!loop.ok());
    CHECK(loop.error().code == Code::unsupported);
    CHECK(loop.error().message == "io_uring: setting up a ring: Operation not permitted");
  });
}

TEST_CASE("loop: a kernel whose rings cannot be probed counts as one without") {
  on_thread([] {
    REQUIRE(refuse_probe());
    Result<std::unique_ptr<Loop>> ring = Loop::create(options_of(IoKind::uring));
    REQUIRE(!ring.ok());
    CHECK(ring.error().code == Code::unsupported);
    Result<std::unique_ptr<Loop>> loop = Loop::create(options_of(IoKind::automatic));
    REQUIRE(loop.ok());
    CHECK((*loop)->kind() == IoKind::threads);
  });
}

TEST_SUITE_END();
