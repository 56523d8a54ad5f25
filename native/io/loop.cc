#include "io/loop.h"

#include "io/epoll_loop.h"
#include "io/uring_loop.h"

namespace atl {

Result<std::unique_ptr<Loop>> Loop::create(const LoopOptions& options) {
  if (options.kind == IoKind::threads) return EpollLoop::create(options);
  Result<std::unique_ptr<Loop>> loop = UringLoop::create(options);
  if (loop || options.kind == IoKind::uring) return loop;
  return EpollLoop::create(options);
}

Loop::Op Loop::read(int fd, MutableBytes into, uint64_t offset, Caching caching) {
  Op op{*this, Verb::read, fd};
  op.caching = caching;
  op.buffer = into.data();
  op.length = into.size();
  op.offset = offset;
  return op;
}

Loop::Op Loop::write(int fd, Bytes from, uint64_t offset, Caching caching) {
  Op op{*this, Verb::write, fd};
  op.caching = caching;
  op.buffer = const_cast<std::byte*>(from.data());  // only ever read
  op.length = from.size();
  op.offset = offset;
  return op;
}

Loop::Op Loop::readv(int fd, const iovec* iov, uint32_t count, uint64_t offset) {
  Op op{*this, Verb::readv, fd};
  op.iov = iov;
  op.length = count;
  op.offset = offset;
  return op;
}

Loop::Op Loop::writev(int fd, const iovec* iov, uint32_t count, uint64_t offset) {
  Op op{*this, Verb::writev, fd};
  op.iov = iov;
  op.length = count;
  op.offset = offset;
  return op;
}

Loop::Op Loop::fsync(int fd) { return Op{*this, Verb::fsync, fd}; }

Loop::Op Loop::fdatasync(int fd) { return Op{*this, Verb::fdatasync, fd}; }

Loop::Op Loop::fallocate(int fd, int mode, uint64_t offset, uint64_t length) {
  Op op{*this, Verb::fallocate, fd};
  op.flags = mode;
  op.offset = offset;
  op.length = length;
  return op;
}

Loop::Op Loop::accept(int fd) { return Op{*this, Verb::accept, fd}; }

Loop::Op Loop::recv(int fd, MutableBytes into, int flags) {
  Op op{*this, Verb::recv, fd};
  op.buffer = into.data();
  op.length = into.size();
  op.flags = flags;
  return op;
}

Loop::Op Loop::sendmsg(int fd, const msghdr* message, int flags) {
  Op op{*this, Verb::sendmsg, fd};
  op.message = message;
  op.flags = flags | MSG_NOSIGNAL;
  return op;
}

Loop::Op Loop::poll_in(int fd) { return Op{*this, Verb::poll_in, fd}; }

Loop::Op Loop::poll_out(int fd) { return Op{*this, Verb::poll_out, fd}; }

}  // namespace atl
