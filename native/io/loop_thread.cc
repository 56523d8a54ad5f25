#include "io/loop_thread.h"

#include "io/thread.h"

namespace atl {

Result<std::unique_ptr<LoopThread>> LoopThread::start(const LoopOptions& options) {
  Result<std::unique_ptr<Loop>> loop = Loop::create(options);
  if (!loop) return std::move(loop.error());
  std::unique_ptr<LoopThread> self{new LoopThread(std::move(*loop))};
  Result<std::thread> thread = start_thread(options.name, [raw = self->loop_.get()] { raw->run(); });
  if (!thread) return std::move(thread.error());
  self->thread_ = std::move(*thread);
  return self;
}

LoopThread::~LoopThread() {
  stop();
  join();
}

void LoopThread::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace atl
