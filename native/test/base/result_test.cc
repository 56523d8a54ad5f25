// result_test.cc: Result, Error and the words of the types.
#include <doctest/doctest.h>

#include <memory>

#include "base/result.h"
#include "base/types.h"

using namespace atl;

TEST_CASE("result: a value or an error, moved and not copied") {
  Result<std::unique_ptr<int>> value{std::make_unique<int>(7)};
  REQUIRE(value.ok());
  CHECK(**value == 7);
  std::unique_ptr<int> taken = *std::move(value);
  CHECK(*taken == 7);

  Result<std::unique_ptr<int>> failed{Error{Code::busy, "locked"}};
  CHECK(!failed);
  CHECK(failed.error().code == Code::busy);
  CHECK(failed.error().message == "locked");

  Result<void> fine;
  CHECK(fine.ok());
  Result<void> broken{Error{Code::io, "disk"}};
  CHECK(!broken);
  Result<void> moved = std::move(broken);
  CHECK(moved.error().message == "disk");
}

TEST_CASE("error: the errno of a system call becomes a code and says what failed") {
  const Error full = Error::from_errno(ENOSPC, "writing to data file 7");
  CHECK(full.code == Code::no_space);
  CHECK(full.message == "writing to data file 7: No space left on device");
  CHECK(Error::from_errno(EDQUOT, "x").code == Code::no_space);
  CHECK(Error::from_errno(ENOENT, "x").code == Code::not_found);
  CHECK(Error::from_errno(EEXIST, "x").code == Code::exists);
  CHECK(Error::from_errno(EROFS, "x").code == Code::io);
  CHECK(Error::from_errno(EINVAL, "x").code == Code::invalid);
  CHECK(Error::from_errno(EOPNOTSUPP, "x").code == Code::unsupported);
  CHECK(Error::from_errno(EBUSY, "x").code == Code::busy);
  CHECK(Error::from_errno(ECANCELED, "x").code == Code::cancelled);
  CHECK(Error::from_errno(EFBIG, "x").code == Code::too_large);
  CHECK(Error::from_errno(EIO, "x").code == Code::io);
}

TEST_CASE("error: every code has a stable name of its own") {
  const char* names[] = {"invalid", "not_found", "exists",    "read_only", "out_of_range", "no_space", "io",
                         "corrupt", "busy",      "cancelled", "shutdown",  "unsupported",  "too_large"};
  for (unsigned char code = 0; code <= static_cast<unsigned char>(Code::too_large); code++)
    CHECK(std::string{code_name(static_cast<Code>(code))} == names[code]);
}

TEST_CASE("digest: 64 lower-case hexadecimal digits") {
  Digest digest;
  for (size_t i = 0; i < 32; i++) digest.bytes[i] = static_cast<uint8_t>(i * 8 + 7);
  CHECK(digest.hex() == "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff");
  CHECK(std::hash<Digest>{}(digest) == 0x070f171f272f373fu);
}
