#include "engine/health/store_scan.h"

#include <cstdio>

#include "store/records/region_record.h"

namespace atl {
namespace {

std::string place_name(const keys::RecordKey& at) {
  return "layer " + std::to_string(number(at.layer)) + ", region " + std::to_string(number(at.region));
}

class Scanner {
 public:
  Scanner(StoreScan& seen, FindingList& found) : seen_(seen), found_(found) {}

  void take(std::string_view key, std::string_view value) {
    if (auto record = keys::parse_record(key)) {
      seen_.layers.insert(record->layer);
      take_record(*record, value);
    } else if (auto file = keys::parse_file("f", key)) {
      auto count = keys::decode_count(value);
      seen_.file_counts[*file] = count;
      if (!count)
        found_.fatal(FindingKind::count_unreadable, file_name(*file) + ": its reference count is not a number");
    } else if (auto digest = keys::parse_digest("c", key)) {
      auto count = keys::decode_count(value);
      seen_.chunk_counts[*digest] = count;
      if (!count)
        found_.fatal(FindingKind::count_unreadable, chunk_name(*digest) + ": its reference count is not a number");
    } else if (auto small = keys::parse_digest("s", key)) {
      seen_.small_chunks[*small] = static_cast<uint32_t>(value.size());
    } else if (auto punch = keys::parse_garbage_punch(key)) {
      if (auto blocks = keys::decode_blocks(value)) {
        seen_.punches.push_back({punch->file, punch->region, *blocks});
      } else {
        seen_.unreadable_punches.push_back(*punch);
        found_.fatal(FindingKind::garbage_unreadable, file_name(punch->file) + ": a garbage entry is not a bitmap");
      }
    } else if (auto doomed = keys::parse_file("gf", key)) {
      seen_.garbage_files.insert(*doomed);
    } else if (auto intended = keys::parse_file("if", key)) {
      seen_.intended_files.insert(*intended);
    } else if (auto chunk = keys::parse_digest("gc", key)) {
      seen_.garbage_chunks.insert(*chunk);
    } else if (auto coming = keys::parse_digest("ic", key)) {
      seen_.intended_chunks.insert(*coming);
    } else if (key != keys::version()) {
      // It may have been a record.
      seen_.trusted = false;
      found_.fatal(FindingKind::key_unknown,
                   "the record store has a key that no version of its format knows (" + hex(key) + ")");
    }
  }

 private:
  static std::string hex(std::string_view key) {
    std::string text;
    for (char byte : key.substr(0, 40)) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", static_cast<uint8_t>(byte));
      text += digits;
    }
    return key.size() > 40 ? text + "…" : text;
  }

  void take_record(const keys::RecordKey& at, std::string_view value) {
    auto record = RegionRecord::decode(value);
    if (!record) {
      seen_.trusted = false;
      found_.fatal(FindingKind::record_unreadable, place_name(at) + ": " + record.error().message, at.layer,
                   {{at.layer, at.region, BlockSet::all()}});
      return;
    }
    for (const auto& [source, blocks] : record->sources()) {
      if (source.kind == SourceKind::private_data) {
        seen_.files[source.file]++;
        BlockSet& claimed = seen_.blocks[{source.file, at.region}];
        if (const BlockSet twice = claimed & blocks; !twice.empty()) {
          seen_.trusted = false;
          found_.fatal(FindingKind::blocks_shared,
                       place_name(at) + ": blocks of " + file_name(source.file) + " belong to another record too",
                       at.layer, {{at.layer, at.region, twice}});
        }
        claimed |= blocks;
      } else if (source.kind == SourceKind::content) {
        StoreScan::Chunk& chunk = seen_.chunks[source.digest];
        if (chunk.mentions > 0 && chunk.length != source.length) {
          seen_.trusted = false;
          found_.fatal(FindingKind::chunk_length,
                       place_name(at) + ": " + chunk_name(source.digest) + " has another length elsewhere", at.layer,
                       {{at.layer, at.region, blocks}});
        }
        chunk.mentions++;
        chunk.length = std::max(chunk.length, source.length);
      }
    }
  }

  StoreScan& seen_;
  FindingList& found_;
};

}  // namespace

std::string file_name(DataFileId file) {
  char text[32];
  std::snprintf(text, sizeof text, "data file %016llx", static_cast<unsigned long long>(number(file)));
  return text;
}

std::string chunk_name(const Digest& digest) { return "content chunk " + digest.hex(); }

Result<StoreScan> scan_store(Kv& kv, FindingList& found) {
  StoreScan seen;
  Scanner scanner{seen, found};
  Result<void> scanned = kv.scan("", "", nullptr, [&](std::string_view key, std::string_view value) {
    scanner.take(key, value);
    return true;
  });
  if (!scanned) return scanned.error();
  return seen;
}

Result<Places> locate(Kv& kv, const Wanted& wanted) {
  Places places;
  const auto add = [](std::vector<Place>& list, Place place) {
    if (list.size() < places_max) list.push_back(std::move(place));
  };
  Result<void> scanned = kv.scan("r", keys::after("r"), nullptr, [&](std::string_view key, std::string_view value) {
    const auto at = keys::parse_record(key);
    if (!at) return true;
    const auto record = RegionRecord::decode(value);
    if (!record) return true;  // a finding of its own
    for (const auto& [source, blocks] : record->sources()) {
      if (source.kind == SourceKind::private_data && wanted.files.contains(source.file))
        add(places.files[source.file], {at->layer, at->region, blocks});
      if (source.kind == SourceKind::content && wanted.chunks.contains(source.digest))
        add(places.chunks[source.digest], {at->layer, at->region, blocks});
    }
    return true;
  });
  if (!scanned) return scanned.error();
  return places;
}

}  // namespace atl
