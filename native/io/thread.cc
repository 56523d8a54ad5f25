#include "io/thread.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

namespace atl {

Result<std::thread> start_thread(const std::string& name, std::function<void()> body) {
  // A thread inherits the mask of its creator.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  int error = 0;
  try {
    thread = std::thread(std::move(body));
  } catch (const std::system_error& refused) {
    error = refused.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) {
    Error failed = Error::from_errno(error, "starting thread " + name);
    failed.code = Code::busy;
    return failed;
  }
  pthread_setname_np(thread.native_handle(), name.substr(0, 15).c_str());
  return thread;
}

}  // namespace atl
