#include "test/support/store_fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <random>

#include "store/hashing.h"

namespace atl::test {
namespace {

class LocalBed final : public StoreBed {
 public:
  LocalBed(IoKind io, bool direct, const BedOptions& options) {
    LoopOptions loop_options;
    loop_options.kind = io;
    loop_options.name = "test";
    auto loop = LoopThread::start(loop_options);
    REQUIRE_OK(loop);
    loop_ = std::move(*loop);
    options_.direct = direct;
    options_.segment_bytes = options.segment_bytes;
    options_.max_open_files = options.max_open_files;
    options_.reserves = options.reserves;
    open();
  }

  DataStore& store() override { return *store_; }
  void run(Task<void> task) override { run_and_wait(loop_->loop(), std::move(task)); }
  void restart() override {
    store_.reset();
    open();
  }
  LocalDataStore* local() override { return store_.get(); }
  std::string directory() const override { return directory_.path(); }

 private:
  void open() {
    auto store = LocalDataStore::open(directory_.path(), options_);
    REQUIRE_OK(store);
    store_ = std::move(*store);
  }

  TemporaryDirectory directory_;
  LocalDataStoreOptions options_;
  std::unique_ptr<LocalDataStore> store_;
  std::unique_ptr<LoopThread> loop_;
};

class SimBed final : public StoreBed {
 public:
  explicit SimBed(uint64_t seed)
      : machine_(seed), disk_(seed), executor_(machine_.add_executor()), store_(disk_.open_data()) {}
  DataStore& store() override { return *store_; }
  void run(Task<void> task) override { machine_.run(executor_, std::move(task)); }
  void restart() override { store_ = disk_.open_data(); }

 private:
  sim::Machine machine_;
  sim::Disk disk_;
  sim::SimExecutor& executor_;
  std::unique_ptr<DataStore> store_;
};

StoreKind local_kind(std::string name, IoKind io, bool direct) {
  return {std::move(name),
          [io, direct](const BedOptions& options) { return std::make_unique<LocalBed>(io, direct, options); }};
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  const char* parent = std::getenv("ATOLL_TEST_DIRECTORY");
  path_ = std::string{parent == nullptr ? "/var/tmp" : parent} + "/atoll-store-XXXXXX";
  REQUIRE(::mkdtemp(path_.data()) != nullptr);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

uint64_t test_seed() {
  const char* text = std::getenv("ATOLL_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
}

void run_and_wait(JobSink& sink, Task<void> task) {
  struct Wait {
    std::mutex mutex;
    std::condition_variable wake;
    bool done = false;
  } wait;
  struct Run {
    static Task<void> run(Task<void> inner, Wait* wait) {
      co_await inner;
      const std::scoped_lock lock{wait->mutex};
      wait->done = true;
      wait->wake.notify_all();
    }
  };
  spawn_on(sink, Run::run(std::move(task), &wait));
  std::unique_lock lock{wait.mutex};
  wait.wake.wait(lock, [&] { return wait.done; });
}

bool refuse_fdatasync() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fdatasync, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

const std::vector<StoreKind>& store_kinds() {
  static const std::vector<StoreKind> kinds = [] {
    std::vector<StoreKind> all;
    for (const bool direct : {false, true}) {
      const std::string mode = direct ? "-direct" : "";
      if (kernel_has_io_uring()) all.push_back(local_kind("local-uring" + mode, IoKind::uring, direct));
      all.push_back(local_kind("local-threads" + mode, IoKind::threads, direct));
    }
    all.push_back({"sim", [](const BedOptions&) { return std::make_unique<SimBed>(test_seed()); }});
    return all;
  }();
  return kinds;
}

void for_each_store(const BedOptions& options, const std::function<void(StoreBed&)>& body) {
  for (const StoreKind& kind : store_kinds()) {
    SUBCASE(kind.name.c_str()) {
      const std::unique_ptr<StoreBed> bed = kind.make(options);
      body(*bed);
    }
  }
}

void for_each_local_store(const BedOptions& options, const std::function<void(StoreBed&)>& body) {
  for (const StoreKind& kind : store_kinds()) {
    if (kind.name == "sim") continue;
    SUBCASE(kind.name.c_str()) {
      const std::unique_ptr<StoreBed> bed = kind.make(options);
      body(*bed);
    }
  }
}

std::string pattern(uint64_t seed, size_t length) {
  sim::Random random{seed};
  std::string bytes(length, '\0');
  for (char& byte : bytes) byte = static_cast<char>(1 + random.below(255));
  return bytes;
}

std::string read_back(StoreBed& bed, DataFileId file, uint64_t offset, size_t length) {
  std::string bytes(length, '?');
  REQUIRE_OK(call(bed, bed.store().read(file, offset, bytes_of(bytes))));
  return bytes;
}

std::string read_content_back(StoreBed& bed, const Digest& digest, uint64_t offset, size_t length) {
  std::string bytes(length, '?');
  REQUIRE_OK(call(bed, bed.store().read_content(digest, offset, bytes_of(bytes))));
  return bytes;
}

Digest digest_of(const std::string& bytes) {
  Result<Digest> digest = sha256_of(bytes_of(bytes));
  REQUIRE_OK(digest);
  return *digest;
}

}  // namespace atl::test
