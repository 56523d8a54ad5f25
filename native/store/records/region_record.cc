#include "store/records/region_record.h"

#include <cstring>

namespace atl {
namespace {

constexpr uint8_t record_version = 1;

// How a set of blocks is written: whichever of these is shortest.
enum class SetForm : uint8_t { all = 0, range = 1, bitmap = 2 };

void put_u16(std::string& out, uint32_t value) {
  out.push_back(static_cast<char>(value & 0xff));
  out.push_back(static_cast<char>(value >> 8 & 0xff));
}
void put_u32(std::string& out, uint32_t value) {
  put_u16(out, value & 0xffff);
  put_u16(out, value >> 16);
}
void put_u64(std::string& out, uint64_t value) {
  put_u32(out, static_cast<uint32_t>(value));
  put_u32(out, static_cast<uint32_t>(value >> 32));
}

/// Reads little-endian fields and remembers whether the input was long enough.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool good() const { return good_; }
  bool at_end() const { return bytes_.empty(); }

  std::string_view take(size_t count) {
    if (!good_ || count > bytes_.size()) {
      good_ = false;
      return {};
    }
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  uint64_t number(size_t bytes) {
    const std::string_view field = take(bytes);
    uint64_t value = 0;
    for (size_t i = field.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(field[i]);
    return value;
  }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

void put_set(std::string& out, const BlockSet& blocks) {
  const uint32_t first = blocks.find(0, true);
  const uint32_t end = blocks.find(first, false);
  if (first == 0 && end == blocks_per_region) {
    out.push_back(static_cast<char>(SetForm::all));
  } else if (blocks.find(end, true) == blocks_per_region) {
    out.push_back(static_cast<char>(SetForm::range));
    put_u16(out, first);
    put_u16(out, end);
  } else {
    out.push_back(static_cast<char>(SetForm::bitmap));
    for (uint64_t word : blocks.raw()) put_u64(out, word);
  }
}

bool read_set(Reader& in, BlockSet& blocks) {
  switch (static_cast<SetForm>(in.number(1))) {
    case SetForm::all: blocks = BlockSet::all(); return in.good();
    case SetForm::range: {
      const auto first = static_cast<uint32_t>(in.number(2));
      const auto end = static_cast<uint32_t>(in.number(2));
      if (!in.good() || first >= end || end > blocks_per_region) return false;
      blocks = BlockSet{BlockRange{first, end}};
      return true;
    }
    case SetForm::bitmap:
      for (uint64_t& word : blocks.raw()) word = in.number(8);
      return in.good() && !blocks.empty();
  }
  return false;
}

bool read_source(Reader& in, Source& source) {
  source.kind = static_cast<SourceKind>(in.number(1));
  switch (source.kind) {
    case SourceKind::none: return false;
    case SourceKind::zero: return in.good();
    case SourceKind::private_data:
      source.file = DataFileId{in.number(8)};
      return in.good() && source.file != DataFileId::none;
    case SourceKind::content: {
      source.length = static_cast<uint32_t>(in.number(4));
      const std::string_view digest = in.take(source.digest.bytes.size());
      if (!in.good() || source.length == 0 || source.length > region_bytes) return false;
      std::memcpy(source.digest.bytes.data(), digest.data(), digest.size());
      return true;
    }
    case SourceKind::inline_bytes: {
      const auto length = static_cast<uint32_t>(in.number(2));
      source.inline_bytes = in.take(length);
      return in.good() && length > 0 && length <= inline_bytes_max;
    }
  }
  return false;
}

}  // namespace

BlockSet RegionRecord::supplied() const {
  BlockSet all;
  for (const SourcedBlocks& entry : sources_) all |= entry.blocks;
  return all;
}

void RegionRecord::assign(const Source& source, const BlockSet& blocks) {
  if (blocks.empty()) return;
  SourcedBlocks* same = nullptr;
  for (SourcedBlocks& entry : sources_) {
    if (entry.source == source)
      same = &entry;
    else
      entry.blocks -= blocks;
  }
  if (same != nullptr)
    same->blocks |= blocks;
  else if (source.kind != SourceKind::none)
    sources_.push_back(SourcedBlocks{source, blocks});
  std::erase_if(sources_, [](const SourcedBlocks& entry) { return entry.blocks.empty(); });
}

void RegionRecord::absorb(const RegionRecord& parent, uint32_t limit_blocks) {
  if (limit_blocks == 0) return;
  const BlockSet visible = BlockSet{BlockRange{0, std::min(limit_blocks, blocks_per_region)}} - supplied();
  for (const SourcedBlocks& entry : parent.sources_) assign(entry.source, entry.blocks & visible);
}

std::string RegionRecord::encode() const {
  std::string out;
  out.push_back(static_cast<char>(record_version));
  put_u16(out, static_cast<uint32_t>(sources_.size()));
  for (const auto& [source, blocks] : sources_) {
    VERIFY(!blocks.empty());
    out.push_back(static_cast<char>(source.kind));
    switch (source.kind) {
      case SourceKind::none: VERIFY(!"a record never stores `none`"); break;
      case SourceKind::zero: break;
      case SourceKind::private_data: put_u64(out, number(source.file)); break;
      case SourceKind::content:
        put_u32(out, source.length);
        out.append(reinterpret_cast<const char*>(source.digest.bytes.data()), source.digest.bytes.size());
        break;
      case SourceKind::inline_bytes:
        VERIFY(!source.inline_bytes.empty() && source.inline_bytes.size() <= inline_bytes_max);
        put_u16(out, static_cast<uint32_t>(source.inline_bytes.size()));
        out.append(source.inline_bytes);
        break;
    }
    put_set(out, blocks);
  }
  return out;
}

Result<RegionRecord> RegionRecord::decode(std::string_view bytes) {
  Reader in{bytes};
  const auto version = in.number(1);
  const auto count = in.number(2);
  if (!in.good() || version != record_version || count == 0 || count > blocks_per_region)
    return Error{Code::corrupt, "region record: unknown version or impossible count of sources"};
  RegionRecord record;
  BlockSet seen;
  for (uint64_t i = 0; i < count; i++) {
    SourcedBlocks entry;
    if (!read_source(in, entry.source) || !read_set(in, entry.blocks))
      return Error{Code::corrupt, "region record: source " + std::to_string(i) + " is cut short or out of bounds"};
    if (!(seen & entry.blocks).empty()) return Error{Code::corrupt, "region record: two sources supply one block"};
    seen |= entry.blocks;
    record.sources_.push_back(std::move(entry));
  }
  if (!in.at_end()) return Error{Code::corrupt, "region record: bytes after its end"};
  return record;
}

}  // namespace atl
