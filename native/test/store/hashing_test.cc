// hashing_test.cc: hashes, against the examples of their standards (FIPS 180-4, RFC 1321).
#include <thread>

#include "store/hashing.h"
#include "test/support/store_fixture.h"

using namespace atl;
using namespace atl::test;

namespace {

constexpr const char* sha256_of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* sha256_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* md5_of_nothing = "d41d8cd98f00b204e9800998ecf8427e";
constexpr const char* md5_of_abc = "900150983cd24fb0d6963f7d28e17f72";

std::string finish(RunningHash& hash) {
  Result<std::string> hex = hash.finish_hex();
  REQUIRE_OK(hex);
  return *hex;
}

}  // namespace

TEST_CASE("hashing: the standards' examples") {
  CHECK(digest_of("").hex() == sha256_of_nothing);
  CHECK(digest_of("abc").hex() == sha256_of_abc);
  RunningHash sha256{HashKind::sha256}, md5{HashKind::md5};
  CHECK(finish(sha256) == sha256_of_nothing);
  CHECK(finish(md5) == md5_of_nothing);
}

TEST_CASE("hashing: pieces add up, and a finished hash begins anew") {
  RunningHash sha256{HashKind::sha256}, md5{HashKind::md5};
  for (int round = 0; round < 2; round++) {
    for (const std::string piece : {"a", "", "bc"}) {
      REQUIRE_OK(sha256.update(bytes_of(piece)));
      REQUIRE_OK(md5.update(bytes_of(piece)));
    }
    CHECK(finish(sha256) == sha256_of_abc);
    CHECK(finish(md5) == md5_of_abc);
  }
  const std::string bytes = pattern(1, 1 << 20);
  for (size_t at = 0; at < bytes.size(); at += 70'001) REQUIRE_OK(sha256.update(bytes_of(bytes.substr(at, 70'001))));
  CHECK(finish(sha256) == digest_of(bytes).hex());
}

TEST_CASE("hashing: a running hash can be moved") {
  RunningHash one{HashKind::md5};
  REQUIRE_OK(one.update(bytes_of(std::string{"ab"})));
  RunningHash two = std::move(one);
  REQUIRE_OK(two.update(bytes_of(std::string{"c"})));
  CHECK(finish(two) == md5_of_abc);
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("hashing: threads hash side by side, and a running hash moves between them") {
  RunningHash md5{HashKind::md5};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++)
    threads.emplace_back([] {
      for (int n = 0; n < 100; n++) VERIFY(sha256_of(bytes_of(std::string{"abc"}))->hex() == sha256_of_abc);
    });
  for (const char* piece : {"a", "b", "c"})
    std::thread([&] { VERIFY(md5.update(bytes_of(std::string{piece})).ok()); }).join();
  for (std::thread& thread : threads) thread.join();
  CHECK(finish(md5) == md5_of_abc);
}

TEST_SUITE_END();
