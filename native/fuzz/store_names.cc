// store_names.cc: any bytes as a key or a small value of the record store, or as the name of a file of the local store. Whatever is
// recognised is written back to the same bytes, and no key has two meanings.
#include "fuzz/target.h"
#include "store/local/local_paths.h"
#include "store/records/record_keys.h"

namespace atl::fuzz {

void run(Bytes input) {
  const std::string text{text_of(input)};
  int meanings = 0;
  const auto is = [&](const std::string& written) {
    meanings++;
    EXPECT(written == text);
  };
  if (auto key = keys::parse_record(text)) is(keys::record(key->layer, key->region));
  if (auto file = keys::parse_file("f", text)) is(keys::file_refs(*file));
  if (auto digest = keys::parse_digest("c", text)) is(keys::content_refs(*digest));
  if (auto punch = keys::parse_garbage_punch(text)) is(keys::garbage_punch(punch->file, punch->region));
  if (auto file = keys::parse_file("gf", text)) is(keys::garbage_file(*file));
  if (auto digest = keys::parse_digest("gc", text)) is(keys::garbage_content(*digest));
  if (auto file = keys::parse_file("if", text)) is(keys::intent_file(*file));
  if (auto digest = keys::parse_digest("ic", text)) is(keys::intent_content(*digest));
  EXPECT(meanings <= 1);
  if (!text.empty() && text != std::string(text.size(), '\xff')) EXPECT(text < keys::after(text));

  if (auto count = keys::decode_count(text)) EXPECT(keys::encode_count(*count) == text);
  if (auto blocks = keys::decode_blocks(text)) EXPECT(keys::encode_blocks(*blocks) == text);
  if (auto digest = Digest::parse(text)) EXPECT(digest->hex() == text);

  const LocalPaths paths{"root"};
  if (auto segment = LocalPaths::parse_segment(text)) EXPECT(paths.segment(*segment).ends_with("/" + text));
  if (text.size() >= 2)
    if (auto digest = LocalPaths::parse_content(text.substr(0, 2), text.substr(2)))
      EXPECT(paths.content(*digest) == "root/content/" + text.substr(0, 2) + "/" + text.substr(2));
}

std::vector<std::string> seeds() {
  Digest digest;
  digest.bytes.fill(0xab);
  const DataFileId file{0x1234};
  return {keys::record(LayerId{5}, RegionIndex{6}),
          keys::file_refs(file),
          keys::content_refs(digest),
          keys::small_content(digest),
          keys::garbage_punch(file, RegionIndex{7}),
          keys::garbage_file(file),
          keys::garbage_content(digest),
          keys::intent_file(file),
          keys::intent_content(digest),
          keys::version(),
          keys::encode_count(1),
          keys::encode_blocks(BlockSet::all()),
          digest.hex(),
          "0000000000001234.0",
          "0000000000001234.12"};
}

}  // namespace atl::fuzz
