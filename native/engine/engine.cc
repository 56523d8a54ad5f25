#include "engine/engine.h"

#include <algorithm>
#include <map>

#include "base/mutation.h"

namespace atl {
namespace {

constexpr uint32_t regions_per_drop = 1024;

std::vector<std::unique_ptr<ReadEpochs>> make_epochs(size_t count) {
  std::vector<std::unique_ptr<ReadEpochs>> epochs;
  for (size_t i = 0; i < count; i++) epochs.push_back(std::make_unique<ReadEpochs>());
  return epochs;
}

std::vector<Home> pair_up(const std::vector<Executor*>& executors,
                          const std::vector<std::unique_ptr<ReadEpochs>>& epochs) {
  VERIFY(!executors.empty());
  std::vector<Home> homes;
  for (size_t i = 0; i < executors.size(); i++) homes.push_back({executors[i], epochs[i].get()});
  return homes;
}

Error not_open(const std::string& id) { return Error{Code::not_found, "resource " + id + ": is not open"}; }

Error in_use(LayerId layer, const std::string& by) {
  return Error{Code::busy, "layer " + std::to_string(number(layer)) + ": resource " + by + " is open on it"};
}

}  // namespace

Engine::Engine(StoreAccess stores, JobSink& workers, JobSink& hashers, std::vector<Executor*> homes)
    : stores_(stores),
      workers_(workers),
      hashers_(hashers),
      epochs_(make_epochs(homes.size())),
      homes_(pair_up(homes, epochs_)),
      reclaimer_(stores, *homes_.front().executor, homes_, pins_),
      readings_(stores, homes_) {
  stores_.records.on_garbage([this] { reclaimer_.notify(); });
}

Engine::~Engine() { stores_.records.on_garbage(nullptr); }

Engine::Open* Engine::entry(const std::string& id) {
  VERIFY(registrar().on_thread());
  auto found = open_.find(id);
  return found == open_.end() || found->second.closing ? nullptr : &found->second;
}

std::shared_ptr<Resource> Engine::find(const std::string& id) const {
  const std::scoped_lock lock{mutex_};
  auto found = open_.find(id);
  return found == open_.end() ? nullptr : found->second.resource;
}

size_t Engine::open_resources() const {
  const std::scoped_lock lock{mutex_};
  return open_.size() + readings_.count();
}

Task<Result<void>> Engine::open(ResourceSpec spec) { return run_on(registrar(), open_here(std::move(spec))); }
Task<Result<void>> Engine::close(std::string id) { return run_on(registrar(), close_here(std::move(id), false)); }
Task<Result<bool>> Engine::quiesce(std::string id) { return run_on(registrar(), quiesce_here(std::move(id))); }
Task<Result<void>> Engine::resume(std::string id, uint64_t size_bytes, std::vector<ChainLayer> layers) {
  return run_on(registrar(), resume_here(std::move(id), size_bytes, std::move(layers)));
}
Task<Result<void>> Engine::drop_layer(LayerId layer) { return run_on(registrar(), drop_here(layer)); }
Task<Result<void>> Engine::unlink_layer(LayerId parent, LayerId child, uint64_t child_limit_blocks) {
  return run_on(registrar(), unlink_here(parent, child, child_limit_blocks));
}
Task<Result<void>> Engine::reclaimed() { return run_on(registrar(), reclaimer_.idle()); }
Task<Result<void>> Engine::shutdown() { return run_on(registrar(), shutdown_here()); }

Task<Result<void>> Engine::recover() { return run_on(registrar(), recover_here()); }

/// A client that carries on over our restart counts on all that it was answered (dirty_log.h).
Task<Result<void>> Engine::recover_answered() {
  if (stores_.dirty_logs == nullptr) co_return Result<void>{};
  Result<std::vector<DirtyLogs::Left>> left = co_await stores_.dirty_logs->left();
  if (!left) co_return left.error();
  for (const DirtyLogs::Left& log : *left) {
    RecordBatch batch;
    const DataFileId file = data_file_of(log.layer);
    for (const auto& [region, owned, zeroed] : log.regions) {
      if (!owned.empty()) batch.push_back(AssignBlocks{log.layer, region, Source::private_data(file), owned});
      if (!zeroed.empty()) batch.push_back(AssignBlocks{log.layer, region, Source::zero(), zeroed});
    }
    if (!batch.empty()) {
      // I2: its bytes first.
      Result<void> done = co_await trust(file);
      if (!done && done.error().code == Code::io) {
        // I6: the kernel says so once, and the next start would believe what is not there.
        Result<void> dropped = co_await stores_.dirty_logs->remove(log.path);
        if (!dropped) co_return dropped;
      }
      if (done) done = co_await stores_.records.commit(std::move(batch));
      if (!done) co_return done;
    }
    Result<void> removed = co_await stores_.dirty_logs->remove(log.path);
    if (!removed) co_return removed;
  }
  co_return Result<void>{};
}

Task<Result<void>> Engine::recover_here() {
  // First: the files that it speaks of would be taken for such that nobody refers to.
  Result<void> answered = co_await recover_answered();
  if (!answered) co_return answered;
  Result<std::vector<DataFileId>> files = co_await stores_.records.garbage_files();
  if (!files) co_return files.error();
  RecordBatch done;
  for (DataFileId file : *files) {
    Result<void> removed = co_await stores_.data.remove(file);
    if (!removed) co_return removed;
    done.push_back(Reclaimed{GarbageFile{file}});
  }
  Result<void> committed = co_await stores_.records.commit(std::move(done));
  if (committed) reclaimer_.notify();
  co_return committed;
}

Task<Result<void>> Engine::open_here(ResourceSpec spec) {
  Result<void> judged = judge(spec);
  if (!judged) co_return judged;
  const std::string id = spec.id;
  for (;;) {
    auto found = open_.find(id);
    if (found != open_.end() && !found->second.closing) {
      found->second.leases++;
      co_return Result<void>{};
    }
    if (found == open_.end() && !opening_.contains(id)) break;
    co_await changed_.wait();
  }
  if (!spec.read_only) {
    opening_.insert(id);
    Result<void> trusted = co_await trust(data_file_of(spec.layers.front().id));
    opening_.erase(id);
    if (!trusted) {
      changed_.wake_all();
      co_return trusted;
    }
  }
  const Home& home = homes_[next_home_++ % homes_.size()];
  Open opened;
  opened.layers = spec.layers;
  opened.resource = std::make_shared<Resource>(std::move(spec), stores_, *home.executor, *home.epochs);
  {
    const std::scoped_lock lock{mutex_};
    open_.emplace(id, std::move(opened));
  }
  changed_.wake_all();
  co_return Result<void>{};
}

Task<Result<void>> Engine::trust(DataFileId file) {
  if (trusted_.contains(file) || mutated(Mutation::trust_caches)) co_return Result<void>{};
  // An earlier run may have left bytes that can be read but are not durable. The first flush here would not know of them, and
  // a client that carries on over our restart counts on it.
  Result<void> reopened = co_await stores_.data.reopen(file);
  if (reopened) trusted_.insert(file);
  co_return reopened;
}

Task<Result<void>> Engine::close_here(std::string id, bool all_leases) {
  Open* open = entry(id);
  if (open == nullptr) co_return not_open(id);
  open->leases = all_leases ? 0 : open->leases - 1;
  if (open->leases > 0) co_return Result<void>{};
  open->closing = true;
  const std::shared_ptr<Resource> resource = open->resource;
  Result<void> settled;
  if (!resource->read_only()) settled = co_await run_on(resource->home(), resource->settle());
  if (!settled) trusted_.erase(data_file_of(open->layers.front().id));
  {
    const std::scoped_lock lock{mutex_};
    open_.erase(id);
  }
  changed_.wake_all();
  co_return settled;
}

std::shared_ptr<BlockDevice> Engine::adopt_lease(const std::string& id) {
  std::shared_ptr<Resource> resource = find(id);
  if (!resource) return nullptr;
  struct Release {
    static Task<void> run(Engine* engine, std::string id) {
      (void)co_await engine->close_here(std::move(id),
                                        false);  // the client was answered; what failed stays failed at its next open
    }
  };
  BlockDevice* device = resource.get();
  return std::shared_ptr<BlockDevice>(device, [this, resource = std::move(resource)](BlockDevice*) mutable {
    std::string released = resource->id();
    resource.reset();
    spawn_on(registrar(), Release::run(this, std::move(released)));
  });
}

Task<Result<bool>> Engine::quiesce_here(std::string id) {
  Open* open = entry(id);
  if (open == nullptr || open->resource->read_only()) co_return false;
  open->leases++;  // until resume(): the last connection may leave meanwhile
  const std::shared_ptr<Resource> resource = open->resource;
  Result<void> quiet = co_await run_on(resource->home(), resource->quiesce());
  if (quiet) co_return true;
  (void)co_await close_here(id, false);
  co_return quiet.error();
}

Task<Result<void>> Engine::resume_here(std::string id, uint64_t size_bytes, std::vector<ChainLayer> layers) {
  Result<void> judged = judge(ResourceSpec{id, size_bytes, false, layers});
  if (!judged) co_return judged;
  Open* open = entry(id);
  if (open == nullptr) co_return not_open(id);
  open->layers = layers;
  trusted_.insert(data_file_of(layers.front().id));  // a new head's file is not there yet; the old head's is known
  const std::shared_ptr<Resource> resource = open->resource;
  struct Resume {
    static Task<Result<void>> run(Resource* resource, uint64_t size_bytes, std::vector<ChainLayer> layers) {
      if (!resource->held()) co_return Error{Code::invalid, "resource " + resource->id() + ": is not quiesced"};
      resource->resume(size_bytes, std::move(layers));
      co_return Result<void>{};
    }
  };
  Result<void> resumed = co_await run_on(resource->home(), Resume::run(resource.get(), size_bytes, std::move(layers)));
  if (!resumed) co_return resumed;
  Result<void> closed = co_await close_here(std::move(id), false);  // the lease of quiesce()
  co_return closed;
}

Task<Result<void>> Engine::drop_here(LayerId layer) {
  for (const auto& [id, open] : open_)
    for (const ChainLayer& link : open.layers)
      if (link.id == layer) co_return in_use(layer, id);
  if (const std::optional<std::string> id = readings_.one_on(layer)) co_return in_use(layer, *id);
  for (;;) {
    Result<std::vector<RegionIndex>> regions =
        co_await stores_.records.regions(layer, RegionIndex{0}, regions_per_drop);
    if (!regions) co_return regions.error();
    if (regions->empty()) break;
    RecordBatch batch;
    for (RegionIndex region : *regions) batch.push_back(DropRegion{layer, region});
    Result<void> dropped = co_await stores_.records.commit(std::move(batch));
    if (!dropped) co_return dropped;
  }
  trusted_.erase(data_file_of(layer));
  RecordBatch last{RetireFile{data_file_of(layer)}};
  Result<void> retired = co_await stores_.records.commit(std::move(last));
  co_return retired;
}

Task<Result<uint64_t>> Engine::merge_step(MergeStep step) {
  if (step.cursor > UINT32_MAX || step.max_regions == 0)
    co_return Error{Code::invalid, "merge: the cursor is out of range"};
  const RegionIndex from{static_cast<uint32_t>(step.cursor)};
  Result<std::vector<RegionIndex>> regions = co_await stores_.records.regions(step.parent, from, step.max_regions);
  if (!regions) co_return regions.error();
  if (regions->empty()) co_return no_more_regions;
  RecordBatch batch;
  for (RegionIndex region : *regions) {
    const uint64_t first = uint64_t{number(region)} * blocks_per_region;
    const uint64_t visible =
        step.limit_blocks <= first ? 0 : std::min<uint64_t>(step.limit_blocks - first, blocks_per_region);
    const bool all = mutated(Mutation::merge_ignores_limit);
    batch.push_back(
        AbsorbRegion{step.parent, step.child, region, all ? blocks_per_region : static_cast<uint32_t>(visible)});
#ifdef ATOLL_MUTATIONS
    for (const auto& [id, open] : open_)
      if (mutated(Mutation::merge_by_dirty) && open.layers.front().id == step.child)
        batch.push_back(AssignBlocks{step.child, region, Source::none(), open.resource->dirty_blocks(region)});
#endif
  }
  const uint64_t next = uint64_t{number(regions->back())} + 1;
  Result<void> moved = co_await stores_.records.commit(std::move(batch));
  if (!moved) co_return moved.error();
  co_return regions->size() < step.max_regions ? no_more_regions : next;
}

Task<Result<void>> Engine::unlink_here(LayerId parent, LayerId child, uint64_t child_limit_blocks) {
  std::vector<std::shared_ptr<Resource>> touched = readings_.unlink(parent, child, child_limit_blocks);
  for (auto& [id, open] : open_)
    if (unlink_from(open.layers, parent, child, child_limit_blocks)) touched.push_back(open.resource);
  struct Unlink {
    static Task<void> run(Resource* resource, LayerId parent, LayerId child, uint64_t limit) {
      resource->unlink(parent, child, limit);
      co_return;
    }
  };
  for (const auto& resource : touched)
    co_await run_on(resource->home(), Unlink::run(resource.get(), parent, child, child_limit_blocks));
  co_return Result<void>{};
}

Task<Result<void>> Engine::shutdown_here() {
  Result<void> result;
  for (;;) {
    std::string id;
    for (const auto& [open_id, open] : open_)
      if (!open.closing) id = open_id;
    if (id.empty()) break;
    Result<void> closed = co_await close_here(id, true);
    if (!closed && result) result = closed;
  }
  while (!open_.empty()) co_await changed_.wait();
  co_await readings_.ended();
  co_await reclaimer_.stop();
  co_return result;
}

}  // namespace atl
