// mutation.h: faults on purpose. A program built with ATOLL_MUTATIONS can break one rule of the engine at a time, to prove that
// the simulator sees it (scripts/simulate --mutations; docs/internals/reliability.md). Everywhere else mutated() is constantly false and the
// compiler removes what depends on it: the addon contains none of this.
#pragma once

#include <cstdint>

namespace atl {

enum class Mutation : uint8_t {
  none,
  skip_data_sync,          // I2, I3: a flush commits records and answers without syncing the data file
  records_before_data,     // I2: the records are committed first, the data is synced after
  answer_before_commit,    // I3: a flush answers when the data is synced, before its records are durable
  no_block_locks,          // I4: read-modify-writes of one block run at once
  partial_over_zeros,      // I4: a write to part of a block puts zeros around it in place of what was there
  overwrite_sealed,        // I1, I5: a block is overwritten where it lies, whosever it is
  ignore_failed_sync,      // I6: a flush goes on after its sync failed
  trust_caches,            // I6: a head that is opened after a crash is read as caches have it, durable or not
  row_before_data,         // I7: the catalog's row of an upload comes before its records
  stale_after_shrink,      // I8: a shrink leaves the map of what was cut off
  merge_ignores_limit,     // I8: a merge takes the parent's blocks beyond the limit too
  trim_forgets_parent,     // I8: a trim of blocks that an ancestor supplies is not recorded
  reclaim_before_durable,  // I9: records that make garbage are not durable when it is given back
  reclaim_under_readers,   // I9: space is given back under reads that began before
  snapshot_before_flush,   // I9: a snapshot's transaction does not wait for the records that it seals
  seal_from_caches,        // I1, I9: a snapshot of what nobody has open seals what caches have, durable or not
  merge_by_dirty,          // I9: a merge drops the parent's blocks that the child has dirty, in memory only
  drop_pinned_content,     // a chunk is dropped while an upload is about to refer to it
  lose_reference,          // a chunk's second reference is not counted
  forget_intent,           // a head's file is made without a note that it may exist
};
constexpr int mutation_count = 21;

#ifdef ATOLL_MUTATIONS
extern Mutation active_mutation;
inline bool mutated(Mutation mutation) { return active_mutation == mutation; }
#else
constexpr bool mutated(Mutation) { return false; }
#endif

}  // namespace atl
