// store_scan.h: everything the record store says, gathered in one scan, and what is wrong with it by itself. For check and repair.
//
// In memory: about 200 bytes for each region of a data file that records mention, 100 for each data file and chunk.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/health/findings.h"
#include "store/kv.h"
#include "store/records/record_batch.h"
#include "store/records/record_keys.h"

namespace atl {

struct StoreScan {
  struct Chunk {
    uint64_t mentions = 0;
    uint32_t length = 0;
  };
  std::map<DataFileId, uint64_t> files;                           // mentioned so often by records
  std::map<Digest, Chunk> chunks;                                 // likewise
  std::map<std::pair<DataFileId, RegionIndex>, BlockSet> blocks;  // what records say lies there
  std::set<LayerId> layers;                                       // those with records
  std::map<DataFileId, std::optional<uint64_t>> file_counts;      // nothing: not a number
  std::map<Digest, std::optional<uint64_t>> chunk_counts;
  std::map<Digest, uint32_t> small_chunks;  // those whose bytes are in the record store: their length there
  std::set<DataFileId> garbage_files;
  std::set<DataFileId> intended_files;
  std::set<Digest> garbage_chunks;
  std::set<Digest> intended_chunks;
  std::vector<GarbagePunch> punches;
  std::vector<keys::PunchKey> unreadable_punches;
  /// Every record was read and no two disagree: what nobody mentions here is mentioned nowhere. (check and repair look for what is missing.)
  bool trusted = true;

  bool may_be_there(DataFileId file) const { return garbage_files.contains(file) || intended_files.contains(file); }
  bool may_be_there(const Digest& chunk) const {
    return garbage_chunks.contains(chunk) || intended_chunks.contains(chunk);
  }
};

/// Blocking. An error: the records cannot be read to their end (`corrupt`: RocksDB says so).
Result<StoreScan> scan_store(Kv& kv, FindingList& found);

/// Blocking. The places where records mention these, as far as the findings' limit goes.
struct Wanted {
  std::set<DataFileId> files;
  std::set<Digest> chunks;
};
struct Places {
  std::map<DataFileId, std::vector<Place>> files;
  std::map<Digest, std::vector<Place>> chunks;
};
Result<Places> locate(Kv& kv, const Wanted& wanted);

std::string file_name(DataFileId file);
std::string chunk_name(const Digest& digest);

}  // namespace atl
