// page_cache_io.h: small buffered reads and writes, done at once on the loop's own thread when the page cache can answer.
//
// Why: a cached 4 KiB read costs 1.4 µs of processor time so, 2.8 µs when it goes through io_uring alone. A 4 KiB write into
// the page cache of ext4 costs 9 µs so, 50 µs through io_uring, because ext4 has no buffered write that does not wait and the
// kernel hands each to a worker thread, and 30 µs or more with a thread of ours.
//
// Rules
//   1. A read waits never (RWF_NOWAIT). A write likewise where the file system knows that (xfs, btrfs).
//   2. Elsewhere a write of whole pages, which needs nothing from the disk, is made waiting, and the clock watched: one that was
//      slow (dirty limits, a journal commit) shows that the file system makes writers wait, and for a pause, doubled each time it
//      happens again, writes go to somebody who may wait. So do those made while a sync is under way: they would wait for the
//      pages and the journal that it holds.
//   3. What would have been cut short by waiting is done again, whole, by the other way.
//      A refusal is remembered for some writes, whichever file they are for: a store lies on one file system, and asking in
//      vain would be a system call for each write. A file that could do better meanwhile is only watched by the clock as well.
//   4. Direct and synchronous I/O is never done here.
//   5. What is larger than step_bytes is written in steps of that size, by whoever writes it. A single call makes the kernel cache it in
//      folios as large as the call (up to 2 MiB), and ext4 goes through all blocks of a folio at each write into it later
//      (ext4_block_write_begin): 4 KiB written into a file that was filled 1 MiB at a time costs three times what it does in one
//      filled 64 KiB at a time. Steps end where folios of that size would.
#pragma once

#include <cstdint>

#include "io/loop.h"

namespace atl {

constexpr uint64_t step_bytes = 64 << 10;  // rule 5
/// A write that rule 5 is for, and so more than one system call.
bool takes_steps(const Loop::Op& op);
/// Makes a write of any kind in person, as one who may wait: the answer of pwritev(2), and short as that may be.
int32_t write_waiting(const Loop::Op& op);

/// Whether all of the range is in the page cache, read; false where the kernel cannot tell (before 6.5), and where the file ends before the
/// range does. What is true now may be over in the next moment, when memory is scarce. `length` > 0.
bool in_page_cache(int fd, uint64_t offset, uint64_t length);

/// When to stop waiting in person: rule 2, with the clock as an argument.
class Patience {
 public:
  static constexpr uint64_t slow_ns = 2'000'000;
  static constexpr uint64_t first_pause_ns = 10'000'000;
  static constexpr uint64_t longest_pause_ns = 5'000'000'000;

  bool willing(uint64_t now_ns) const { return now_ns >= pause_until_ns_; }
  /// A write took this long.
  void waited(uint64_t before_ns, uint64_t after_ns);

 private:
  uint64_t pause_until_ns_ = 0;
  uint64_t pause_ns_ = 0;  // the length of the last one; 0 after a quick write
};

class PageCacheIo {
 public:
  /// What an attempt answers when someone else, who may wait, has to do the operation.
  static constexpr int32_t not_here = -EAGAIN;

  /// The operation's answer, or not_here.
  int32_t attempt(const Loop::Op& op);
  /// An operation began or ended, whoever does it.
  void begun(const Loop::Op& op) { syncs_ += is_sync(op); }
  void ended(const Loop::Op& op) { syncs_ -= is_sync(op); }

 private:
  static bool is_sync(const Loop::Op& op) { return op.verb == Loop::Verb::fsync || op.verb == Loop::Verb::fdatasync; }
  int32_t read(const Loop::Op& op);
  int32_t write(const Loop::Op& op);
  int32_t write_watched(const Loop::Op& op);

  uint32_t syncs_ = 0;     // in flight
  uint32_t refusals_ = 0;  // writes to come that are not tried without waiting
  Patience patience_;
};

}  // namespace atl
