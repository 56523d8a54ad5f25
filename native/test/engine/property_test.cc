// property_test.cc: random operations on the real engine against a plain in-memory model, over every store.
//
// ATOLL_SEED=n replays one seed; ATOLL_STEPS=n sets how many steps a seed runs (default 400); ATOLL_SEEDS=n how many seeds each
// world runs; ATOLL_WORLD=sim runs one world; ATOLL_TRACE=1 prints every operation. A failure prints the seed and the step.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>

#include "engine/resource/diff.h"
#include "test/support/engine_world.h"
#include "test/support/model_catalog.h"
#include "test/support/sparse_read.h"
#include "test/support/told_runs.h"

namespace atl::testing {
namespace {

constexpr uint64_t max_bytes = 10u << 20;  // two regions and a half: borders matter, size does not
constexpr size_t max_resources = 10;
constexpr uint64_t never = uint64_t{1} << 60;  // operations from now

uint64_t option(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

uint64_t blocks_of(uint64_t bytes) { return (bytes + block_bytes - 1) / block_bytes; }

class Player {
 public:
  Player(World& world, uint64_t seed) : world_(world), random_(seed) {}

  void play(uint64_t steps) {
    for (step_ = 1; step_ <= steps; step_++) {
      CAPTURE(step_);
      if (chance(40)) limited_ = world_.limit_space(below(1u << 20));
      if (chance(10)) world_.arm_crash(below(chance(2) ? 20 : 400));
      try {
        one_step();
      } catch (const PowerGone&) {
        start_again(true);
      } catch (const DiskFull&) {
        make_room();
      }
    }
    CAPTURE(step_);
    if (world_.is_off()) start_again(true);
    world_.arm_crash(never);
    make_room();
    verify_all();
    expect_clean("at the end");
    delete_everything();
  }

 private:
  Engine& engine() { return world_.engine(); }
  uint64_t below(uint64_t bound) { return random_() % bound; }
  bool chance(uint32_t in) { return below(in) == 0; }

  template <class... Words>
  void trace(const Words&... words) {
    if (!trace_) return;
    std::cout << "step " << step_ << ':';
    ((std::cout << ' ' << words), ...);
    std::cout << std::endl;
  }

  struct PowerGone {};
  struct DiskFull {};

  /// A full disk may fail what needs space, and nothing else; the rest must go on.
  template <class Result>
  void judge_failure(const Result& result) {
    if (result) return;
    if (world_.is_off()) throw PowerGone{};
    if (limited_ && result.error().code == Code::no_space) throw DiskFull{};
  }

  void make_room() {
    limited_ = false;
    world_.arm_crash(never);
    trace("room again");
    world_.limit_space(UINT64_MAX);
    for (auto& [id, resource] : catalog_.resources) {
      CAPTURE(id);
      if (!resource.maybe.empty()) adopt(resource, true);
    }
  }

  /// Nothing may fail while the power is on and there is space.
  void must(Result<void> result) {
    judge_failure(result);
    REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message));
  }
  template <class T>
  T must(Result<T> result) {
    judge_failure(result);
    REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message));
    return std::move(*result);
  }

  ModelResource* pick(bool writable_only) {
    std::vector<ModelResource*> choice;
    for (auto& [id, resource] : catalog_.resources)
      if (!writable_only || !resource.read_only) choice.push_back(&resource);
    return choice.empty() ? nullptr : choice[below(choice.size())];
  }

  std::vector<std::byte> random_bytes(uint64_t length) {
    std::vector<std::byte> bytes(length);
    const bool zeros = chance(12);
    if (!zeros)
      for (uint64_t at = 0; at < length; at += 8) {
        const uint64_t word = random_();
        std::memcpy(bytes.data() + at, &word, std::min<uint64_t>(8, length - at));
      }
    return bytes;
  }

  /// Lengths that tell: sub-sector, a block, a few blocks, more than a region.
  std::pair<uint64_t, uint64_t> random_range(uint64_t size) {
    static constexpr uint64_t lengths[] = {1, 100, 512, 4096, 4096, 8192, 10000, 65536, 300000, 4u << 20, 5000000};
    uint64_t length = std::min(size, lengths[below(std::size(lengths))]);
    uint64_t offset = below(size - length + 1);
    if (!chance(3)) offset -= offset % block_bytes;
    return {offset, length};
  }

  void ensure_open(ModelResource& resource) {
    if (resource.open) return;
    must(run_for(world_, engine().open(catalog_.spec(resource))));
    resource.open = true;
  }

  Resource& opened(ModelResource& resource) {
    ensure_open(resource);
    std::shared_ptr<Resource> found = engine().find(resource.id);
    REQUIRE(found != nullptr);
    return *found;
  }

  template <class T>
  T at_home(Resource& resource, Task<T> task) {
    return run_for(world_, run_on(resource.home(), std::move(task)));
  }

  void one_step() {
    switch (below(26)) {
      case 0: return create();
      case 1: return clone();
      case 2:
      case 3: return snapshot();
      case 4: return copy();
      case 5: return upload();
      case 6: return resize();
      case 7: return remove();
      case 8: return close();
      case 9: return flush();
      case 10: return restart_or_crash();
      case 11: return read_extents();
      case 12: return chore();
      case 13: return chance(4) ? verify_all() : read_some();
      case 14: return durable_write();
      case 15: return compare_two();
      case 16: return ask_depth();
      default: return burst();
    }
  }

  void create() {
    if (catalog_.resources.size() >= max_resources) return;
    const uint64_t size = (1 + below(max_bytes / block_bytes)) * block_bytes;
    trace(catalog_.add(false, catalog_.new_layer(0, 0), std::vector<std::byte>(size)).id, "created", size);
  }

  /// Seals the head of a writable resource, as the catalog's transaction does; answers the sealed layer.
  uint64_t seal(ModelResource& resource, uint64_t new_size) {
    const bool held = resource.open && must(run_for(world_, engine().quiesce(resource.id)));
    const uint64_t sealed = resource.head;
    trace(resource.id, "sealed", sealed, held ? "open" : "closed", "size", resource.bytes.size(), "->", new_size);
    resource.head = catalog_.new_layer(sealed, blocks_of(std::min<uint64_t>(new_size, resource.bytes.size())));
    resource.flushed();
    if (new_size < resource.bytes.size()) resource.bytes.resize(new_size);
    if (held) must(run_for(world_, engine().resume(resource.id, new_size, catalog_.chain(resource.head))));
    return sealed;
  }

  void snapshot() {
    ModelResource* resource = pick(true);
    if (resource == nullptr || catalog_.resources.size() >= max_resources) return;
    const uint64_t sealed = seal(*resource, resource->bytes.size());
    trace(catalog_.add(true, sealed, resource->bytes).id, "is its snapshot");
  }

  void clone() {
    ModelResource* source = pick(false);
    if (source == nullptr || catalog_.resources.size() >= max_resources) return;
    const uint64_t parent = source->read_only ? source->head : seal(*source, source->bytes.size());
    const uint64_t limit = blocks_of(source->bytes.size());
    std::vector<std::byte> bytes = source->bytes;
    bytes.resize((limit + (chance(2) ? below(300) : 0)) * block_bytes);
    trace(catalog_.add(false, catalog_.new_layer(parent, limit), std::move(bytes)).id, "clone of", source->id, "limit",
          limit);
  }

  void copy() {
    ModelResource* source = pick(false);
    if (source == nullptr || !source->read_only || catalog_.resources.size() >= max_resources) return;
    catalog_.add(true, source->head, source->bytes);
  }

  void upload() {
    if (catalog_.resources.size() >= max_resources) return;
    static constexpr uint64_t sizes[] = {0, 1, 2000, 4096, 5000, 4u << 20, 6000001, 9000000};
    std::vector<std::byte> bytes = random_bytes(sizes[below(std::size(sizes))]);
    if (!bytes.empty() && chance(3)) {  // a hole of zeros, and bytes that another upload may have too
      const auto [offset, length] = random_range(bytes.size());
      std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(offset), length,
                  std::byte{chance(2) ? uint8_t{0} : uint8_t{7}});
    }
    const uint64_t layer = catalog_.new_layer(0, 0);
    const bool give_up = chance(4);
    struct Upload {
      static Task<Result<void>> run(Ingest* ingest, Bytes bytes, uint64_t piece, bool give_up) {
        Result<void> taken;
        for (size_t at = 0; taken && at < bytes.size(); at += piece)
          taken = co_await ingest->write(bytes.subspan(at, std::min<size_t>(piece, bytes.size() - at)));
        if (taken && !give_up) {
          Result<IngestResult> done = co_await ingest->finish();
          VERIFY(!done || done->size_bytes == bytes.size());
          if (done) co_return Result<void>{};
          taken = done.error();
        }
        Result<void> aborted = co_await ingest->abort();
        co_return taken ? std::move(aborted) : std::move(taken);
      }
    };
    const std::unique_ptr<Ingest> ingest = engine().ingest(LayerId{layer});
    const Result<void> uploaded = run_for(world_, Upload::run(ingest.get(), bytes, 1 + below(3000000), give_up));
    if (give_up || !uploaded)
      catalog_.layers.erase(layer);
    else
      catalog_.add(true, layer, std::move(bytes));
    must(uploaded);
  }

  void resize() {
    ModelResource* resource = pick(true);
    if (resource == nullptr) return;
    const uint64_t size = (1 + below(max_bytes / block_bytes)) * block_bytes;
    const uint64_t old = resource->bytes.size();
    if (size < old) {
      seal(*resource, size);
    } else if (resource->open && must(run_for(world_, engine().quiesce(resource->id)))) {
      resource->flushed();
      must(run_for(world_, engine().resume(resource->id, size, catalog_.chain(resource->head))));
    }
    resource->bytes.resize(size);
    trace(resource->id, "resized", old, "->", size);
  }

  void remove() {
    ModelResource* resource = pick(false);
    if (resource == nullptr || chance(2)) return;
    if (resource->open) close(*resource);
    catalog_.resources.erase(resource->id);
  }

  void close(ModelResource& resource) {
    resource.open = false;  // it is forgotten, also when the last flush fails
    must(run_for(world_, engine().close(resource.id)));
  }

  void close() {
    ModelResource* resource = pick(false);
    if (resource == nullptr || !resource->open) return;
    close(*resource);
    trace(resource->id, "closed");
    resource->flushed();
  }

  void flush() {
    ModelResource* resource = pick(true);
    if (resource == nullptr) return;
    Resource& device = opened(*resource);
    must(at_home(device, device.flush()));
    trace(resource->id, "flushed");
    resource->flushed();
  }

  void durable_write() {
    ModelResource* resource = pick(true);
    if (resource == nullptr) return;
    Resource& device = opened(*resource);
    const auto [offset, length] = random_range(resource->bytes.size());
    const std::vector<std::byte> bytes = random_bytes(length);
    const Result<void> written = at_home(device, device.write(offset, bytes, {.fua = true}));
    trace(resource->id, "durable write", offset, length, written.ok() ? "ok" : "failed");
    resource->put(offset, bytes);
    must(written);
    resource->flushed();  // FUA makes all earlier answered writes durable too, in this engine
  }

  struct Change {
    uint64_t offset;
    uint64_t length;
    uint32_t kind;  // 0 write, 1 trim, 2 zeroes, 3 zeroes without a hole
    std::vector<std::byte> bytes;
    Result<void> result;
  };

  static Task<Result<void>> apply(Resource* device, Change* change) {
    switch (change->kind) {
      case 0: change->result = co_await device->write(change->offset, change->bytes, {}); break;
      case 1: change->result = co_await device->trim(change->offset, change->length, {}); break;
      default:
        change->result = co_await device->write_zeroes(change->offset, change->length, {.no_hole = change->kind == 3});
        break;
    }
    co_return change->result;
  }

  /// Changes at once on one resource, on ranges that share blocks but no byte; a flush and a merge may run among them.
  void burst() {
    ModelResource* resource = pick(true);
    if (resource == nullptr) return;
    Resource& device = opened(*resource);
    std::vector<Change> changes;
    const uint64_t count = 1 + below(8);
    std::vector<std::pair<uint64_t, uint64_t>> taken;
    for (uint64_t i = 0; i < count; i++) {
      auto [offset, length] = random_range(resource->bytes.size());
      if (!changes.empty() && chance(2)) {  // right behind the last one, in the same block
        offset = std::min<uint64_t>(changes.back().offset + changes.back().length, resource->bytes.size() - 1);
        length = std::min<uint64_t>(1 + below(6000), resource->bytes.size() - offset);
      }
      const auto clashes = [&, o = offset, l = length](const auto& other) {
        return o < other.first + other.second && other.first < o + l;
      };
      if (std::any_of(taken.begin(), taken.end(), clashes)) continue;
      taken.emplace_back(offset, length);
      const auto kind = static_cast<uint32_t>(chance(3) ? 1 + below(3) : 0);
      changes.push_back({offset, length, kind, kind == 0 ? random_bytes(length) : std::vector<std::byte>{}, {}});
    }
    struct Burst {
      static Task<Result<void>> run(Resource* device, std::vector<Change>* changes, bool flush) {
        std::vector<Task<Result<void>>> all;
        for (Change& change : *changes) all.push_back(apply(device, &change));
        if (flush) all.push_back(device->flush());
        Result<void> done = co_await when_all(std::move(all));
        co_return done;
      }
    };
    const Result<void> done = at_home(device, Burst::run(&device, &changes, chance(3)));
    for (const Change& change : changes) {
      trace(resource->id, "change", change.kind, change.offset, change.length, change.result.ok() ? "ok" : "failed");
      if (change.kind == 0) resource->put(change.offset, change.bytes);
      if (change.kind == 1) {
        const uint64_t first = blocks_of(change.offset) * block_bytes;
        const uint64_t end = (change.offset + change.length) / block_bytes * block_bytes;
        if (first < end) resource->zero(first, end - first);
      }
      if (change.kind >= 2) resource->zero(change.offset, change.length);
    }
    must(done);
  }

  /// Every second read is a sparse one: what it leaves out must be zeros, and be left alone.
  std::vector<std::byte> read(ModelResource& resource, uint64_t offset, uint64_t length) {
    Resource& device = opened(resource);
    std::vector<std::byte> bytes(length, left_out);
    std::vector<ZeroRun> zeroes;
    const bool sparse = ++reads_ % 2 == 0;
    must(at_home(device, sparse ? device.read_sparse(offset, bytes, zeroes) : device.read(offset, bytes)));
    fill_left_out(bytes, zeroes);
    return bytes;
  }

  void read_some() {
    ModelResource* resource = pick(false);
    if (resource == nullptr || resource->bytes.empty()) return;
    const auto [offset, length] = random_range(resource->bytes.size());
    const std::vector<std::byte> bytes = read(*resource, offset, length);
    REQUIRE(std::equal(bytes.begin(), bytes.end(), resource->bytes.begin() + static_cast<ptrdiff_t>(offset)));
    REQUIRE(at_home(opened(*resource), lent_bytes(&opened(*resource), offset, length)).value_or(bytes) == bytes);
  }

  void verify_all() {
    for (auto& [id, resource] : catalog_.resources) {
      CAPTURE(id);
      const std::vector<std::byte> bytes = read(resource, 0, resource.bytes.size());
      if (bytes == resource.bytes) continue;
      const auto at = std::mismatch(bytes.begin(), bytes.end(), resource.bytes.begin()).first - bytes.begin();
      FAIL("resource differs from the model at byte " << at << " of " << bytes.size());
    }
  }

  void read_extents() {
    ModelResource* resource = pick(false);
    if (resource == nullptr || resource->bytes.empty()) return;
    Resource& device = opened(*resource);
    const auto extents = must(at_home(device, device.extents(0, resource->bytes.size(), 1u << 20)));
    uint64_t at = 0;
    for (const Extent& extent : extents) {
      REQUIRE(at + extent.length <= resource->bytes.size());
      const auto from = resource->bytes.begin() + static_cast<ptrdiff_t>(at);
      if (extent.zero)
        REQUIRE(std::all_of(from, from + static_cast<ptrdiff_t>(extent.length),
                            [](std::byte b) { return b == std::byte{0}; }));
      at += extent.length;
    }
    REQUIRE(at == resource->bytes.size());
  }

  /// Whatever differs must be said to differ, for any two resources that have a layer in common.
  void compare_two() {
    ModelResource* of = pick(false);
    ModelResource* base = pick(false);
    if (of == nullptr || of->bytes.empty()) return;
    Resource& first = opened(*of);
    Resource& second = opened(*base);
    const auto above = [](const std::vector<ChainLayer>& layers, LayerId id) {
      return std::any_of(layers.begin(), layers.end(), [&](const ChainLayer& layer) { return layer.id == id; });
    };
    const std::vector<ChainLayer> layers = catalog_.chain(of->head);
    bool related = false;
    for (const ChainLayer& layer : catalog_.chain(base->head)) related |= above(layers, layer.id);
    const auto told = run_for(world_, diff(first, second, 0, of->bytes.size(), 1u << 20));
    trace("diff of", of->id, "and", base->id, related ? "related" : "unrelated");
    if (!related) {
      REQUIRE_FALSE(told.ok());
      if (!world_.is_off()) REQUIRE(told.error().code == Code::invalid);
      return;
    }
    const std::vector<StatusRun> runs = must(told);
    std::vector<std::byte> older = base->bytes;
    older.resize(of->bytes.size());
    expect_told(of->bytes.size(), runs,
                [&](uint64_t at, uint64_t flags) { return flags == 1 || of->bytes[at] == older[at]; });
    if (!base->read_only || !above(layers, LayerId{base->head})) return;
    // An ancestor: what NBD clients ask has the same answer.
    const StatusQuestion question{StatusQuestion::Kind::changed, LayerId{base->head}, base->bytes.size()};
    REQUIRE(must(at_home(first, first.status(question, 0, of->bytes.size(), 1u << 20))) == runs);
  }

  void ask_depth() {
    ModelResource* of = pick(false);
    if (of == nullptr || of->bytes.empty()) return;
    Resource& device = opened(*of);
    const uint64_t deepest = catalog_.chain(of->head).size();
    for (const auto kind : {StatusQuestion::Kind::depth, StatusQuestion::Kind::decided}) {
      const StatusQuestion question{kind, LayerId::none, 0};
      const auto runs = must(at_home(device, device.status(question, 0, of->bytes.size(), 1u << 20)));
      expect_told(of->bytes.size(), runs, [&](uint64_t at, uint64_t depth) {
        return depth <= deepest && (depth > 0 || of->bytes[at] == std::byte{0});
      });
    }
  }

  void chore() {
    auto chore = catalog_.next_chore(below(50));
    if (!chore) chore = catalog_.next_chore(0);
    if (!chore) return;
    if (chore->child == 0) {
      Result<void> dropped = run_for(world_, engine().drop_layer(LayerId{chore->layer}));
      must(dropped);
      catalog_.layers.erase(chore->layer);
      return;
    }
    ModelLayer& parent = catalog_.layers.at(chore->layer);
    ModelLayer& child = catalog_.layers.at(chore->child);
    const uint64_t cursor = cursors_[chore->layer];
    const MergeStep step{LayerId{chore->layer}, LayerId{chore->child}, child.limit_blocks, cursor, 1};
    const uint64_t next = must(run_for(world_, engine().merge_step(step)));
    trace("merge", chore->layer, "into", chore->child, "limit", child.limit_blocks, "from region", cursor);
    cursors_[chore->layer] = next;
    if (next != Engine::no_more_regions) return;
    child.limit_blocks = std::min(child.limit_blocks, parent.limit_blocks);
    child.parent = parent.parent;
    catalog_.layers.erase(chore->layer);
    cursors_.erase(chore->layer);
    must(run_for(world_, engine().unlink_layer(step.parent, step.child, child.limit_blocks)));
    must(run_for(world_, engine().drop_layer(step.parent)));
  }

  void restart_or_crash() { start_again(!chance(3)); }

  void start_again(bool crash) {
    world_.arm_crash(never);
    limited_ = false;
    world_.limit_space(UINT64_MAX);
    trace(crash ? "crash" : "restart", world_.is_off() ? "in the middle" : "");
    const bool crashed = crash && world_.crash();
    if (!crashed) world_.restart();
    cursors_.clear();
    for (auto& [id, resource] : catalog_.resources) {
      resource.open = false;
      if (!crashed) resource.flushed();
    }
    sweep();
    for (auto& [id, resource] : catalog_.resources) {
      CAPTURE(id);
      if (crashed) adopt(resource, false);
    }
    expect_clean("after a start");
  }

  /// What the server does at its start: layers that no row knows go.
  void sweep() {
    const auto known = must(run_for(world_, world_.stores().records.layers()));
    for (LayerId layer : known)
      if (!catalog_.layers.contains(number(layer))) must(run_for(world_, engine().drop_layer(layer)));
  }

  /// Several changes to parts of one sector since the last flush may have reached the disk each by itself: then each byte
  /// must be one of its values.
  static bool mixed_from(const std::vector<std::byte>& seen, const std::vector<std::vector<std::byte>>& older,
                         const std::byte* newest) {
    for (size_t i = 0; i < seen.size(); i++)
      if (seen[i] != newest[i] &&
          std::none_of(older.begin(), older.end(), [&](const auto& value) { return value[i] == seen[i]; }))
        return false;
    return true;
  }

  /// After a crash or a failed change every sector is what it was or one of the values it had since the last flush.
  void adopt(ModelResource& resource, bool alive) {
    const std::vector<std::byte> bytes = read(resource, 0, resource.bytes.size());
    for (uint64_t sector = 0; sector * sector_bytes < bytes.size(); sector++) {
      const auto from = static_cast<ptrdiff_t>(sector * sector_bytes);
      const auto to = static_cast<ptrdiff_t>(std::min<uint64_t>(bytes.size(), (sector + 1) * sector_bytes));
      if (std::equal(bytes.begin() + from, bytes.begin() + to, resource.bytes.begin() + from)) continue;
      const auto maybe = resource.maybe.find(sector);
      const std::vector<std::byte> seen(bytes.begin() + from, bytes.begin() + to);
      const bool known = maybe != resource.maybe.end() &&
                         (std::find(maybe->second.begin(), maybe->second.end(), seen) != maybe->second.end() ||
                          (maybe->second.size() > 1 && mixed_from(seen, maybe->second, resource.bytes.data() + from)));
      if (!known)
        FAIL("after a crash sector " << sector << " has a value that was never written, or lost a flushed one");
    }
    if (alive) resource.note_change(0, bytes.size());  // what was read may not be durable yet
    resource.bytes = bytes;
    if (!alive) resource.flushed();
  }

  void expect_clean(const char* when) {
    CheckOptions options;
    options.data = true;
    for (const auto& [id, layer] : catalog_.layers) options.layers.push_back(LayerId{id});
    const auto findings = must(run_for(world_, check(world_.stores(), options)));
    for (const Finding& finding : findings) FAIL_CHECK(when << ": " << finding.message);
    REQUIRE(findings.empty());
  }

  void delete_everything() {
    for (auto& [id, resource] : catalog_.resources)
      if (resource.open) close(resource);
    catalog_.resources.clear();
    for (int guard = 0; !catalog_.layers.empty() && guard < 100000; guard++) chore();
    REQUIRE(catalog_.layers.empty());
    must(run_for(world_, engine().reclaimed()));
    expect_clean("after everything was deleted");
    CHECK(world_.allocated_bytes() == 0);
  }

  World& world_;
  std::mt19937_64 random_;
  uint64_t reads_ = 0;
  ModelCatalog catalog_;
  std::map<uint64_t, uint64_t> cursors_;
  uint64_t step_ = 0;
  bool limited_ = false;
  const bool trace_ = option("ATOLL_TRACE", 0) != 0;
};

}  // namespace

TEST_CASE(
    "engine: random operations do what a plain array of bytes does, over every store, through restarts and crashes") {
  const uint64_t steps = option("ATOLL_STEPS", 400);
  const uint64_t only = option("ATOLL_SEED", 0);
  const uint64_t seeds = only != 0 ? 1 : option("ATOLL_SEEDS", 3);
  const char* world_only = std::getenv("ATOLL_WORLD");
  for (const WorldMaker& maker : worlds()) {
    if (world_only != nullptr && maker.name != world_only) continue;
    for (uint64_t i = 0; i < seeds; i++) {
      const uint64_t seed = only != 0 ? only : 1 + i;
      CAPTURE(maker.name);
      CAPTURE(seed);
      const std::unique_ptr<World> world = maker.make(seed);
      Player{*world, seed}.play(steps);
    }
  }
}

}  // namespace atl::testing
