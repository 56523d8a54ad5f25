// forgetful_sync.cc: a library to preload. It makes fsync and fdatasync answer that all is well, and do nothing, for files whose path
// holds the word in ATOLL_FORGETS: a store that forgets to sync, which power cuts must find out.
//
// io_uring does not come this way: run the server with --io threads.

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool forgotten(int file) {
  const char* word = std::getenv("ATOLL_FORGETS");
  if (word == nullptr) return false;
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = 0;
  return std::strstr(path, word) != nullptr;
}

using Sync = int (*)(int);

}  // namespace

extern "C" int fsync(int file) {
  static const auto real = reinterpret_cast<Sync>(dlsym(RTLD_NEXT, "fsync"));
  return forgotten(file) ? 0 : real(file);
}

extern "C" int fdatasync(int file) {
  static const auto real = reinterpret_cast<Sync>(dlsym(RTLD_NEXT, "fdatasync"));
  return forgotten(file) ? 0 : real(file);
}
