// record_batch.h: what the engine asks the record store to change, all of it or nothing.
//
// Changes are deltas, applied by the one committer to the records as they are then: a flush of a live head and a merge into
// that same head commute, and neither has to know what the other holds in memory.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "store/records/source.h"

namespace atl {

/// The layer's record takes these blocks from this source (a live head's writes, trims, and uploads).
struct AssignBlocks {
  LayerId layer;
  RegionIndex region;
  Source source;
  BlockSet blocks;
};

/// The bytes of a chunk of at most small_content_max, for records of the same batch that mention it. What was damaged is right again.
struct StoreContent {
  Digest digest;
  std::string bytes;
};

/// A merge of one region: the child takes what it does not supply itself; the parent's record goes.
/// Blocks at or past `limit_blocks` (counted within the region) are dropped with it.
struct AbsorbRegion {
  LayerId parent;
  LayerId child;
  RegionIndex region;
  uint32_t limit_blocks;
};

/// A layer without readers loses its record.
struct DropRegion {
  LayerId layer;
  RegionIndex region;
};

/// "This may soon exist without a record": what a crash leaves is found at the next start.
struct IntendFile {
  DataFileId file;
};
struct IntendContent {
  Digest digest;
};

/// The layer is gone: its own data file goes too, unless records elsewhere still mention it.
struct RetireFile {
  DataFileId file;
};
struct RetireContent {
  Digest digest;
};

/// Space that nobody can reach any more.
struct GarbagePunch {
  DataFileId file;
  RegionIndex region;
  BlockSet blocks;
};
struct GarbageFile {
  DataFileId file;
};
struct GarbageContent {
  Digest digest;
};
using Garbage = std::variant<GarbagePunch, GarbageFile, GarbageContent>;

/// The space was given back: the entry goes (of a chunk also the bytes that the record store holds, unless records mention it again).
struct Reclaimed {
  Garbage garbage;
};

using RecordChange = std::variant<AssignBlocks, StoreContent, AbsorbRegion, DropRegion, IntendFile, IntendContent,
                                  RetireFile, RetireContent, Reclaimed>;
using RecordBatch = std::vector<RecordChange>;

}  // namespace atl
