// local_test.cc: what is peculiar to the store on a local file system.
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "store/local/local_store.h"
#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

namespace fs = std::filesystem;

Result<void> write(StoreBed& bed, uint64_t file, uint64_t offset, const std::string& bytes) {
  return call(bed, bed.store().write(DataFileId{file}, offset, bytes_of(bytes)));
}

uint64_t allocated(StoreBed& bed, uint64_t file) {
  Result<uint64_t> bytes = call(bed, bed.store().allocated_bytes(DataFileId{file}));
  REQUIRE_OK(bytes);
  return *bytes;
}

std::set<std::string> names_under(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (!entry.is_directory()) names.insert(fs::relative(entry.path(), directory).string());
  return names;
}

}  // namespace

TEST_CASE("local store: files are called as docs/internals/format.md says") {
  for_each_local_store({}, [](StoreBed& bed) {
    REQUIRE_OK(write(bed, 0xabc, (1 << 20) - 4096, pattern(1, 8192)));
    const std::string chunk = pattern(2, 100);
    REQUIRE_OK(call(bed, bed.store().put_content(digest_of(chunk), bytes_of(chunk))));
    const std::string hex = digest_of(chunk).hex();
    CHECK(names_under(bed.directory()) == std::set<std::string>{"data/bc/0000000000000abc.0",
                                                                "data/bc/0000000000000abc.1",
                                                                "content/" + hex.substr(0, 2) + "/" + hex.substr(2)});
    REQUIRE_OK(call(bed, bed.store().remove(DataFileId{0xabc})));
    REQUIRE_OK(call(bed, bed.store().drop_content(digest_of(chunk))));
    CHECK(names_under(bed.directory()).empty());
    CHECK(fs::is_empty(bed.directory() + "/data"));  // directories are gone, too
  });
}

TEST_CASE("local store: a file that is to be removed gives its space back bit by bit") {
  for_each_local_store({}, [](StoreBed& bed) {
    for (uint64_t at = 0; at < (3 << 20); at += 64 << 10) REQUIRE_OK(write(bed, 9, at, pattern(9, 4096)));
    REQUIRE_OK(write(bed, 10, 0, pattern(10, 4096)));
    bool more = true;
    for (int turn = 0; more && turn < 100; turn++) {
      const Result<bool> shrunk = call(bed, bed.store().shrink(DataFileId{9}));
      REQUIRE_OK(shrunk);
      more = *shrunk;
    }
    CHECK_FALSE(more);
    CHECK(allocated(bed, 9) == 0);
    CHECK(allocated(bed, 10) == 4096);
    REQUIRE_OK(call(bed, bed.store().remove(DataFileId{9})));
    const Result<bool> absent = call(bed, bed.store().shrink(DataFileId{9}));
    REQUIRE_OK(absent);
    CHECK_FALSE(*absent);
  });
}

TEST_CASE("local store: names that are not ours are passed over") {
  for_each_local_store({}, [](StoreBed& bed) {
    REQUIRE_OK(write(bed, 1, 0, pattern(1, 4096)));
    for (const char* name : {"data/01/lost", "data/01/0000000000000001.x", "data/01/0000000000000001.00",
                             "data/01/000000000000000F.0", "data/01/0000000000000002.0", "data/stray", "content/ab"})
      std::ofstream{bed.directory() + "/" + name} << "stray";
    std::set<uint64_t> files;
    REQUIRE_OK(call(bed, bed.store().list_files([&](DataFileId file) { files.insert(number(file)); })));
    CHECK(files == std::set<uint64_t>{1});
  });
}

TEST_CASE("local store: punching and removing give space back") {
  for_each_local_store({}, [](StoreBed& bed) {
    REQUIRE_OK(write(bed, 1, 0, pattern(1, 3 << 20)));
    REQUIRE_OK(call(bed, bed.store().sync(DataFileId{1})));
    const uint64_t full = allocated(bed, 1);
    CHECK(full >= 3 << 20);
    REQUIRE_OK(call(bed, bed.store().punch(DataFileId{1}, 512 << 10, 2 << 20)));
    CHECK(allocated(bed, 1) <= full - (2 << 20) + 65'536);
    REQUIRE_OK(call(bed, bed.store().remove(DataFileId{1})));
    CHECK(allocated(bed, 1) == 0);
  });
}

TEST_CASE("local store: zeros in a chunk take no space") {
  for_each_local_store({}, [](StoreBed& bed) {
    std::string chunk(region_bytes, '\0');
    chunk.replace(1 << 20, 4096, pattern(1, 4096));
    const Digest digest = digest_of(chunk);
    REQUIRE_OK(call(bed, bed.store().put_content(digest, bytes_of(chunk))));
    struct stat status {};
    REQUIRE(::stat((bed.directory() + "/content/" + digest.hex().substr(0, 2) + "/" + digest.hex().substr(2)).c_str(),
                   &status) == 0);
    CHECK(status.st_size == region_bytes);
    CHECK(status.st_blocks * 512 <= 65'536);
    CHECK(read_content_back(bed, digest, 0, region_bytes) == chunk);
  });
}

TEST_CASE("local store: what a crash left of a chunk is gone after the next start") {
  for_each_local_store({}, [](StoreBed& bed) {
    std::ofstream{bed.directory() + "/content/new/17"} << "half a chunk";
    bed.restart();
    CHECK(names_under(bed.directory()).empty());
    std::set<Digest> digests;
    REQUIRE_OK(call(bed, bed.store().list_content([&](const Digest& digest) { digests.insert(digest); })));
    CHECK(digests.empty());
  });
}

TEST_CASE("local store: a chunk of the wrong length is replaced when it is put again") {
  for_each_local_store({}, [](StoreBed& bed) {
    const std::string chunk = pattern(1, 10'000);
    const Digest digest = digest_of(chunk);
    REQUIRE_OK(call(bed, bed.store().put_content(digest, bytes_of(chunk))));
    fs::resize_file(bed.directory() + "/content/" + digest.hex().substr(0, 2) + "/" + digest.hex().substr(2), 5000);
    bed.restart();
    CHECK(*call(bed, bed.store().content_bytes(digest)) == 5000);
    REQUIRE_OK(call(bed, bed.store().put_content(digest, bytes_of(chunk))));
    CHECK(read_content_back(bed, digest, 0, chunk.size()) == chunk);
  });
}

TEST_CASE("local store: more files than may be open are all read and written") {
  for_each_local_store({.max_open_files = 8}, [](StoreBed& bed) {
    constexpr uint64_t count = 100;
    for (uint64_t id = 1; id <= count; id++) {
      REQUIRE_OK(write(bed, id, 0, pattern(id, 4096)));
      REQUIRE(bed.local()->open_files() <= 8);
    }
    // The descriptors of unsynced files were closed on the way: not before a sync.
    CHECK(bed.store().counters().syncs >= count - 8);
    for (uint64_t id = count; id > 0; id--) REQUIRE(read_back(bed, DataFileId{id}, 0, 4096) == pattern(id, 4096));
    for (uint64_t id = 1; id <= count; id++) REQUIRE_OK(call(bed, bed.store().sync(DataFileId{id})));
    CHECK(bed.local()->open_files() <= 8);
  });
}

TEST_CASE("local store: a process without a descriptor left closes files it does not use") {
  for_each_local_store({}, [](StoreBed& bed) {
    for (uint64_t id = 1; id <= 32; id++) REQUIRE_OK(write(bed, id, 0, pattern(id, 4096)));
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const int lowest_free = ::dup(0);
    REQUIRE(lowest_free >= 0);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(lowest_free);
    ::close(lowest_free);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const Result<void> written = write(bed, 33, 0, pattern(33, 4096));
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE_OK(written);
    for (uint64_t id = 1; id <= 33; id++) CHECK(read_back(bed, DataFileId{id}, 0, 4096) == pattern(id, 4096));
  });
}

TEST_CASE("local store: opened for reading only it changes nothing") {
  for_each_local_store({}, [](StoreBed& bed) {
    REQUIRE_OK(write(bed, 1, 0, pattern(1, 4096)));
    std::ofstream{bed.directory() + "/content/new/17"} << "half a chunk";
    const std::set<std::string> before = names_under(bed.directory());
    LocalDataStoreOptions options;
    options.read_only = true;
    options.segment_bytes = 1 << 20;
    auto opened = LocalDataStore::open(bed.directory(), options);
    REQUIRE_OK(opened);
    LocalDataStore& store = **opened;
    std::string bytes(4096, '?');
    REQUIRE_OK(call(bed, store.read(DataFileId{1}, 0, bytes_of(bytes))));
    CHECK(bytes == pattern(1, 4096));
    CHECK_CODE(Code::read_only, call(bed, store.write(DataFileId{2}, 0, bytes_of(bytes))));
    CHECK_CODE(Code::read_only, call(bed, store.punch(DataFileId{1}, 0, 4096)));
    CHECK_CODE(Code::read_only, call(bed, store.remove(DataFileId{1})));
    CHECK_CODE(Code::read_only, call(bed, store.shrink(DataFileId{1})));
    CHECK_CODE(Code::read_only, call(bed, store.put_content(digest_of(bytes), bytes_of(bytes))));
    CHECK_CODE(Code::read_only, call(bed, store.drop_content(digest_of(bytes))));
    CHECK(names_under(bed.directory()) == before);
  });
}

TEST_CASE("local store: a second opener is told that it is in use, and one that only reads is not") {
  const TemporaryDirectory directory;
  auto first = open_local_store(directory.path() + "/store", {});
  REQUIRE_OK(first);
  const auto second = open_local_store(directory.path() + "/store", {});
  CHECK_CODE(Code::busy, second);
  CHECK(second.error().message.find("in use by another process") != std::string::npos);
  CHECK(open_local_store(directory.path() + "/store", {.direct = false, .read_only = true}).ok());
}

TEST_CASE("local store: opened for reading only where there is none is an error, and none is made") {
  const TemporaryDirectory directory;
  CHECK(!open_local_store(directory.path() + "/store", {.direct = false, .read_only = true}).ok());
  CHECK(!fs::exists(directory.path() + "/store/data"));
}

// A small file system of one's own needs root, or a user namespace where one is root: then this program runs the case once more
// in such a namespace.
TEST_CASE("local store: a full file system is an error to that write and nothing else breaks") {
  const TemporaryDirectory directory;
  if (::mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=16m") != 0) {
    REQUIRE(errno == EPERM);
    REQUIRE(std::getenv("ATOLL_NAMESPACE") == nullptr);
    const std::string again = "ATOLL_NAMESPACE=1 unshare --map-root-user --mount " +
                              fs::read_symlink("/proc/self/exe").string() +
                              " --test-case='local store: a full file system is an error*' > /dev/null";
    CHECK(std::system(again.c_str()) == 0);
    return;
  }
  {
    LocalDataStoreOptions options;
    auto store = LocalDataStore::open(directory.path() + "/absent/store", options);
    CHECK_CODE(Code::not_found, store);  // the parent of a store must be there
    store = LocalDataStore::open(directory.path(), options);
    REQUIRE_OK(store);
    const auto loop = LoopThread::start({});
    REQUIRE_OK(loop);
    const auto run = [&](Task<Result<void>> task) { return run_and_wait((*loop)->loop(), std::move(task)); };

    const std::string kept = pattern(1, 4 << 20);
    REQUIRE_OK(run((*store)->write(DataFileId{1}, 0, bytes_of(kept))));
    REQUIRE_OK(run((*store)->write_zeroes(DataFileId{1}, 0, 1 << 20)));  // tmpfs has no FALLOC_FL_ZERO_RANGE: written
    const std::string large = pattern(2, 16 << 20);
    CHECK_CODE(Code::no_space, run((*store)->write(DataFileId{2}, 0, bytes_of(large))));
    const std::string chunk = pattern(3, region_bytes);
    CHECK_CODE(Code::no_space, run((*store)->put_content(digest_of(chunk), bytes_of(chunk))));
    CHECK_CODE(Code::no_space, run((*store)->write_zeroes(DataFileId{3}, 0, 1 << 20)));
    REQUIRE_OK(run((*store)->write(DataFileId{1}, 2 << 20, bytes_of(kept.substr(0, 4096)))));  // in place
    REQUIRE_OK(run((*store)->sync(DataFileId{1})));

    REQUIRE_OK(run((*store)->remove(DataFileId{2})));
    REQUIRE_OK(run((*store)->put_content(digest_of(chunk), bytes_of(chunk))));
    REQUIRE_OK(run((*store)->punch(DataFileId{1}, 0, 2 << 20)));
    REQUIRE_OK(run((*store)->write_zeroes(DataFileId{3}, 0, 1 << 20)));
    std::string back(4 << 20, '?');
    REQUIRE_OK(run((*store)->read(DataFileId{1}, 0, bytes_of(back))));
    CHECK(back == std::string(2 << 20, '\0') + kept.substr(0, 4096) + kept.substr((2 << 20) + 4096));
    std::string chunk_back(chunk.size(), '?');
    REQUIRE_OK(run((*store)->read_content(digest_of(chunk), 0, bytes_of(chunk_back))));
    CHECK(chunk_back == chunk);
    CHECK(fs::is_empty(directory.path() + "/content/new"));
  }
  CHECK(::umount(directory.path().c_str()) == 0);
}
