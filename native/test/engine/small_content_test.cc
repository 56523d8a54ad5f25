// small_content_test.cc: chunks that the record store keeps (source.h, small_content_max), over every store.
#include <doctest/doctest.h>

#include <set>
#include <span>

#include "engine/health/repair.h"
#include "store/hashing.h"
#include "store/records/record_keys.h"
#include "test/support/engine_world.h"
#include "test/support/model_catalog.h"

namespace atl::testing {
namespace {

std::vector<std::byte> noise(size_t length, uint8_t kind = 1) {
  std::vector<std::byte> bytes(length);
  uint64_t state = kind;
  for (std::byte& byte : bytes)
    byte = std::byte{static_cast<uint8_t>((state = state * 6364136223846793005u + 1) >> 56)};
  return bytes;
}

struct Store {
  explicit Store(const WorldMaker& maker) : world(maker.make(1)) {}

  template <class T>
  T must(Result<T> result) {
    REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message));
    return std::move(*result);
  }
  void must(Result<void> result) { REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message)); }

  ModelResource& upload(const std::vector<std::byte>& bytes) {
    const uint64_t layer = catalog.new_layer(0, 0);
    struct Upload {
      static Task<Result<IngestResult>> run(Ingest* ingest, Bytes bytes) {
        Result<void> taken = co_await ingest->write(bytes);
        if (!taken) co_return taken.error();
        Result<IngestResult> done = co_await ingest->finish();
        co_return done;
      }
    };
    const std::unique_ptr<Ingest> ingest = world->engine().ingest(LayerId{layer});
    const IngestResult done = must(run_for(*world, Upload::run(ingest.get(), bytes)));
    CHECK(done.size_bytes == bytes.size());
    return catalog.add(true, layer, bytes);
  }

  Result<void> read(const ModelResource& resource, std::vector<std::byte>& into) {
    must(run_for(*world, world->engine().open(catalog.spec(resource))));
    into.assign(resource.bytes.size(), std::byte{0xee});
    struct Read {
      static Task<Result<void>> run(std::shared_ptr<Resource> from, MutableBytes into) {
        Result<void> read = co_await run_on(from->home(), from->read(0, into));
        co_return read;
      }
    };
    Result<void> read = run_for(*world, Read::run(world->engine().find(resource.id), into));
    must(run_for(*world, world->engine().close(resource.id)));
    return read;
  }
  void reads_back(const ModelResource& resource) {
    std::vector<std::byte> back;
    must(read(resource, back));
    CHECK(back == resource.bytes);
  }

  void remove(const ModelResource& resource) {
    must(run_for(*world, world->engine().drop_layer(LayerId{resource.head})));
    catalog.layers.erase(resource.head);
    must(run_for(*world, world->engine().reclaimed()));
  }

  Kv& kv() { return world->stores().records.kv(); }
  std::set<Digest> kept() {
    std::set<Digest> digests;
    must(kv().scan("s", keys::after("s"), nullptr, [&](std::string_view key, std::string_view) {
      digests.insert(*keys::parse_digest("s", key));
      return true;
    }));
    return digests;
  }
  std::set<Digest> files() {
    std::set<Digest> digests;
    must(run_for(*world, world->stores().data.list_content([&](const Digest& digest) { digests.insert(digest); })));
    return digests;
  }
  CheckReport examined() {
    CheckOptions options;
    for (const auto& [id, layer] : catalog.layers) options.layers.push_back(LayerId{id});
    options.data = true;
    return must(run_for(*world, examine(world->stores(), std::move(options))));
  }

  std::unique_ptr<World> world;
  ModelCatalog catalog;
};

Digest digest_of(Bytes bytes) {
  Result<Digest> digest = sha256_of(bytes);
  REQUIRE(digest.ok());
  return *digest;
}

}  // namespace

TEST_CASE("small content: an upload is one durable commit and no file, and reads back after a restart") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    for (const size_t length : {size_t{2049}, size_t{4096}, size_t{small_content_max}}) {
      const uint64_t before = store.world->stores().records.counters().commits;
      ModelResource& object = store.upload(noise(length));
      CHECK(store.world->stores().records.counters().commits == before + 1);
      CHECK(store.kept().contains(digest_of(object.bytes)));
      store.reads_back(object);
    }
    CHECK(store.files().empty());
    store.world->restart();
    for (const auto& [id, resource] : store.catalog.resources) store.reads_back(resource);
    CHECK(store.examined().findings.empty());
    CHECK(store.examined().chunks_verified == 3);
  }
}

TEST_CASE("small content: one byte more than small has a file, and the small rest of a large upload has none") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    ModelResource& larger = store.upload(noise(small_content_max + 1));
    CHECK(store.files() == std::set<Digest>{digest_of(larger.bytes)});
    ModelResource& tailed = store.upload(noise(region_bytes + 5000, 2));
    CHECK(store.files().size() == 2);
    CHECK(store.kept() == std::set<Digest>{digest_of(Bytes{tailed.bytes}.subspan(region_bytes))});
    store.reads_back(larger);
    store.reads_back(tailed);
  }
}

TEST_CASE("small content: it is stored once, and goes with the last layer that has it") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    ModelResource& first = store.upload(noise(4096));
    ModelResource& second = store.upload(noise(4096));
    CHECK(store.kept().size() == 1);
    store.remove(first);
    CHECK(store.kept().size() == 1);
    store.reads_back(second);
    store.remove(second);
    CHECK(store.kept().empty());
    CHECK(store.examined().findings.empty());
    store.reads_back(store.upload(noise(4096)));
  }
}

TEST_CASE("small content: damage is found by check and scrub, and never read as data") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    ModelResource& object = store.upload(noise(4096));
    const std::string key = keys::small_content(digest_of(object.bytes));
    std::string bytes = **store.kv().get(key, nullptr);
    bytes[4000] = static_cast<char>(bytes[4000] ^ 1);
    store.must(store.kv().write({{key, bytes}}, true));

    std::vector<std::byte> back;
    const Result<void> read = store.read(object, back);
    REQUIRE_FALSE(read.ok());
    CHECK(read.error().code == Code::corrupt);
    CheckReport report = store.examined();
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].kind == FindingKind::chunk_corrupt);
    CHECK(report.findings[0].fatal);
    CHECK(report.findings[0].layer == LayerId{object.head});

    const ScrubStep step = store.must(
        run_for(*store.world, store.world->engine().scrub(store.world->stores().records.readers(), {{}, 8})));
    REQUIRE(step.bad.size() == 1);
    CHECK(step.bad[0].fault.kind == FindingKind::chunk_corrupt);

    store.must(store.kv().write({{key, bytes.substr(1)}}, true));
    report = store.examined();
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].kind == FindingKind::chunk_corrupt);

    store.must(store.kv().write({{key, std::nullopt}}, true));
    report = store.examined();
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].kind == FindingKind::chunk_missing);
    CHECK_FALSE(report.trusted);

    // The same bytes bring it back.
    store.reads_back(store.upload(object.bytes));
    store.reads_back(object);
    CHECK(store.examined().findings.empty());
  }
}

TEST_CASE("small content: bytes that no record mentions are found by check and removed by repair") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    ModelResource& object = store.upload(noise(4096));
    const std::string lost = "nobody refers to these bytes";
    const Digest digest = digest_of(std::as_bytes(std::span{lost}));
    store.must(store.kv().write({{keys::small_content(digest), lost}}, true));
    CheckReport report = store.examined();
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].kind == FindingKind::chunk_unmentioned);
    CHECK_FALSE(report.findings[0].fatal);
    CHECK(store.must(run_for(*store.world, repair(store.world->stores()))).size() == 1);
    store.must(run_for(*store.world, store.world->engine().reclaimed()));
    CHECK(store.kept() == std::set<Digest>{digest_of(object.bytes)});
    CHECK(store.examined().findings.empty());
  }
}

TEST_CASE("small content: a chunk of an earlier format lies in a file, and is read, shared and given back from there") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    const std::vector<std::byte> bytes = noise(4096);
    const Digest digest = digest_of(bytes);
    store.must(run_for(*store.world, store.world->stores().data.put_content(digest, bytes)));
    const uint64_t layer = store.catalog.new_layer(0, 0);
    RecordBatch batch{
        AssignBlocks{LayerId{layer}, RegionIndex{0}, Source::content(digest, 4096), BlockSet{BlockRange{0, 1}}}};
    store.must(run_for(*store.world, store.world->stores().records.commit(std::move(batch))));
    ModelResource& old = store.catalog.add(true, layer, bytes);
    store.reads_back(old);
    ModelResource& again = store.upload(bytes);
    CHECK(store.kept().size() == 1);  // from now on
    CHECK(store.examined().findings.empty());
    store.remove(old);
    store.reads_back(again);
    store.remove(again);
    CHECK(store.files().empty());
    CHECK(store.kept().empty());
    CHECK(store.examined().findings.empty());
  }
}

TEST_CASE("small content: records of the first format are read and become of the second, later ones are refused") {
  for (const WorldMaker& maker : worlds()) {
    CAPTURE(maker.name);
    Store store{maker};
    RecordStore& records = store.world->stores().records;
    store.must(store.kv().write({{keys::version(), keys::encode_count(1)}}, true));
    store.must(records.recover());
    CHECK(**store.kv().get(keys::version(), nullptr) == keys::encode_count(2));
    store.must(store.kv().write({{keys::version(), keys::encode_count(3)}}, true));
    const Result<void> later = records.recover();
    REQUIRE_FALSE(later.ok());
    CHECK(later.error().code == Code::unsupported);
    CHECK(**store.kv().get(keys::version(), nullptr) == keys::encode_count(3));
  }
}

}  // namespace atl::testing
