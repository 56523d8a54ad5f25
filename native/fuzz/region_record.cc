// region_record.cc: any bytes as a region record on disk, and any sequence of changes to one. What is decoded is encoded to the same
// record; assign and absorb do, block by block, what a table of 1024 sources does.
#include "store/records/region_record.h"

#include <map>

#include "fuzz/target.h"

namespace atl::fuzz {
namespace {

using Table = std::vector<Source>;  // of each block; kind none: the parent's

Table table_of(const RegionRecord& record) {
  Table table(blocks_per_region);
  for (const auto& [source, blocks] : record.sources())
    blocks.for_runs([&, &from = source](BlockRange run) {
      for (uint32_t block = run.first; block < run.end; block++) {
        EXPECT(table[block].kind == SourceKind::none);
        table[block] = from;
      }
    });
  return table;
}

void check_round_trip(const RegionRecord& record) {
  if (record.empty()) return;
  const Result<RegionRecord> again = RegionRecord::decode(record.encode());
  EXPECT(again.ok());
  EXPECT(*again == record);
}

Source draw_source(Input& in) {
  switch (in.u8() % 5) {
    case 0: return Source::none();
    case 1: return Source::zero();
    case 2: return Source::private_data(DataFileId{in.u8() % 3 + 1u});
    case 3: {
      Digest digest;
      digest.bytes[0] = in.u8() % 3;
      return Source::content(digest, 4u << 20);
    }
    default: return Source::inlined(std::string(1 + in.u8() % 4, 'x'));
  }
}

BlockSet draw_blocks(Input& in) {
  BlockSet blocks;
  for (int i = in.u8() % 4; i >= 0; i--) {
    const uint32_t first = in.u16() % (blocks_per_region + 1);
    const uint32_t end = first + in.u16() % (blocks_per_region + 1 - first);
    blocks.add(BlockRange{first, end});
  }
  return blocks;
}

}  // namespace

void run(Bytes input) {
  Input in{input};
  const uint8_t mode = in.u8();
  if (mode % 2 == 0) {
    const Result<RegionRecord> decoded = RegionRecord::decode(text_of(in.rest()));
    if (!decoded) {
      EXPECT(decoded.error().code == Code::corrupt);
      return;
    }
    EXPECT(!decoded->empty());
    check_round_trip(*decoded);
    (void)table_of(*decoded);
    return;
  }
  RegionRecord records[2];
  Table tables[2] = {Table(blocks_per_region), Table(blocks_per_region)};
  for (int step = 0; step < 24 && !in.at_end(); step++) {
    const uint8_t what = in.u8();
    const int at = what & 1;
    if (what % 8 == 7) {
      const uint32_t limit = in.u16() % (blocks_per_region + 1);
      records[at].absorb(records[1 - at], limit);
      for (uint32_t block = 0; block < limit; block++)
        if (tables[at][block].kind == SourceKind::none) tables[at][block] = tables[1 - at][block];
    } else {
      const Source source = draw_source(in);
      const BlockSet blocks = draw_blocks(in);
      records[at].assign(source, blocks);
      blocks.for_runs([&](BlockRange run) {
        for (uint32_t block = run.first; block < run.end; block++) tables[at][block] = source;
      });
    }
    EXPECT(table_of(records[at]) == tables[at]);
    check_round_trip(records[at]);
  }
}

std::vector<std::string> seeds() {
  RegionRecord record;
  record.assign(Source::private_data(DataFileId{7}), BlockSet::all());
  std::vector<std::string> all{std::string{"\0", 1} + record.encode()};
  record.assign(Source::zero(), BlockSet{BlockRange{3, 9}});
  all.push_back(std::string{"\0", 1} + record.encode());
  record.assign(Source::content(Digest{}, 5000), BlockSet{BlockRange{100, 102}});
  record.assign(Source::inlined("a few bytes"), BlockSet{BlockRange{0, 1}});
  all.push_back(std::string{"\0", 1} + record.encode());
  all.push_back(std::string{"\1\0\2\0\0\0\0\0\377\3\1\2\1\0\20\0\40\0\7\0\2\6\1\1\0\0\2", 26});
  return all;
}

}  // namespace atl::fuzz
