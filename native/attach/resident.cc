#include "attach/resident.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <syslog.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#ifndef PR_SET_IO_FLUSHER  // Linux 5.6
#define PR_SET_IO_FLUSHER 57
#endif

namespace atl::attach {

void stay_resident() {
  const auto refused = [](const char* what) { ::syslog(LOG_WARNING, "%s: %s", what, std::strerror(errno)); };
  errno = 0;
  std::ofstream score("/proc/self/oom_score_adj");
  score << "-1000" << std::flush;
  if (!score) refused("/proc/self/oom_score_adj");
  // On fault: a thread's stack is 8 MiB, of which it uses a few pages.
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) refused("mlockall");
  if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0 && errno != EINVAL) refused("PR_SET_IO_FLUSHER");
}

}  // namespace atl::attach
