// store_check.cc: a record store of any keys and values, over a simulated disk with a few files and chunks. Everything that reads it
// answers; after a repair, check finds nothing more of what repair puts right, and what was damaged is still told.
#include <set>

#include "engine/health/check.h"
#include "engine/health/repair.h"
#include "fuzz/target.h"
#include "sim/disk.h"
#include "sim/machine.h"
#include "store/hashing.h"
#include "store/records/record_keys.h"

namespace atl::fuzz {
namespace {

constexpr uint64_t files = 3;

Digest digest_of(int number) { return *sha256_of(bytes_of("chunk " + std::to_string(number))); }

/// Near to what is there, so that keys meet.
std::string draw_key(Input& in) {
  const DataFileId file{in.u8() % 4 + 1u};
  const Digest digest = digest_of(in.u8() % 3);
  const RegionIndex region{in.u8() % 2u};
  switch (in.u8() % 11) {
    case 0:
    case 1:
    case 2: return keys::record(LayerId{number(file)}, region);
    case 3: return keys::file_refs(file);
    case 4: return keys::content_refs(digest);
    case 5: return keys::garbage_punch(file, region);
    case 6: return keys::garbage_file(file);
    case 7: return keys::garbage_content(digest);
    case 8: return in.u8() % 2 == 0 ? keys::intent_file(file) : keys::intent_content(digest);
    case 9: return keys::small_content(digest);
    default: return std::string{text_of(in.take(in.u8() % 16))};
  }
}

std::string draw_value(Input& in) {
  switch (in.u8() % 4) {
    case 0: return keys::encode_count(in.u8() % 4);
    case 1: {
      BlockSet blocks;
      const uint32_t first = in.u16() % blocks_per_region;
      blocks.add(BlockRange{first, first + in.u16() % (blocks_per_region - first)});
      return keys::encode_blocks(blocks);
    }
    case 2: {
      RegionRecord record;
      for (int i = in.u8() % 4; i >= 0; i--) {
        const uint32_t first = in.u16() % blocks_per_region;
        const BlockSet blocks{BlockRange{first, first + 1 + in.u8() % (blocks_per_region - first)}};
        if (in.u8() % 2 == 0)
          record.assign(Source::private_data(DataFileId{in.u8() % 4 + 1u}), blocks);
        else
          record.assign(Source::content(digest_of(in.u8() % 3), 7), blocks);
      }
      return record.empty() ? std::string{} : record.encode();
    }
    default: return std::string{text_of(in.take(in.u8() % 64))};
  }
}

bool put_right(FindingKind kind, bool trusted) {
  switch (kind) {
    case FindingKind::count_low:
    case FindingKind::garbage_in_use:
    case FindingKind::garbage_unreadable: return true;
    case FindingKind::count_unreadable:
    case FindingKind::count_high:
    case FindingKind::file_unmentioned:
    case FindingKind::chunk_unmentioned: return trusted;
    default: return false;
  }
}

}  // namespace

void run(Bytes input) {
  Input in{input};
  sim::Machine machine{1};
  sim::DiskOptions disk_options;
  disk_options.latency_ns_max = 0;
  sim::Disk disk{1, disk_options};
  sim::SimExecutor& home = machine.add_executor();
  sim::SimPool& committer = machine.add_pool();
  sim::SimPool& readers = machine.add_pool();
  {
    const auto data = disk.open_data();
    const auto kv = disk.open_kv();
    RecordStore records{*kv, committer, readers};
    const StoreAccess stores{*data, records};
    const std::string bytes = "chunk 0";
    EXPECT(machine.run(home, data->put_content(digest_of(0), bytes_of(bytes))).ok());
    for (uint64_t file = 1; file <= files; file++)
      EXPECT(machine.run(home, data->write(DataFileId{file}, 0, bytes_of(std::string(4096, 'x')))).ok());
    std::vector<KvMutation> mutations;
    for (int i = 0; i < 24 && !in.at_end(); i++) {
      std::string key = draw_key(in);
      mutations.push_back({std::move(key), draw_value(in)});
    }
    EXPECT(kv->write(mutations, true).ok());

    CheckOptions options;
    options.data = true;
    options.space = true;
    options.layers = {LayerId{1}, LayerId{2}};
    const Result<CheckReport> before = machine.run(home, examine(stores, options));
    EXPECT(before.ok());
    EXPECT(machine.run(home, repair(stores)).ok());
    const Result<CheckReport> after = machine.run(home, examine(stores, options));
    EXPECT(after.ok());
    EXPECT(after->trusted == before->trusted);
    std::multiset<FindingKind> left;
    for (const Finding& finding : after->findings) {
      EXPECT(!put_right(finding.kind, after->trusted));
      left.insert(finding.kind);
    }
    // (A count that is no number is put right where its truth is known, whatever else is damaged.)
    for (const Finding& finding : before->findings)
      if (finding.fatal && finding.kind != FindingKind::count_unreadable && !put_right(finding.kind, before->trusted))
        EXPECT(left.contains(finding.kind));

    // What a start reads. A damaged store is refused or served, and never crashes.
    (void)records.recover();
    (void)machine.run(home, records.layers());
    (void)machine.run(home, records.garbage(100));
    for (uint64_t layer = 1; layer <= 4; layer++) {
      auto chain = std::make_shared<RetainedChain>(
          records.index(), std::vector<ChainLayer>{{LayerId{layer}, 900}, {LayerId{5 - layer}, 0}});
      (void)machine.run(home, records.resolve(chain, RegionIndex{0}));
    }
    machine.run_until_idle();
  }
}

std::vector<std::string> seeds() {
  // key: file, digest, region, kind; value: form and what it needs.
  const std::string record{"\0\0\0\0\2\1\0\0\10\0\0\4\0\1\1", 15};
  const std::string count{"\0\0\0\3\0\1", 6};
  const std::string garbage{"\0\0\0\6\3\0", 6};
  return {record + count,
          record + garbage,
          record + record + count + garbage,
          std::string{"\0\0\0\5\1\0\0\20\0", 9},
          std::string{"\0\0\0\11\3\7chunk 0", 13},
          std::string{"\0\0\0\12\4zzzz\3\4abcd", 15}};
}

}  // namespace atl::fuzz
