// conformance_test.cc: what every DataStore does, over every one there is.
#include <cstring>
#include <set>

#include "base/async.h"
#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

constexpr DataFileId file_7{7};
const std::string zeros_4k(4096, '\0');

std::string zeros(size_t length) { return std::string(length, '\0'); }

Result<void> write(StoreBed& bed, DataFileId file, uint64_t offset, const std::string& bytes) {
  return call(bed, bed.store().write(file, offset, bytes_of(bytes)));
}

Result<void> read(StoreBed& bed, DataFileId file, uint64_t offset, size_t length) {
  std::string into(length, '?');
  return call(bed, bed.store().read(file, offset, bytes_of(into)));
}

std::set<uint64_t> files_of(StoreBed& bed) {
  std::set<uint64_t> files;
  REQUIRE_OK(call(bed, bed.store().list_files([&](DataFileId file) { REQUIRE(files.insert(number(file)).second); })));
  return files;
}

std::set<Digest> content_of(StoreBed& bed) {
  std::set<Digest> digests;
  REQUIRE_OK(
      call(bed, bed.store().list_content([&](const Digest& digest) { REQUIRE(digests.insert(digest).second); })));
  return digests;
}

}  // namespace

TEST_CASE("data store: a file that was never written cannot be read and is nowhere") {
  for_each_store({}, [](StoreBed& bed) {
    CHECK_CODE(Code::corrupt, read(bed, file_7, 0, 10'000));
    CHECK_CODE(Code::corrupt, read(bed, file_7, max_resource_bytes - 4096, 4096));
    CHECK(*call(bed, bed.store().allocated_bytes(file_7)) == 0);
    CHECK(files_of(bed).empty());
    REQUIRE_OK(call(bed, bed.store().sync(file_7)));
    REQUIRE_OK(call(bed, bed.store().punch(file_7, 0, 1 << 20)));
    REQUIRE_OK(call(bed, bed.store().reopen(file_7)));
    REQUIRE_OK(call(bed, bed.store().remove(file_7)));
    CHECK(files_of(bed).empty());
  });
}

TEST_CASE("data store: holes between writes are zeros, and what lies past the end is corrupt, never zeros") {
  for_each_store({}, [](StoreBed& bed) {
    const std::string written = pattern(1, 8192);
    REQUIRE_OK(write(bed, file_7, 40'960, written));
    CHECK(read_back(bed, file_7, 0, 4096) == zeros_4k);
    CHECK(read_back(bed, file_7, 36'864, 12'288) == zeros_4k + written);
    CHECK(read_back(bed, file_7, 40'960 + 8192 - 10, 10) == written.substr(8182));
    for (const auto& [offset, length] : std::vector<std::pair<uint64_t, size_t>>{
             {40'960 + 8192 - 10, 11}, {36'864, 16'384}, {49'152, 1}, {49'152, 4096}, {2 << 20, 4096}})
      CHECK_CODE(Code::corrupt, read(bed, file_7, offset, length));
  });
}

TEST_CASE("data store: a write across segments is one write to its caller") {
  for_each_store({}, [](StoreBed& bed) {
    const std::string written = pattern(2, (2 << 20) + 8192);  // touches four segments
    const uint64_t offset = (1 << 20) - 4096;
    REQUIRE_OK(write(bed, file_7, offset, written));
    CHECK(read_back(bed, file_7, offset, written.size()) == written);
    CHECK(read_back(bed, file_7, offset - 4096, written.size() + 4096) == zeros_4k + written);
    CHECK_CODE(Code::corrupt, read(bed, file_7, offset, written.size() + 4096));
    CHECK(files_of(bed) == std::set<uint64_t>{7});
    REQUIRE_OK(call(bed, bed.store().sync(file_7)));
    REQUIRE_OK(call(bed, bed.store().punch(file_7, offset + 4096, 2 << 20)));
    CHECK(read_back(bed, file_7, offset, written.size()) ==
          written.substr(0, 4096) + zeros(2 << 20) + written.substr((2 << 20) + 4096));
    REQUIRE_OK(call(bed, bed.store().remove(file_7)));
    CHECK_CODE(Code::corrupt, read(bed, file_7, offset, written.size()));
    CHECK(files_of(bed).empty());
  });
}

TEST_CASE("data store: the last block of the largest resource can be written") {
  for_each_store({.segment_bytes = uint64_t{1} << 40}, [](StoreBed& bed) {
    const std::string written = pattern(3, 4096);
    REQUIRE_OK(write(bed, file_7, max_resource_bytes - 4096, written));
    REQUIRE_OK(call(bed, bed.store().sync(file_7)));
    CHECK(read_back(bed, file_7, max_resource_bytes - 4096, 4096) == written);
    CHECK(*call(bed, bed.store().allocated_bytes(file_7)) <= 65'536);
    REQUIRE_OK(call(bed, bed.store().remove(file_7)));
  });
}

TEST_CASE("data store: write_zeroes reads back as zeros, also where nothing was") {
  for_each_store({}, [](StoreBed& bed) {
    REQUIRE_OK(write(bed, file_7, 0, pattern(4, 65'536)));
    REQUIRE_OK(call(bed, bed.store().write_zeroes(file_7, 4096, 8192)));
    REQUIRE_OK(call(bed, bed.store().write_zeroes(file_7, (1 << 20) - 8192, 16'384)));
    CHECK(read_back(bed, file_7, 0, 65'536) == pattern(4, 65'536).replace(4096, 8192, zeros(8192)));
    CHECK(read_back(bed, file_7, (1 << 20) - 8192, 16'384) == zeros(16'384));
    CHECK(*call(bed, bed.store().allocated_bytes(file_7)) >= 65'536 + 16'384);
  });
}

TEST_CASE("data store: what was written is there after a restart") {
  for_each_store({}, [](StoreBed& bed) {
    const std::string written = pattern(5, 3 << 20);
    REQUIRE_OK(write(bed, file_7, 0, written));
    REQUIRE_OK(call(bed, bed.store().sync(file_7)));
    bed.restart();
    CHECK(read_back(bed, file_7, 0, written.size()) == written);
    CHECK(files_of(bed) == std::set<uint64_t>{7});
    REQUIRE_OK(call(bed, bed.store().remove(file_7)));
    bed.restart();
    CHECK_CODE(Code::corrupt, read(bed, file_7, 0, written.size()));
    CHECK(files_of(bed).empty());
  });
}

TEST_CASE("data store: files are apart from each other, and listed") {
  for_each_store({}, [](StoreBed& bed) {
    // Same directory (the last two digits), same first digits, the largest number there is.
    const std::vector<uint64_t> ids{1, 257, 0x1'0000'0001, (uint64_t{1} << 53) - 1};
    for (const uint64_t id : ids) REQUIRE_OK(write(bed, DataFileId{id}, 0, pattern(id, 4096)));
    for (const uint64_t id : ids) CHECK(read_back(bed, DataFileId{id}, 0, 4096) == pattern(id, 4096));
    CHECK(files_of(bed) == std::set<uint64_t>{ids.begin(), ids.end()});
    REQUIRE_OK(call(bed, bed.store().remove(DataFileId{1})));
    CHECK_CODE(Code::corrupt, read(bed, DataFileId{1}, 0, 4096));
    CHECK(read_back(bed, DataFileId{257}, 0, 4096) == pattern(257, 4096));
  });
}

TEST_CASE("data store: a sync without changes does nothing") {
  for_each_store({}, [](StoreBed& bed) {
    REQUIRE_OK(write(bed, file_7, 0, pattern(1, 4096)));
    REQUIRE_OK(call(bed, bed.store().sync(file_7)));
    if (bed.local() == nullptr) return;
    const uint64_t before = bed.store().counters().syncs;
    REQUIRE_OK(call(bed, bed.store().sync(file_7)));
    CHECK(bed.store().counters().syncs == before);
    REQUIRE_OK(call(bed, bed.store().punch(file_7, 0, 4096)));
    REQUIRE_OK(call(bed, bed.store().sync(file_7)));
    CHECK(bed.store().counters().syncs == before + 1);
  });
}

TEST_CASE("data store: random changes of a file match a plain array of bytes") {
  const uint64_t seed = test_seed();
  CAPTURE(seed);
  for_each_store({.max_open_files = 3}, [seed](StoreBed& bed) {  // fewer than the file has segments
    sim::Random random{seed};
    std::string model = pattern(seed, 6 << 20);
    REQUIRE_OK(write(bed, file_7, 0, model));  // to the end of each segment: past it nothing can be read
    const uint64_t unit = bed.store().write_alignment();
    AlignedBuffer memory{(1 << 20) + 8192};
    for (int step = 0; step < 400; step++) {
      CAPTURE(step);
      const uint64_t scale = random.one_in(4) ? 1 << 20 : 16 << 10;
      const uint64_t length = (1 + random.below(scale)) / unit * unit;
      const uint64_t offset = random.below(model.size() - length) / unit * unit;
      const uint64_t choice = random.below(100);
      if (choice < 40) {
        const std::string bytes = pattern(random.next(), length);
        // Aligned memory or not: direct I/O must take both.
        const MutableBytes from = memory.bytes().subspan(random.one_in(2) ? 0 : random.below(4096), length);
        std::memcpy(from.data(), bytes.data(), length);
        REQUIRE_OK(call(bed, bed.store().write(file_7, offset, from)));
        model.replace(offset, length, bytes);
      } else if (choice < 75) {
        const uint64_t count = random.below(scale);
        const uint64_t at = random.below(model.size() - count);
        const MutableBytes into = memory.bytes().subspan(random.one_in(2) ? 0 : random.below(4096), count);
        REQUIRE_OK(call(bed, bed.store().read(file_7, at, into)));
        REQUIRE(std::memcmp(into.data(), model.data() + at, count) == 0);
      } else if (choice < 85) {
        REQUIRE_OK(call(bed, bed.store().punch(file_7, offset, length)));
        model.replace(offset, length, zeros(length));
      } else if (choice < 92) {
        REQUIRE_OK(call(bed, bed.store().write_zeroes(file_7, offset, length)));
        model.replace(offset, length, zeros(length));
      } else if (choice < 98) {
        REQUIRE_OK(call(bed, bed.store().sync(file_7)));
      } else {
        bed.restart();
      }
    }
    CHECK(read_back(bed, file_7, 0, model.size()) == model);
  });
}

TEST_CASE("content: a chunk reads back to its end and no further, until it is dropped") {
  for_each_store({}, [](StoreBed& bed) {
    std::string chunk = pattern(8, 100'001);
    chunk.replace(20'000, 50'000, zeros(50'000));  // a hole inside
    const Digest digest = digest_of(chunk);
    CHECK_CODE(Code::not_found, call(bed, bed.store().content_bytes(digest)));
    REQUIRE_OK(call(bed, bed.store().put_content(digest, bytes_of(chunk))));
    CHECK(*call(bed, bed.store().content_bytes(digest)) == chunk.size());
    CHECK(read_content_back(bed, digest, 0, chunk.size()) == chunk);
    CHECK(read_content_back(bed, digest, 98'304, 100'001 - 98'304) == chunk.substr(98'304));
    std::string past(8192, '?');
    CHECK_CODE(Code::corrupt, call(bed, bed.store().read_content(digest, 98'304, bytes_of(past))));
    CHECK_CODE(Code::corrupt, call(bed, bed.store().read_content(digest, 200'000, bytes_of(past))));
    CHECK(content_of(bed) == std::set<Digest>{digest});
    CHECK(files_of(bed).empty());
    bed.restart();
    CHECK(read_content_back(bed, digest, 1, 5000) == chunk.substr(1, 5000));
    REQUIRE_OK(call(bed, bed.store().drop_content(digest)));
    std::string into(10, '?');
    CHECK_CODE(Code::not_found, call(bed, bed.store().read_content(digest, 0, bytes_of(into))));
    CHECK_CODE(Code::not_found, call(bed, bed.store().content_bytes(digest)));
    REQUIRE_OK(call(bed, bed.store().drop_content(digest)));
    CHECK(content_of(bed).empty());
  });
}

TEST_CASE("content: a chunk of zeros, of one byte, and of a whole region") {
  for_each_store({}, [](StoreBed& bed) {
    std::set<Digest> all;
    for (const std::string& chunk : {zeros(12'345), std::string{"x"}, pattern(9, region_bytes)}) {
      const Digest digest = digest_of(chunk);
      all.insert(digest);
      REQUIRE_OK(call(bed, bed.store().put_content(digest, bytes_of(chunk))));
      CHECK(read_content_back(bed, digest, 0, chunk.size()) == chunk);
      CHECK(*call(bed, bed.store().content_bytes(digest)) == chunk.size());
    }
    CHECK(content_of(bed) == all);
  });
}

TEST_CASE("content: chunks without holes, of whole pages and of some bytes more or less, from any address") {
  for_each_store({}, [](StoreBed& bed) {
    for (const size_t length : {65'535, 65'536, 65'537, 100'000, 1'048'577, 4'194'303, 4'194'304})
      for (const size_t skipped : {0, 1}) {
        const std::string memory = pattern(length + skipped, length + skipped);
        const std::string chunk = memory.substr(skipped);
        const Digest digest = digest_of(chunk);
        REQUIRE_OK(call(bed, bed.store().put_content(digest, bytes_of(memory).subspan(skipped))));
        CHECK(read_content_back(bed, digest, 0, chunk.size()) == chunk);
        CHECK(*call(bed, bed.store().content_bytes(digest)) == chunk.size());
      }
  });
}

TEST_CASE("content: the same chunk put twice, or by many at once, is written once or is whole all the same") {
  for_each_store({}, [](StoreBed& bed) {
    const std::string chunk = pattern(10, 300'000);
    const Digest digest = digest_of(chunk);
    struct Puts {
      static Task<Result<void>> all(DataStore* store, Digest digest, Bytes bytes) {
        std::vector<Task<Result<void>>> puts;
        for (int i = 0; i < 8; i++) puts.push_back(store->put_content(digest, bytes));
        Result<void> done = co_await when_all(std::move(puts));
        co_return done;
      }
    };
    REQUIRE_OK(call(bed, Puts::all(&bed.store(), digest, bytes_of(chunk))));
    CHECK(read_content_back(bed, digest, 0, chunk.size()) == chunk);
    const uint64_t written = bed.store().counters().content_bytes_written;
    REQUIRE_OK(call(bed, bed.store().put_content(digest, bytes_of(chunk))));
    CHECK(bed.store().counters().content_bytes_written == written);
    CHECK(content_of(bed) == std::set<Digest>{digest});
  });
}

TEST_CASE("data store: many operations at once on one file do not get in each other's way") {
  for_each_store({.max_open_files = 2}, [](StoreBed& bed) {
    constexpr size_t piece = 64 << 10;
    constexpr size_t pieces = 64;
    const std::string written = pattern(11, pieces * piece);
    struct All {
      static Task<Result<void>> write(DataStore* store, Bytes bytes) {
        std::vector<Task<Result<void>>> tasks;
        for (size_t i = 0; i < pieces; i++) {
          tasks.push_back(store->write(DataFileId{7}, i * piece, bytes.subspan(i * piece, piece)));
          if (i % 8 == 0) tasks.push_back(store->sync(DataFileId{7}));
        }
        Result<void> done = co_await when_all(std::move(tasks));
        co_return done;
      }
      static Task<Result<void>> read(DataStore* store, MutableBytes bytes) {
        std::vector<Task<Result<void>>> tasks;
        for (size_t i = 0; i < pieces; i++)
          tasks.push_back(store->read(DataFileId{7}, i * piece, bytes.subspan(i * piece, piece)));
        Result<void> done = co_await when_all(std::move(tasks));
        co_return done;
      }
    };
    REQUIRE_OK(call(bed, All::write(&bed.store(), bytes_of(written))));
    std::string back(written.size(), '?');
    REQUIRE_OK(call(bed, All::read(&bed.store(), bytes_of(back))));
    CHECK(back == written);
  });
}

TEST_CASE("data store: the counters count bytes") {
  for_each_store({}, [](StoreBed& bed) {
    REQUIRE_OK(write(bed, file_7, 0, pattern(12, 8192)));
    read_back(bed, file_7, 0, 4096);
    REQUIRE_OK(call(bed, bed.store().punch(file_7, 0, 4096)));
    const std::string chunk = pattern(13, 5000);
    REQUIRE_OK(call(bed, bed.store().put_content(digest_of(chunk), bytes_of(chunk))));
    const DataStore::Counters counters = bed.store().counters();
    CHECK(counters.bytes_written == 8192);
    CHECK(counters.bytes_read == 4096);
    CHECK(counters.bytes_punched == 4096);
    CHECK(counters.content_bytes_written == 5000);
  });
}
