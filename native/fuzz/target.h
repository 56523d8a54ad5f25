// target.h: what a fuzz target is. driver.cc connects it to libFuzzer; scripts/fuzz builds and runs it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/types.h"

namespace atl::fuzz {

/// Looks at any input; a property that does not hold ends the program (EXPECT).
void run(Bytes input);

/// Inputs to begin with, made by code: there are no binary files to read or to trust.
std::vector<std::string> seeds();

/// Shown with the input that broke it.
#define EXPECT(condition)                                                                 \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

/// Takes an input apart; past its end everything is zero.
class Input {
 public:
  explicit Input(Bytes bytes) : bytes_(bytes) {}
  bool at_end() const { return bytes_.empty(); }
  Bytes rest() const { return bytes_; }
  Bytes take(size_t count) {
    const Bytes taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }
  uint8_t u8() {
    const Bytes one = take(1);
    return one.empty() ? uint8_t{0} : std::to_integer<uint8_t>(one[0]);
  }
  uint16_t u16() {
    const uint16_t low = u8();
    return static_cast<uint16_t>(low | u8() << 8);
  }
  uint32_t u32() {
    const uint32_t low = u16();
    return low | uint32_t{u16()} << 16;
  }
  uint64_t u64() {
    const uint64_t low = u32();
    return low | uint64_t{u32()} << 32;
  }

 private:
  Bytes bytes_;
};

inline std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline Bytes bytes_of(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }

}  // namespace atl::fuzz
