// verify.h: production assertions. The world's failures are values (result.h); our own mistakes abort,
// because a storage server that goes on after a broken invariant destroys data.
//
// The namespace is atl everywhere: atoll() is a function of the C library, so the project's name cannot be one.
#pragma once

namespace atl {

/// Prints the failed condition with its place and aborts the process.
[[noreturn]] void verify_failed(const char* condition, const char* file, int line);

}  // namespace atl

/// Always on, in release builds too. Named VERIFY because doctest owns CHECK.
#define VERIFY(condition) ((condition) ? (void)0 : ::atl::verify_failed(#condition, __FILE__, __LINE__))
