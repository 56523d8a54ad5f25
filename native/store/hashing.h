// hashing.h: SHA-256 and MD5 by OpenSSL.
//
// A running hash may move between threads from call to call, but serves one at a time. No call allocates, except the first
// update of a hash.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/types.h"

struct evp_md_ctx_st;

namespace atl {

/// Both are names of bytes, not secrets: md5 is here because Swift's ETag and Glance's checksum are MD5.
enum class HashKind : uint8_t { sha256, md5 };

/// The name of a content chunk. `unsupported` when OpenSSL has no SHA-256.
Result<Digest> sha256_of(Bytes bytes);

/// A hash of bytes that come in pieces.
class RunningHash {
 public:
  explicit RunningHash(HashKind kind) : kind_(kind) {}
  RunningHash(RunningHash&&) noexcept = default;
  RunningHash& operator=(RunningHash&&) noexcept = default;
  ~RunningHash();

  /// `unsupported` when OpenSSL's configuration forbids the hash (MD5 in FIPS mode).
  Result<void> update(Bytes bytes);
  /// Lower-case hexadecimal digits of the hash of all bytes so far. The next update begins a new hash.
  Result<std::string> finish_hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  Result<void> start();

  HashKind kind_;
  bool started_ = false;
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace atl
