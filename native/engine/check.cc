#include "engine/check.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/aligned_buffer.h"
#include "store/hashing.h"
#include "store/record_keys.h"

namespace atl {
namespace {

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

/// Everything that the record store says, gathered in one scan.
struct Records {
  struct File {
    uint64_t mentions = 0;
    LayerId layer = LayerId::none;  // one that mentions it
  };
  struct Chunk {
    uint64_t mentions = 0;
    uint32_t length = 0;
    LayerId layer = LayerId::none;
  };
  std::map<DataFileId, File> files;
  std::map<Digest, Chunk> chunks;
  std::map<std::pair<DataFileId, RegionIndex>, BlockSet> blocks;  // what records say lies there
  std::set<LayerId> layers;
  std::map<DataFileId, uint64_t> file_counts;
  std::map<Digest, uint64_t> chunk_counts;
  std::set<DataFileId> doomed_files;  // garbage or intended: may be there without a record
  std::set<Digest> doomed_chunks;
  std::vector<GarbagePunch> punches;
};

class Checker {
 public:
  Checker(StoreAccess stores, CheckOptions options) : stores_(stores), options_(std::move(options)) {}

  Task<Result<std::vector<Finding>>> run() {
    Executor& home = Executor::here();
    co_await stores_.records.readers().schedule();
    Result<void> done = scan();
    if (done) compare_counts();
    co_await home.schedule();
    if (done) done = co_await files();
    if (done) done = co_await chunks();
    if (!done) co_return done.error();
    if (found_.size() > findings_max) {
      found_.resize(findings_max);
      found_.push_back({true, "more findings than are shown", LayerId::none});
    }
    co_return std::move(found_);
  }

 private:
  void fatal(std::string message, LayerId layer = LayerId::none) {
    found_.push_back({true, std::move(message), layer});
  }
  void leak(std::string message, LayerId layer = LayerId::none) {
    found_.push_back({false, std::move(message), layer});
  }

  Result<void> scan() {
    const std::set<LayerId> known(options_.layers.begin(), options_.layers.end());
    Result<void> scanned =
        stores_.records.kv().scan("", "", nullptr, [&](std::string_view key, std::string_view value) {
          take(key, value, known);
          return found_.size() <= findings_max;
        });
    return scanned;
  }

  void take(std::string_view key, std::string_view value, const std::set<LayerId>& known) {
    if (auto record = keys::parse_record(key)) {
      if (seen_.layers.insert(record->layer).second && !known.contains(record->layer))
        leak("layer " + std::to_string(number(record->layer)) +
                 " has records but is not in the catalog; the next start drops it",
             record->layer);
      take_record(*record, value);
    } else if (auto file = keys::parse_file("f", key)) {
      if (auto count = keys::decode_count(value))
        seen_.file_counts[*file] = *count;
      else
        fatal("data file " + hex(number(*file)) + ": its reference count is not a number");
    } else if (auto digest = keys::parse_digest("c", key)) {
      if (auto count = keys::decode_count(value))
        seen_.chunk_counts[*digest] = *count;
      else
        fatal("content chunk " + digest->hex() + ": its reference count is not a number");
    } else if (auto punch = keys::parse_garbage_punch(key)) {
      if (auto blocks = keys::decode_blocks(value))
        seen_.punches.push_back({punch->file, punch->region, *blocks});
      else
        fatal("data file " + hex(number(punch->file)) + ": a garbage entry is not a bitmap");
    } else if (auto doomed = keys::parse_file("gf", key)) {
      seen_.doomed_files.insert(*doomed);
    } else if (auto intended = keys::parse_file("if", key)) {
      seen_.doomed_files.insert(*intended);
    } else if (auto chunk = keys::parse_digest("gc", key)) {
      seen_.doomed_chunks.insert(*chunk);
    } else if (auto coming = keys::parse_digest("ic", key)) {
      seen_.doomed_chunks.insert(*coming);
    } else if (key != keys::version()) {
      fatal("the record store has a key that no version of its format knows");
    }
  }

  void take_record(const keys::RecordKey& at, std::string_view value) {
    const std::string where =
        "layer " + std::to_string(number(at.layer)) + ", region " + std::to_string(number(at.region));
    auto record = RegionRecord::decode(value);
    if (!record) {
      fatal(where + ": " + record.error().message, at.layer);
      return;
    }
    for (const auto& [source, blocks] : record->sources()) {
      if (source.kind == SourceKind::private_data) {
        Records::File& file = seen_.files[source.file];
        file.mentions++;
        file.layer = at.layer;
        BlockSet& claimed = seen_.blocks[{source.file, at.region}];
        if (!(claimed & blocks).empty())
          fatal(where + ": blocks of data file " + hex(number(source.file)) + " belong to another record too",
                at.layer);
        claimed |= blocks;
      } else if (source.kind == SourceKind::content) {
        Records::Chunk& chunk = seen_.chunks[source.digest];
        if (chunk.mentions > 0 && chunk.length != source.length)
          fatal(where + ": content chunk " + source.digest.hex() + " has another length elsewhere", at.layer);
        chunk.mentions++;
        chunk.length = source.length;
        chunk.layer = at.layer;
      }
    }
  }

  /// A count below the truth frees data that is in use: fatal. One above it only keeps space.
  template <class Id, class Name>
  void compare(const Id& id, uint64_t counted, uint64_t stored, LayerId layer, Name name) {
    if (stored == counted) return;
    const std::string words =
        name(id) + ": " + std::to_string(counted) + " records mention it, its count says " + std::to_string(stored);
    if (stored < counted)
      fatal(words, layer);
    else
      leak(words, layer);
  }

  void compare_counts() {
    const auto file_name = [](DataFileId file) { return "data file " + hex(number(file)); };
    const auto chunk_name = [](const Digest& digest) { return "content chunk " + digest.hex(); };
    for (const auto& [file, entry] : seen_.files)
      compare(file, entry.mentions, seen_.file_counts[file], entry.layer, file_name);
    for (const auto& [file, count] : seen_.file_counts)
      if (!seen_.files.contains(file)) compare(file, 0, count, LayerId::none, file_name);
    for (const auto& [digest, entry] : seen_.chunks)
      compare(digest, entry.mentions, seen_.chunk_counts[digest], entry.layer, chunk_name);
    for (const auto& [digest, count] : seen_.chunk_counts)
      if (!seen_.chunks.contains(digest)) compare(digest, 0, count, LayerId::none, chunk_name);
    for (const GarbagePunch& punch : seen_.punches)
      if (auto used = seen_.blocks.find({punch.file, punch.region});
          used != seen_.blocks.end() && !(used->second & punch.blocks).empty())
        fatal(file_name(punch.file) + ", region " + std::to_string(number(punch.region)) +
                  ": blocks in use are marked as garbage",
              seen_.files[punch.file].layer);
  }

  Task<Result<void>> files() {
    std::set<DataFileId> there;
    Result<void> listed = co_await stores_.data.list_files([&there](DataFileId file) { there.insert(file); });
    if (!listed) co_return listed;
    for (const auto& [file, entry] : seen_.files)
      if (!there.contains(file))
        fatal("data file " + hex(number(file)) + " is missing: its blocks read as zeros", entry.layer);
    for (DataFileId file : there)
      if (!seen_.files.contains(file) && !seen_.doomed_files.contains(file))
        leak("data file " + hex(number(file)) + " is not mentioned by any record");
    co_return Result<void>{};
  }

  Task<Result<void>> chunks() {
    std::set<Digest> there;
    Result<void> listed = co_await stores_.data.list_content([&there](const Digest& digest) { there.insert(digest); });
    if (!listed) co_return listed;
    for (const Digest& digest : there)
      if (!seen_.chunks.contains(digest) && !seen_.doomed_chunks.contains(digest))
        leak("content chunk " + digest.hex() + " is not mentioned by any record");
    for (const auto& [digest, entry] : seen_.chunks) {
      if (!there.contains(digest)) {
        fatal("content chunk " + digest.hex() + " is missing", entry.layer);
        continue;
      }
      Result<uint64_t> length = co_await stores_.data.content_bytes(digest);
      if (!length) co_return length.error();
      if (*length != entry.length) {
        fatal("content chunk " + digest.hex() + " is " + std::to_string(*length) + " bytes long, its records say " +
                  std::to_string(entry.length),
              entry.layer);
        continue;
      }
      if (options_.data) {
        Result<void> verified = co_await verify(digest, entry);
        if (!verified) co_return verified;
      }
    }
    co_return Result<void>{};
  }

  Task<Result<void>> verify(const Digest& digest, const Records::Chunk& entry) {
    const AlignedBuffer buffer{entry.length};
    Result<void> read = co_await stores_.data.read_content(digest, 0, buffer.bytes());
    if (!read) {
      fatal("content chunk " + digest.hex() + " cannot be read: " + read.error().message, entry.layer);
      co_return Result<void>{};
    }
    Result<Digest> hashed = sha256_of(buffer.bytes());
    if (!hashed) co_return hashed.error();
    if (!(*hashed == digest))
      fatal("content chunk " + digest.hex() + " does not have the bytes of its digest", entry.layer);
    co_return Result<void>{};
  }

  StoreAccess stores_;
  CheckOptions options_;
  Records seen_;
  std::vector<Finding> found_;
};

}  // namespace

Task<Result<std::vector<Finding>>> check(StoreAccess stores, CheckOptions options) {
  Checker checker{stores, std::move(options)};
  Result<std::vector<Finding>> found = co_await checker.run();
  co_return found;
}

}  // namespace atl
