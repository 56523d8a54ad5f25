// thread.h: how this program starts threads: named, and deaf to signals (the main thread handles those).
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/result.h"

namespace atl {

/// The first 15 bytes of `name` are shown by ps, top and perf. Fails with `busy` when the system gives out no more threads.
Result<std::thread> start_thread(const std::string& name, std::function<void()> body);

}  // namespace atl
