// repair.h: puts right what follows from the records alone: reference counts, garbage entries, and space that no record mentions.
//
// Invariants
//   1. No record is changed, and no block or chunk that a record mentions, or a dirty log (store/dirty_log/dirty_log.h) that the next start believes.
//   2. Space is given back, and a count lowered, only when every record could be read, no two disagree and nothing that they mention
//      is missing: a damaged record may mean anything.
//   3. Marks first, durably; space second. A crash in between leaves garbage entries, which the next start works off.
#pragma once

#include <string>
#include <vector>

#include "engine/health/check.h"

namespace atl {

/// Of a store that nobody uses. Answers what was done, in words; nothing when there was nothing to do. What becomes garbage is
/// marked: Engine::recover() and the reclaimer remove it.
Task<Result<std::vector<std::string>>> repair(StoreAccess stores);

}  // namespace atl
