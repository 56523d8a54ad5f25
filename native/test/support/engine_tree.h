// engine_tree.h: a simulated world with a tree of layers, and the few steps of a volume's life, for tests of the engine.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "engine/resource/status_runs.h"
#include "test/support/engine_world.h"
#include "test/support/model_catalog.h"

namespace atl::testing {

constexpr uint64_t B = block_bytes;
constexpr uint64_t R = region_bytes;

using Runs = std::vector<StatusRun>;

struct Tree {
  explicit Tree(uint64_t seed = 1) : world(sim_world(seed)) {}

  std::unique_ptr<World> world;
  ModelCatalog catalog;

  template <class T>
  T must(Result<T> result) {
    REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message));
    return std::move(*result);
  }
  void must(Result<void> result) { REQUIRE_MESSAGE(result.ok(), (result ? "" : result.error().message)); }

  Resource& open(ModelResource& resource) {
    if (!resource.open) must(run_for(*world, world->engine().open(catalog.spec(resource))));
    resource.open = true;
    return *world->engine().find(resource.id);
  }
  ModelResource& volume(uint64_t bytes) {
    return catalog.add(false, catalog.new_layer(0, 0), std::vector<std::byte>(bytes));
  }
  ModelResource& clone(const ModelResource& of, uint64_t bytes) {
    return catalog.add(false, catalog.new_layer(of.head, of.bytes.size() / B), std::vector<std::byte>(bytes));
  }
  /// Seals the head, as a snapshot or (with a smaller size) a shrink does.
  uint64_t seal(ModelResource& resource, uint64_t bytes) {
    Resource& device = open(resource);
    REQUIRE(must(run_for(*world, world->engine().quiesce(device.id()))));
    const uint64_t sealed = resource.head;
    resource.head = catalog.new_layer(sealed, std::min<uint64_t>(bytes, resource.bytes.size()) / B);
    resource.bytes.resize(bytes);
    must(run_for(*world, world->engine().resume(resource.id, bytes, catalog.chain(resource.head))));
    return sealed;
  }
  ModelResource& snapshot(ModelResource& resource) {
    return catalog.add(true, seal(resource, resource.bytes.size()), resource.bytes);
  }
  void grow(ModelResource& resource, uint64_t bytes) {
    REQUIRE(must(run_for(*world, world->engine().quiesce(resource.id))));
    resource.bytes.resize(bytes);
    must(run_for(*world, world->engine().resume(resource.id, bytes, catalog.chain(resource.head))));
  }
  void write(ModelResource& resource, uint64_t offset, uint64_t length) {
    const std::vector<std::byte> bytes(length, std::byte{7});
    Resource& device = open(resource);
    must(run_for(*world, run_on(device.home(), device.write(offset, bytes, {}))));
  }
  /// A clone that is too large for the model to keep its bytes.
  ModelResource& huge_clone(const ModelResource& of, uint64_t bytes) {
    ModelResource& resource = clone(of, 0);
    must(run_for(*world, world->engine().open({resource.id, bytes, false, catalog.chain(resource.head)})));
    resource.open = true;
    return resource;
  }
  void trim(ModelResource& resource, uint64_t offset, uint64_t length) {
    Resource& device = open(resource);
    must(run_for(*world, run_on(device.home(), device.trim(offset, length, {}))));
  }
  void flush(ModelResource& resource) {
    Resource& device = open(resource);
    must(run_for(*world, run_on(device.home(), device.flush())));
  }
  /// All merges and drops that are due.
  void reap() {
    while (const auto chore = catalog.next_chore(0)) {
      const LayerId layer{chore->layer};
      if (chore->child != 0) {
        ModelLayer& child = catalog.layers.at(chore->child);
        const ModelLayer parent = catalog.layers.at(chore->layer);
        must(run_for(*world, world->engine().merge_step({layer, LayerId{chore->child}, child.limit_blocks, 0, 1000})));
        child = {parent.parent, std::min(child.limit_blocks, parent.limit_blocks)};
        must(run_for(*world, world->engine().unlink_layer(layer, LayerId{chore->child}, child.limit_blocks)));
      }
      must(run_for(*world, world->engine().drop_layer(layer)));
      catalog.layers.erase(chore->layer);
    }
  }
  void remove(ModelResource& resource) {
    if (resource.open) must(run_for(*world, world->engine().close(resource.id)));
    catalog.resources.erase(resource.id);
  }

  Result<std::vector<StatusRun>> ask(ModelResource& of, StatusQuestion question, uint64_t offset, uint64_t length,
                                     uint32_t max = 1000) {
    Resource& device = open(of);
    return run_for(*world, run_on(device.home(), device.status(question, offset, length, max)));
  }
  /// Of all bytes.
  std::vector<StatusRun> changed(ModelResource& of, const ModelResource& since) {
    return must(ask(of, since_question(since), 0, of.bytes.size()));
  }
  static StatusQuestion since_question(const ModelResource& since) {
    return {StatusQuestion::Kind::changed, LayerId{since.head}, since.bytes.size()};
  }
  std::vector<StatusRun> depths(ModelResource& of, StatusQuestion::Kind kind) {
    return must(ask(of, {kind, LayerId::none, 0}, 0, of.bytes.size()));
  }
};

}  // namespace atl::testing
