// result.h: failures of the world (disk, peer, arguments of a client) as values.
//
// Error{Code, message}: the code decides what a caller does and which errno or NBD error a client sees;
// the message says what is wrong, with what, for a log or an operator.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/verify.h"

namespace atl {

enum class Code : unsigned char {
  invalid,       // the caller's arguments make no sense
  not_found,     // no such resource, layer, file or chunk
  exists,        // it is there already
  read_only,     // a write to what must not change
  out_of_range,  // past the end
  no_space,      // the file system or a quota is full
  io,            // the device failed; what was dirty may be lost
  corrupt,       // our own files do not say what they must
  busy,          // in use; try again later
  cancelled,     // the caller gave up
  shutdown,      // the server is going down
  unsupported,   // not on this kernel, file system or format
  too_large,     // over a documented limit
};

/// The code's stable name ("no_space"), as it crosses to JavaScript.
const char* code_name(Code code);

struct Error {
  Code code = Code::io;
  std::string message;

  /// The failure of a system call: "<what>: <strerror>"; ENOSPC and EDQUOT are no_space, ENOENT not_found, and so on. EROFS is io: a file
  /// system that turned read-only has failed, which is not what a caller is told who may not write.
  static Error from_errno(int error, std::string what);
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  T& value() {
    VERIFY(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const {
    VERIFY(ok());
    return *std::get_if<0>(&state_);
  }
  Error& error() {
    VERIFY(!ok());
    return *std::get_if<1>(&state_);
  }
  const Error& error() const {
    VERIFY(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error() {
    VERIFY(!ok());
    return *error_;
  }
  const Error& error() const {
    VERIFY(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace atl
