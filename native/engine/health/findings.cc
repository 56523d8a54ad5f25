#include "engine/health/findings.h"

namespace atl {

const char* kind_name(FindingKind kind) {
  switch (kind) {
    case FindingKind::record_unreadable: return "record_unreadable";
    case FindingKind::key_unknown: return "key_unknown";
    case FindingKind::blocks_shared: return "blocks_shared";
    case FindingKind::layer_unknown: return "layer_unknown";
    case FindingKind::count_unreadable: return "count_unreadable";
    case FindingKind::count_low: return "count_low";
    case FindingKind::count_high: return "count_high";
    case FindingKind::garbage_unreadable: return "garbage_unreadable";
    case FindingKind::garbage_in_use: return "garbage_in_use";
    case FindingKind::file_missing: return "file_missing";
    case FindingKind::file_short: return "file_short";
    case FindingKind::file_unmentioned: return "file_unmentioned";
    case FindingKind::space_unaccounted: return "space_unaccounted";
    case FindingKind::chunk_length: return "chunk_length";
    case FindingKind::chunk_missing: return "chunk_missing";
    case FindingKind::chunk_corrupt: return "chunk_corrupt";
    case FindingKind::chunk_unreadable: return "chunk_unreadable";
    case FindingKind::chunk_unmentioned: return "chunk_unmentioned";
    case FindingKind::more: return "more";
  }
  return "more";
}

}  // namespace atl
