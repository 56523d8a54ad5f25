#include "store/records/commit_plan.h"

#include <algorithm>

#include "base/mutation.h"
#include "store/records/record_keys.h"

namespace atl {
namespace {

template <class Visit>
void for_private(const std::vector<const RegionRecord*>& records, Visit visit) {
  for (const RegionRecord* record : records)
    for (const SourcedBlocks& entry : record->sources())
      if (entry.source.kind == SourceKind::private_data) visit(entry.source.file, entry.blocks);
}

}  // namespace

Result<void> CommitPlan::apply(const RecordBatch& batch) {
  for (const RecordChange& change : batch) {
    Result<void> applied = std::visit([this](const auto& one) { return apply_one(one); }, change);
    if (!applied) return applied;
  }
  return {};
}

Result<void> CommitPlan::apply_one(const AssignBlocks& change) {
  Result<RegionRecord*> record = this->record({change.layer, change.region});
  if (!record) return record.error();
  const RegionRecord before = **record;
  (*record)->assign(change.source, change.blocks);
  return book(change.region, change.layer, {&before}, {*record}, Reason::live_head);
}

Result<void> CommitPlan::apply_one(const StoreContent& change) {
  VERIFY(!change.bytes.empty() && change.bytes.size() <= small_content_max);
  const std::string key = keys::small_content(change.digest);
  auto kept = small_.find(key);
  if (kept == small_.end()) {
    auto stored = kv_.get(key, nullptr);
    if (!stored) return stored.error();
    if (*stored == change.bytes) return {};
    kept = small_.emplace(key, std::nullopt).first;
  }
  kept->second = change.bytes;
  return {};
}

Result<void> CommitPlan::apply_one(const AbsorbRegion& change) {
  Result<RegionRecord*> parent = record({change.parent, change.region});
  if (!parent) return parent.error();
  if ((*parent)->empty()) return {};  // moved already: a merge that carries on after a crash
  Result<RegionRecord*> child = record({change.child, change.region});
  if (!child) return child.error();
  const RegionRecord parent_before = std::move(**parent);
  const RegionRecord child_before = **child;
  **parent = RegionRecord{};
  (*child)->absorb(parent_before, change.limit_blocks);
  return book(change.region, change.child, {&child_before, &parent_before}, {*child}, Reason::merge);
}

Result<void> CommitPlan::apply_one(const DropRegion& change) {
  Result<RegionRecord*> record = this->record({change.layer, change.region});
  if (!record) return record.error();
  const RegionRecord before = std::move(**record);
  **record = RegionRecord{};
  return book(change.region, change.layer, {&before}, {}, Reason::drop);
}

Result<void> CommitPlan::apply_one(const IntendFile& change) {
  Result<uint64_t*> refs = count(keys::file_refs(change.file));
  if (!refs) return refs.error();
  if (**refs == 0) marks_[keys::intent_file(change.file)] = true;
  return {};
}

Result<void> CommitPlan::apply_one(const IntendContent& change) {
  Result<uint64_t*> refs = count(keys::content_refs(change.digest));
  if (!refs) return refs.error();
  if (**refs == 0) marks_[keys::intent_content(change.digest)] = true;
  return {};
}

Result<void> CommitPlan::apply_one(const RetireFile& change) {
  Result<uint64_t*> refs = count(keys::file_refs(change.file));
  if (!refs) return refs.error();
  marks_[keys::intent_file(change.file)] = false;
  if (**refs == 0) {
    marks_[keys::garbage_file(change.file)] = true;
    makes_garbage_ = true;
  }
  return {};
}

Result<void> CommitPlan::apply_one(const RetireContent& change) {
  Result<uint64_t*> refs = count(keys::content_refs(change.digest));
  if (!refs) return refs.error();
  marks_[keys::intent_content(change.digest)] = false;
  if (**refs == 0) {
    marks_[keys::garbage_content(change.digest)] = true;
    makes_garbage_ = true;
  }
  return {};
}

Result<void> CommitPlan::apply_one(const Reclaimed& change) {
  if (const auto* punch = std::get_if<GarbagePunch>(&change.garbage)) {
    // More blocks of the region may have become garbage since: only what was punched goes.
    Result<BlockSet*> left = garbage({punch->file, punch->region});
    if (!left) return left.error();
    **left -= punch->blocks;
  } else if (const auto* file = std::get_if<GarbageFile>(&change.garbage)) {
    marks_[keys::garbage_file(file->file)] = false;
    const std::string prefix = keys::garbage_punch(file->file, RegionIndex{0}).substr(0, 10);
    std::vector<BlocksAt> entries;
    Result<void> scanned = kv_.scan(prefix, keys::after(prefix), nullptr, [&](std::string_view key, std::string_view) {
      if (auto punched = keys::parse_garbage_punch(key)) entries.push_back({punched->file, punched->region});
      return true;
    });
    if (!scanned) return scanned;
    for (const BlocksAt& at : entries) {
      Result<BlockSet*> left = garbage(at);
      if (!left) return left.error();
      **left = BlockSet{};
    }
  } else if (const auto* content = std::get_if<GarbageContent>(&change.garbage)) {
    marks_[keys::garbage_content(content->digest)] = false;
    Result<uint64_t*> refs = count(keys::content_refs(content->digest));
    if (!refs) return refs.error();
    if (**refs == 0) small_[keys::small_content(content->digest)] = std::nullopt;
  }
  return {};
}

Result<RegionRecord*> CommitPlan::record(RecordAt at) {
  auto found = records_.find(at);
  if (found == records_.end()) {
    auto value = kv_.get(keys::record(at.first, at.second), nullptr);
    if (!value) return value.error();
    RegionRecord stored;
    if (value->has_value()) {
      auto decoded = RegionRecord::decode(**value);
      if (!decoded) return keys::damaged_record({at.first, at.second}, decoded.error());
      stored = std::move(*decoded);
    }
    found = records_.emplace(at, std::move(stored)).first;
  }
  return &found->second;
}

Result<uint64_t*> CommitPlan::count(std::string key) {
  auto found = counts_.find(key);
  if (found == counts_.end()) {
    auto value = kv_.get(key, nullptr);
    if (!value) return value.error();
    uint64_t refs = 0;
    if (value->has_value()) {
      const auto decoded = keys::decode_count(**value);
      if (!decoded) return Error{Code::corrupt, "record store: " + keys::describe_count(key) + " is not a number"};
      refs = *decoded;
    }
    found = counts_.emplace(std::move(key), Edited<uint64_t>{refs, refs}).first;
  }
  return &found->second.now;
}

Result<BlockSet*> CommitPlan::garbage(BlocksAt at) {
  auto found = garbage_.find(at);
  if (found == garbage_.end()) {
    auto value = kv_.get(keys::garbage_punch(at.first, at.second), nullptr);
    if (!value) return value.error();
    BlockSet blocks;
    if (value->has_value()) {
      const auto decoded = keys::decode_blocks(**value);
      if (!decoded)
        return Error{Code::corrupt, "record store: the garbage of data file " + std::to_string(number(at.first)) +
                                        ", region " + std::to_string(number(at.second)) + " is not a bitmap"};
      blocks = *decoded;
    }
    found = garbage_.emplace(at, Edited<BlockSet>{blocks, blocks}).first;
  }
  return &found->second.now;
}

Result<void> CommitPlan::book(RegionIndex region, LayerId layer, const std::vector<const RegionRecord*>& before,
                              const std::vector<const RegionRecord*>& after, Reason reason) {
  const DataFileId own = data_file_of(layer);
  std::map<DataFileId, BlockSet> released;
  std::map<DataFileId, BlockSet> kept;
  for_private(before, [&](DataFileId file, const BlockSet& blocks) {
    // A live head punched its own blocks in place; a dropped layer's own file goes as a whole.
    if (file != own) released[file] |= blocks;
  });
  for_private(after, [&](DataFileId file, const BlockSet& blocks) { kept[file] |= blocks; });

  for (auto& [file, blocks] : released) {
    if (auto still = kept.find(file); still != kept.end()) blocks -= still->second;
    if (blocks.empty()) continue;
    Result<BlockSet*> garbage = this->garbage({file, region});
    if (!garbage) return garbage.error();
    **garbage |= blocks;
    makes_garbage_ = true;
  }
  for (const auto& [file, blocks] : kept) {
    if (released.contains(file) || file == own) continue;  // was mentioned before: cannot be garbage
    Result<BlockSet*> garbage = this->garbage({file, region});
    if (!garbage) return garbage.error();
    **garbage -= blocks;
  }

  for (const RegionRecord* record : after)
    for (const SourcedBlocks& entry : record->sources())
      if (Result<void> added = mention(entry.source, true, layer, reason); !added) return added;
  for (const RegionRecord* record : before)
    for (const SourcedBlocks& entry : record->sources())
      if (Result<void> gone = mention(entry.source, false, layer, reason); !gone) return gone;
  return {};
}

Result<void> CommitPlan::mention(const Source& source, bool added, LayerId layer, Reason reason) {
  const bool is_file = source.kind == SourceKind::private_data;
  if (!is_file && source.kind != SourceKind::content) return {};
  const std::string key = is_file ? keys::file_refs(source.file) : keys::content_refs(source.digest);
  Result<uint64_t*> refs = count(key);
  if (!refs) return refs.error();
  if (added) {
    if (mutated(Mutation::lose_reference) && !is_file && **refs > 0) return {};
    if ((**refs)++ > 0) return {};
    marks_[is_file ? keys::garbage_file(source.file) : keys::garbage_content(source.digest)] = false;
    marks_[is_file ? keys::intent_file(source.file) : keys::intent_content(source.digest)] = false;
    return {};
  }
  if (**refs == 0) return Error{Code::corrupt, "record store: " + keys::describe_count(key) + " would fall below zero"};
  if (--**refs > 0) return {};
  if (is_file && source.file == data_file_of(layer) && reason != Reason::drop) {
    // The live head may be writing to its file right now: only a crash makes the file garbage.
    marks_[keys::intent_file(source.file)] = true;
    return {};
  }
  marks_[is_file ? keys::garbage_file(source.file) : keys::garbage_content(source.digest)] = true;
  makes_garbage_ = true;
  return {};
}

std::vector<KvMutation> CommitPlan::mutations() const {
  std::vector<KvMutation> all;
  all.reserve(records_.size() + counts_.size() + garbage_.size() + marks_.size() + small_.size());
  for (const auto& [at, record] : records_)
    all.push_back({keys::record(at.first, at.second),
                   record.empty() ? std::optional<std::string>{} : std::optional{record.encode()}});
  for (const auto& [key, refs] : counts_)
    if (refs.now != refs.stored)
      all.push_back({key, refs.now == 0 ? std::optional<std::string>{} : std::optional{keys::encode_count(refs.now)}});
  for (const auto& [at, blocks] : garbage_)
    if (blocks.now != blocks.stored)
      all.push_back({keys::garbage_punch(at.first, at.second), blocks.now.empty()
                                                                   ? std::optional<std::string>{}
                                                                   : std::optional{keys::encode_blocks(blocks.now)}});
  for (const auto& [key, present] : marks_)
    all.push_back({key, present ? std::optional<std::string>{""} : std::optional<std::string>{}});
  for (const auto& [key, bytes] : small_) all.push_back({key, bytes});
  return all;
}

}  // namespace atl
