#include "attach/kernel_module.h"

#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>

namespace atl::attach {
namespace {

std::string modprobe_path() {
  std::ifstream file("/proc/sys/kernel/modprobe");
  std::string path;
  std::getline(file, path);
  return path.empty() ? "/sbin/modprobe" : path;
}

}  // namespace

Result<void> load_nbd_module() {
  const std::string program = modprobe_path();
  const pid_t child = ::fork();
  if (child < 0) return Error::from_errno(errno, "fork");
  if (child == 0) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execl(program.c_str(), program.c_str(), "nbd", nullptr);
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return Error::from_errno(errno, "wait for " + program);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  utsname kernel{};
  ::uname(&kernel);
  const std::string release = kernel.release;
  return Error{Code::not_found, "the kernel has no NBD client, and \"" + program +
                                    " nbd\" failed: install the module nbd of kernel " + release +
                                    " (the package linux-image-" + release + ", or linux-modules-extra-" + release +
                                    " on Ubuntu)"};
}

}  // namespace atl::attach
