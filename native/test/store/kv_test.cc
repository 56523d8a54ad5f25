// kv_test.cc: what every Kv does, over RocksDB and the simulator; and what is peculiar to RocksDB.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <thread>

#include "store/local/rocks_kv.h"
#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

class KvBed {
 public:
  virtual ~KvBed() = default;
  virtual Kv& kv() = 0;
  virtual void restart() = 0;
};

class RocksBed final : public KvBed {
 public:
  RocksBed() { open(); }
  Kv& kv() override { return *kv_; }
  void restart() override {
    kv_.reset();
    open();
  }

 private:
  void open() {
    auto kv = RocksKv::open(directory_.path());
    REQUIRE_OK(kv);
    kv_ = std::move(*kv);
  }
  TemporaryDirectory directory_;
  std::unique_ptr<RocksKv> kv_;
};

class SimKvBed final : public KvBed {
 public:
  SimKvBed() : disk_(test_seed()), kv_(disk_.open_kv()) {}
  Kv& kv() override { return *kv_; }
  void restart() override { kv_ = disk_.open_kv(); }

 private:
  sim::Disk disk_;
  std::unique_ptr<Kv> kv_;
};

void for_each_kv(const std::function<void(KvBed&)>& body) {
  SUBCASE("rocks") {
    RocksBed bed;
    body(bed);
  }
  SUBCASE("sim") {
    SimKvBed bed;
    body(bed);
  }
}

std::optional<std::string> get(Kv& kv, std::string_view key, const KvSnapshot* snapshot = nullptr) {
  auto value = kv.get(key, snapshot);
  REQUIRE_OK(value);
  return *value;
}

std::string scan(Kv& kv, std::string_view from, std::string_view to, const KvSnapshot* snapshot = nullptr) {
  std::string seen;
  REQUIRE_OK(kv.scan(from, to, snapshot, [&](std::string_view key, std::string_view value) {
    seen += std::string{key} + "=" + std::string{value} + " ";
    return true;
  }));
  return seen;
}

/// A program that ends by kill -9: this one, with one case to run and a directory to work in.
int run_killed_child(const char* test_case, const std::string& directory) {
  const std::string only = std::string{"--test-case="} + test_case;
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("ATOLL_KILLED_CHILD", directory.c_str(), 1);
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDOUT_FILENO);
    ::execl("/proc/self/exe", "atoll_tests", only.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

}  // namespace

TEST_CASE("kv: what is not there has no value") {
  for_each_kv([](KvBed& bed) {
    CHECK(get(bed.kv(), "a") == std::nullopt);
    CHECK(scan(bed.kv(), "", "") == "");
    REQUIRE_OK(bed.kv().write({{"a", std::nullopt}}, true));
    CHECK(get(bed.kv(), "a") == std::nullopt);
  });
}

TEST_CASE("kv: keys and values are any bytes, keys in the order of bytes") {
  for_each_kv([](KvBed& bed) {
    const std::string zero("\0", 1), high("\xff\xff"), empty;
    REQUIRE_OK(bed.kv().write({{high, "high"}, {"a", empty}, {"a" + zero, zero}, {zero, "zero"}, {"b", high}}, true));
    CHECK(get(bed.kv(), "a") == empty);
    CHECK(get(bed.kv(), "a" + zero) == zero);
    CHECK(scan(bed.kv(), "", "") == zero + "=zero a= a" + zero + "=" + zero + " b=" + high + " " + high + "=high ");
    CHECK(scan(bed.kv(), "a", "b") == "a= a" + zero + "=" + zero + " ");
    CHECK(scan(bed.kv(), "a" + zero, "a" + zero + zero) == "a" + zero + "=" + zero + " ");
    CHECK(scan(bed.kv(), "b", "b") == "");
    CHECK(scan(bed.kv(), "c", "") == high + "=high ");
  });
}

TEST_CASE("kv: a scan ends when its visitor says so") {
  for_each_kv([](KvBed& bed) {
    REQUIRE_OK(bed.kv().write({{"a", "1"}, {"b", "2"}, {"c", "3"}}, false));
    int seen = 0;
    REQUIRE_OK(bed.kv().scan("", "", nullptr, [&](std::string_view, std::string_view) { return ++seen < 2; }));
    CHECK(seen == 2);
  });
}

TEST_CASE("kv: in a batch the last word on a key counts") {
  for_each_kv([](KvBed& bed) {
    REQUIRE_OK(bed.kv().write(
        {{"a", "1"}, {"a", std::nullopt}, {"b", "1"}, {"b", "2"}, {"c", std::nullopt}, {"c", "3"}}, true));
    CHECK(scan(bed.kv(), "", "") == "b=2 c=3 ");
  });
}

TEST_CASE("kv: a snapshot sees one instant, whatever is written later") {
  for_each_kv([](KvBed& bed) {
    REQUIRE_OK(bed.kv().write({{"a", "1"}, {"b", "1"}}, true));
    const std::unique_ptr<KvSnapshot> before = bed.kv().snapshot();
    REQUIRE_OK(bed.kv().write({{"a", "2"}, {"b", std::nullopt}, {"c", "2"}}, true));
    const std::unique_ptr<KvSnapshot> between = bed.kv().snapshot();
    REQUIRE_OK(bed.kv().write({{"a", std::nullopt}, {"b", "3"}}, false));
    CHECK(scan(bed.kv(), "", "", before.get()) == "a=1 b=1 ");
    CHECK(scan(bed.kv(), "", "", between.get()) == "a=2 c=2 ");
    CHECK(scan(bed.kv(), "", "") == "b=3 c=2 ");
    CHECK(get(bed.kv(), "b", before.get()) == "1");
    CHECK(get(bed.kv(), "b", between.get()) == std::nullopt);
    CHECK(get(bed.kv(), "c", before.get()) == std::nullopt);
  });
}

TEST_CASE("kv: what was written is there after a restart, durable or not") {
  for_each_kv([](KvBed& bed) {
    REQUIRE_OK(bed.kv().write({{"a", "1"}, {"b", "1"}}, true));
    REQUIRE_OK(bed.kv().write({{"b", std::nullopt}, {"c", "2"}}, false));
    bed.restart();
    CHECK(scan(bed.kv(), "", "") == "a=1 c=2 ");
    bed.restart();
    CHECK(scan(bed.kv(), "", "") == "a=1 c=2 ");
  });
}

TEST_CASE("kv: random batches match a plain map, through snapshots and restarts") {
  const uint64_t seed = test_seed();
  CAPTURE(seed);
  for_each_kv([seed](KvBed& bed) {
    sim::Random random{seed};
    using Model = std::map<std::string, std::string>;
    const auto flat = [](const Model& model) {
      std::string text;
      for (const auto& [key, value] : model) text += key + "=" + value + " ";
      return text;
    };
    Model model;
    std::vector<std::pair<std::unique_ptr<KvSnapshot>, Model>> snapshots;
    for (int step = 0; step < 300; step++) {
      CAPTURE(step);
      std::vector<KvMutation> batch;
      for (uint64_t i = random.below(6); i > 0; i--) {
        const std::string key = "k" + std::to_string(random.below(40));
        if (random.one_in(3)) {
          batch.push_back({key, std::nullopt});
          model.erase(key);
        } else {
          batch.push_back({key, std::to_string(random.next())});
          model[key] = *batch.back().value;
        }
      }
      REQUIRE_OK(bed.kv().write(batch, random.one_in(8)));
      if (random.one_in(10)) snapshots.emplace_back(bed.kv().snapshot(), model);
      if (random.one_in(20) && !snapshots.empty()) snapshots.erase(snapshots.begin());
      if (random.one_in(60)) {
        snapshots.clear();
        bed.restart();
      }
      if (!random.one_in(4)) continue;
      REQUIRE(scan(bed.kv(), "", "") == flat(model));
      for (const auto& [snapshot, then] : snapshots) REQUIRE(scan(bed.kv(), "", "", snapshot.get()) == flat(then));
      const std::string key = "k" + std::to_string(random.below(40));
      REQUIRE(get(bed.kv(), key) == (model.contains(key) ? std::optional{model[key]} : std::nullopt));
    }
  });
}

TEST_CASE("records: a durable write survives kill -9, with all that was written before it") {
  if (const char* directory = std::getenv("ATOLL_KILLED_CHILD")) {
    auto kv = RocksKv::open(directory);
    REQUIRE_OK(kv);
    for (int i = 0; i < 1000; i++)
      REQUIRE_OK((*kv)->write({{"lazy" + std::to_string(i), std::string(1000, 'x')}}, false));
    REQUIRE_OK((*kv)->write({{"durable", "yes"}}, true));
    ::raise(SIGKILL);
  }
  const TemporaryDirectory directory;
  REQUIRE(run_killed_child("records: a durable write survives kill -9*", directory.path()) == SIGKILL);
  auto kv = RocksKv::open(directory.path());
  REQUIRE_OK(kv);
  CHECK(get(**kv, "durable") == "yes");
  for (int i = 0; i < 1000; i++) REQUIRE(get(**kv, "lazy" + std::to_string(i)).has_value());
}

TEST_CASE("records: a log that a power cut left torn keeps all up to the tear") {
  const TemporaryDirectory directory;
  std::filesystem::path log;
  uintmax_t durable_bytes = 0;
  const std::string copy = directory.path() + "/copy";
  {
    auto kv = RocksKv::open(directory.path() + "/records");
    REQUIRE_OK(kv);
    REQUIRE_OK((*kv)->write({{"a", "1"}}, false));
    REQUIRE_OK((*kv)->write({{"b", "1"}}, true));
    for (const auto& entry : std::filesystem::directory_iterator(directory.path() + "/records"))
      if (entry.path().extension() == ".log" && entry.file_size() > 0) log = entry.path();
    REQUIRE(!log.empty());
    durable_bytes = std::filesystem::file_size(log);
    for (int i = 0; i < 10; i++) REQUIRE_OK((*kv)->write({{"c" + std::to_string(i), std::string(1000, 'x')}}, false));
    std::filesystem::copy(directory.path() + "/records", copy, std::filesystem::copy_options::recursive);
  }
  // Zeros where a record was: the pages after it reached the disk, this one did not.
  const std::string torn = copy + "/" + log.filename().string();
  const int fd = ::open(torn.c_str(), O_WRONLY);
  REQUIRE(fd >= 0);
  const std::string zeros(100, '\0');
  REQUIRE(::pwrite(fd, zeros.data(), zeros.size(), static_cast<off_t>(durable_bytes + 3000)) == 100);
  ::close(fd);
  auto kv = RocksKv::open(copy);
  REQUIRE_OK(kv);
  CHECK(get(**kv, "a") == "1");
  CHECK(get(**kv, "b") == "1");
  CHECK(get(**kv, "c0").has_value());
  CHECK(get(**kv, "c9") == std::nullopt);
}

TEST_CASE("kv: settle makes what was written durable, and its number only grows") {
  for_each_kv([](KvBed& bed) {
    uint64_t last = 0;
    for (int i = 0; i < 3; i++) {
      REQUIRE_OK(bed.kv().write({{"k" + std::to_string(i), "v"}}, false));
      const Result<uint64_t> reach = bed.kv().settle();
      REQUIRE_OK(reach);
      CHECK(*reach > last);
      last = *reach;
      bed.restart();
    }
  });
}

TEST_CASE("records: a log that is missing or cut short is corrupt, for those who know how far it reached") {
  for (const bool missing : {true, false})
    for (const bool read_only : {true, false}) {
      CAPTURE(missing);
      CAPTURE(read_only);
      const TemporaryDirectory directory;
      RocksKvOptions options;
      {
        auto kv = RocksKv::open(directory.path());
        REQUIRE_OK(kv);
        for (int i = 0; i < 10; i++) REQUIRE_OK((*kv)->write({{"key " + std::to_string(i), "value"}}, i % 2 == 0));
        options.reach_min = *(*kv)->settle();
      }
      REQUIRE_OK(RocksKv::open(directory.path(), {.read_only = true, .reach_min = options.reach_min}));
      for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
        if (entry.path().extension() != ".log") continue;
        if (missing)
          std::filesystem::remove(entry.path());
        else
          std::filesystem::resize_file(entry.path(), std::filesystem::file_size(entry.path()) / 2);
      }
      options.read_only = read_only;
      const auto opened = RocksKv::open(directory.path(), options);
      CHECK_CODE(Code::corrupt, opened);
      CHECK(opened.error().message.find("its log is missing or cut short") != std::string::npos);
    }
}

TEST_CASE("records: opened for reading only they take no writes and show what is there") {
  const TemporaryDirectory directory;
  RocksKvOptions read_only;
  read_only.read_only = true;
  CHECK(!RocksKv::open(directory.path(), read_only).ok());
  {
    auto kv = RocksKv::open(directory.path());
    REQUIRE_OK(kv);
    REQUIRE_OK((*kv)->write({{"a", "1"}}, true));
  }
  auto kv = RocksKv::open(directory.path(), read_only);
  REQUIRE_OK(kv);
  CHECK(get(**kv, "a") == "1");
  CHECK_CODE(Code::read_only, (*kv)->write({{"a", "2"}}, true));
}

TEST_CASE("records: a file that is not what it must be is corrupt in words") {
  const TemporaryDirectory directory;
  {
    auto kv = RocksKv::open(directory.path());
    REQUIRE_OK(kv);
    REQUIRE_OK((*kv)->write({{"a", "1"}}, true));
  }
  std::filesystem::resize_file(directory.path() + "/CURRENT", 3);
  CHECK_CODE(Code::corrupt, RocksKv::open(directory.path()));
}

// As in store_local.cc: without root it runs once more in a user namespace.
TEST_CASE("records: a full file system is no_space, and writes go on once there is space") {
  const TemporaryDirectory directory;
  if (::mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=24m") != 0) {
    REQUIRE(errno == EPERM);
    REQUIRE(std::getenv("ATOLL_NAMESPACE") == nullptr);
    const std::string again = "ATOLL_NAMESPACE=1 unshare --map-root-user --mount " +
                              std::filesystem::read_symlink("/proc/self/exe").string() +
                              " --test-case='records: a full file system*' > /dev/null";
    CHECK(std::system(again.c_str()) == 0);
    return;
  }
  {
    auto kv = RocksKv::open(directory.path() + "/records");
    REQUIRE_OK(kv);
    const std::string ballast = directory.path() + "/ballast";
    const int fd = ::open(ballast.c_str(), O_CREAT | O_WRONLY, 0600);
    REQUIRE(::posix_fallocate(fd, 0, 16 << 20) == 0);
    ::close(fd);
    const std::string value(200'000, 'v');
    int written = 0;
    Result<void> last;
    while ((last = (*kv)->write({{"k" + std::to_string(written), value}}, true)).ok()) REQUIRE(++written < 1000);
    CHECK_CODE(Code::no_space, last);
    for (int i = 0; i < 3; i++) CHECK_CODE(Code::no_space, (*kv)->write({{"again", value}}, true));
    CHECK(get(**kv, "k0") == value);
    CHECK(get(**kv, "k" + std::to_string(written)) == std::nullopt);

    std::filesystem::remove(ballast);
    REQUIRE_OK((*kv)->write({{"after", value}}, true));
    kv->reset();
    kv = RocksKv::open(directory.path() + "/records");
    REQUIRE_OK(kv);
    for (int i = 0; i < written; i++) REQUIRE(get(**kv, "k" + std::to_string(i)) == value);
    CHECK(get(**kv, "k" + std::to_string(written)) == std::nullopt);
    CHECK(get(**kv, "again") == std::nullopt);
    CHECK(get(**kv, "after") == value);
  }
  CHECK(::umount(directory.path().c_str()) == 0);
}
