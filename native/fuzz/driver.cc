// driver.cc: libFuzzer's entry points. With ATOLL_SEEDS_TO=FOLDER the program writes the target's seeds there and ends.
#include <sys/stat.h>

#include <fstream>

#include "fuzz/target.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  (void)argc, (void)argv;
  const char* folder = std::getenv("ATOLL_SEEDS_TO");
  if (folder == nullptr) return 0;
  size_t number = 0;
  for (const std::string& seed : atl::fuzz::seeds()) {
    std::ofstream file(std::string{folder} + "/seed-" + std::to_string(number++), std::ios::binary);
    file << seed;
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write seeds to %s\n", folder);
      std::exit(1);
    }
  }
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  atl::fuzz::run(atl::Bytes{reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
