#include "engine/resource/presence.h"

#include <vector>

#include "store/records/record_keys.h"

namespace atl {
namespace {

constexpr size_t looked_at_max = 16;
constexpr uint32_t keys_max = 10'000;  // of chunks, most of which may be small

struct Mentioned {
  std::vector<DataFileId> files;
  std::vector<Digest> chunks;
};

Result<Mentioned> mentioned(Kv& kv) {
  Mentioned found;
  Result<void> scanned = kv.scan("f", keys::after("f"), nullptr, [&](std::string_view key, std::string_view) {
    if (const auto file = keys::parse_file("f", key)) found.files.push_back(*file);
    return found.files.size() < looked_at_max;
  });
  if (!scanned) return std::move(scanned.error());
  Result<void> looked;
  uint32_t keys = 0;
  scanned = kv.scan("c", keys::after("c"), nullptr, [&](std::string_view key, std::string_view) {
    const auto digest = keys::parse_digest("c", key);
    if (!digest) return true;
    const auto small = kv.get(keys::small_content(*digest), nullptr);
    if (!small) looked = small.error();
    if (small && !small->has_value()) found.chunks.push_back(*digest);
    return looked.ok() && ++keys < keys_max && found.chunks.size() < looked_at_max;
  });
  if (!scanned) return std::move(scanned.error());
  if (!looked) return std::move(looked.error());
  return found;
}

}  // namespace

Task<Result<Presence>> presence_of(StoreAccess stores) {
  Executor& home = Executor::here();
  co_await stores.records.readers().schedule();
  Result<Mentioned> found = mentioned(stores.records.kv());
  co_await home.schedule();
  if (!found) co_return std::move(found.error());
  Presence presence;
  for (const DataFileId file : found->files) {
    Result<std::vector<DataStore::Span>> spans = co_await stores.data.spans(file);
    if (!spans) co_return std::move(spans.error());
    presence.files++;
    presence.files_there += spans->empty() ? 0 : 1;
  }
  for (const Digest& digest : found->chunks) {
    Result<uint64_t> bytes = co_await stores.data.content_bytes(digest);
    if (!bytes && bytes.error().code != Code::not_found) co_return std::move(bytes.error());
    presence.chunks++;
    presence.chunks_there += bytes ? 1 : 0;
  }
  co_return presence;
}

}  // namespace atl
