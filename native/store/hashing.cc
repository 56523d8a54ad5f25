#include "store/hashing.h"

#include <openssl/err.h>
#include <openssl/evp.h>

namespace atl {
namespace {

// Fetched once: an implicit fetch (EVP_sha256()) takes a lock of OpenSSL's and searches its providers at every start.
const EVP_MD* algorithm(HashKind kind) {
  static const EVP_MD* sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  static const EVP_MD* md5 = EVP_MD_fetch(nullptr, "MD5", nullptr);
  return kind == HashKind::sha256 ? sha256 : md5;
}

Error refused(HashKind kind) {
  ERR_clear_error();
  return Error{Code::unsupported, std::string{"OpenSSL refuses "} + (kind == HashKind::sha256 ? "SHA-256" : "MD5")};
}

std::string hex_of(const unsigned char* bytes, unsigned count) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(count * 2);
  for (unsigned i = 0; i < count; i++) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

struct ThreadContext {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~ThreadContext() { EVP_MD_CTX_free(context); }
};

}  // namespace

Result<Digest> sha256_of(Bytes bytes) {
  thread_local ThreadContext thread;
  const EVP_MD* sha256 = algorithm(HashKind::sha256);
  Digest digest;
  if (thread.context == nullptr || sha256 == nullptr || EVP_DigestInit_ex2(thread.context, sha256, nullptr) != 1 ||
      EVP_DigestUpdate(thread.context, bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(thread.context, digest.bytes.data(), nullptr) != 1)
    return refused(HashKind::sha256);
  return digest;
}

void RunningHash::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

RunningHash::~RunningHash() = default;

Result<void> RunningHash::start() {
  if (!context_) context_.reset(EVP_MD_CTX_new());
  const EVP_MD* md = algorithm(kind_);
  if (!context_ || md == nullptr || EVP_DigestInit_ex2(context_.get(), md, nullptr) != 1) return refused(kind_);
  started_ = true;
  return {};
}

Result<void> RunningHash::update(Bytes bytes) {
  if (!started_)
    if (Result<void> begun = start(); !begun) return begun;
  if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) return refused(kind_);
  return {};
}

Result<std::string> RunningHash::finish_hex() {
  if (!started_)
    if (Result<void> begun = start(); !begun) return begun.error();
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned count = 0;
  started_ = false;
  if (EVP_DigestFinal_ex(context_.get(), bytes, &count) != 1) return refused(kind_);
  return hex_of(bytes, count);
}

}  // namespace atl
