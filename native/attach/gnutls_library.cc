#include "attach/gnutls_library.h"

#include <dlfcn.h>

#include <string>

namespace atl::attach {
namespace {

constexpr const char* library_name = "libgnutls.so.30";

template <class Function>
bool find(void* library, const char* name, Function& into) {
  into = reinterpret_cast<Function>(::dlsym(library, name));
  return into != nullptr;
}

}  // namespace

Result<const GnuTls*> GnuTls::load() {
  static GnuTls functions{};
  static bool loaded = false;
  if (loaded) return &functions;
  void* library = ::dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return Error{Code::unsupported,
                 std::string("TLS needs GnuTLS (the package libgnutls30 of Debian and Ubuntu, gnutls of Fedora): ") +
                     ::dlerror()};
  const char* missing = nullptr;
#define ATOLL_GNUTLS_FIND(name) \
  if (!find(library, "gnutls_" #name, functions.name)) missing = "gnutls_" #name;
  ATOLL_GNUTLS_FUNCTIONS(ATOLL_GNUTLS_FIND)
#undef ATOLL_GNUTLS_FIND
  // A variable, which holds the function.
  auto* free_function = static_cast<gnutls_free_function*>(::dlsym(library, "gnutls_free"));
  if (free_function == nullptr) missing = "gnutls_free";
  if (missing != nullptr)
    return Error{Code::unsupported,
                 std::string("TLS needs GnuTLS 3.6.3 or newer: ") + library_name + " has no " + missing};
  functions.free = *free_function;
  loaded = true;
  return &functions;
}

}  // namespace atl::attach
