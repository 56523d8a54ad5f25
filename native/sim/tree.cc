#include "sim/tree.h"

#include <algorithm>

#include "base/mutation.h"

namespace atl::sim {
namespace {

constexpr uint64_t transaction_ns_max = 200'000;

uint64_t blocks_of(uint64_t bytes) { return (bytes + block_bytes - 1) / block_bytes; }
uint64_t cells_of(uint64_t bytes) { return bytes / cell_bytes; }
Error gone(const Volume& volume) { return Error{Code::not_found, "resource " + volume.id + ": has been deleted"}; }
Error power_off() { return Error{Code::io, "the simulated machine is off"}; }

}  // namespace

ResourceSpec Tree::spec(const Volume& volume) const {
  return ResourceSpec{volume.id, volume.size_bytes, volume.read_only, layers.chain(volume.head)};
}

VolumePtr Tree::insert(bool read_only, uint64_t size_bytes, uint64_t head, std::shared_ptr<Content> content) {
  auto volume = std::make_shared<Volume>();
  volume->id = "r" + std::to_string(++last_volume_);
  volume->read_only = read_only;
  volume->size_bytes = size_bytes;
  volume->head = head;
  volume->content = std::move(content);
  volumes[volume->id] = volume;
  return volume;
}

Task<bool> Tree::transaction(std::function<void()> work) {
  co_await host_.registrar().sleep_ns(host_.machine().random().below(transaction_ns_max));
  host_.disk().tick();  // the power may go here, before the commit
  if (off()) co_return false;
  work();
  host_.disk().tick();  // or here, after it
  co_await host_.registrar().sleep_ns(host_.machine().random().below(transaction_ns_max));
  co_return true;
}

// ---- making resources ----

Task<VolumePtr> Tree::create(uint64_t size_bytes) {
  VolumePtr made;
  const bool committed = co_await transaction([this, &made, size_bytes] {
    made = insert(false, size_bytes, layers.new_layer(0, 0), std::make_shared<Content>(clock));
  });
  (void)committed;
  co_return made;
}

Task<VolumePtr> Tree::upload(std::vector<Stamp> cells, uint64_t piece_bytes, bool give_up, Result<void>* error) {
  const uint64_t layer = ++layers.last_layer;
  std::vector<std::byte> bytes(cells.size() * cell_bytes);
  for (size_t i = 0; i < cells.size(); i++)
    fill_cell(cells[i], MutableBytes{bytes}.subspan(i * cell_bytes, cell_bytes));
  VolumePtr made;
  const auto insert_row = [this, &made, &cells, layer] {
    layers.layers[layer] = ModelLayer{};
    auto content = std::make_shared<Content>(clock);
    for (size_t i = 0; i < cells.size(); i++)
      if (cells[i] != zeros) content->put(i, cells[i]);
    content->freeze();
    made = insert(true, cells.size() * cell_bytes, layer, std::move(content));
  };
  if (mutated(Mutation::row_before_data) && !give_up) (void)co_await transaction(insert_row);

  const std::unique_ptr<Ingest> ingest = engine().ingest(LayerId{layer});
  Result<void> taken;
  for (size_t at = 0; taken && at < bytes.size(); at += piece_bytes)
    taken = co_await ingest->write(Bytes{bytes}.subspan(at, std::min<size_t>(piece_bytes, bytes.size() - at)));
  if (taken && !give_up) {
    Result<IngestResult> done = co_await ingest->finish();
    if (!done) taken = done.error();
  }
  if (!taken || give_up) {
    Result<void> aborted = co_await ingest->abort();
    *error = taken ? std::move(aborted) : std::move(taken);
    co_return made;
  }
  if (made) co_return made;
  const bool committed = co_await transaction(insert_row);
  if (!committed) *error = power_off();
  co_return made;
}

Task<VolumePtr> Tree::snapshot(VolumePtr source, Result<void>* error) {
  VolumePtr made;
  *error = co_await fork(source, [this, &made, &source](uint64_t sealed) {
    auto content = source->read_only ? source->content : source->content->fork(true);
    made = insert(true, source->size_bytes, sealed, std::move(content));
  });
  co_return made;
}

Task<VolumePtr> Tree::clone(VolumePtr source, uint64_t more_blocks, Result<void>* error) {
  VolumePtr made;
  *error = co_await fork(source, [this, &made, &source, more_blocks](uint64_t sealed) {
    const uint64_t blocks = blocks_of(source->size_bytes);
    const uint64_t layer = layers.new_layer(sealed, blocks);
    made = insert(false, (blocks + more_blocks) * block_bytes, layer, source->content->fork(false));
  });
  co_return made;
}

Task<VolumePtr> Tree::copy(VolumePtr source) {
  VolumePtr made;
  const bool committed = co_await transaction([this, &made, &source] {
    if (!source->deleted) made = insert(true, source->size_bytes, source->head, source->content);
  });
  (void)committed;
  co_return made;
}

// ---- changing and ending them ----

Task<Result<void>> Tree::fork(VolumePtr source, std::function<void(uint64_t sealed)> then) {
  if (source->read_only) {
    const bool committed = co_await transaction([&source, &then] {
      if (!source->deleted) then(source->head);
    });
    if (!committed) co_return power_off();
    co_return source->deleted ? Result<void>{gone(*source)} : Result<void>{};
  }
  const uint64_t layer = ++layers.last_layer;
  Result<void> forked = co_await with_writes_held(source, [this, &source, &then, layer] {
    const uint64_t sealed = source->head;
    layers.layers[layer] = ModelLayer{sealed, blocks_of(source->size_bytes)};
    source->head = layer;
    then(sealed);
  });
  co_return forked;
}

Task<Result<void>> Tree::resize(VolumePtr volume, uint64_t size_bytes) {
  const uint64_t layer = ++layers.last_layer;
  Result<void> resized = co_await with_writes_held(volume, [this, &volume, layer, size_bytes] {
    if (size_bytes < volume->size_bytes) {
      const uint64_t sealed = volume->head;
      layers.layers[layer] = ModelLayer{sealed, blocks_of(size_bytes)};
      volume->head = layer;
      volume->content->truncate(cells_of(size_bytes));
      consider_and_wake(sealed);
    }
    volume->size_bytes = size_bytes;
    volume->resizes++;
  });
  co_return resized;
}

Task<Result<void>> Tree::with_writes_held(VolumePtr volume, std::function<void()> work) {
  co_await volume->mutex.lock();
  while (volume->closing) co_await volume->closed.wait();
  Result<void> outcome;
  {
    const Grace::During during{grace_};
    if (volume->deleted) {
      outcome = gone(*volume);
    } else if (mutated(Mutation::seal_from_caches) && engine().find(volume->id) == nullptr) {
      const bool committed = co_await transaction(work);
      if (!committed) outcome = power_off();
    } else {
      outcome = co_await hold_writes_and(volume, std::move(work));
    }
  }
  volume->mutex.unlock();
  co_return outcome;
}

Task<Result<void>> Tree::hold_writes_and(VolumePtr volume, std::function<void()> work) {
  // Also one that nobody uses: what an earlier run left of its head may be in caches alone, and must not be sealed so.
  Result<void> outcome = co_await engine().open(spec(*volume));
  if (!outcome) co_return outcome;
  volume->leases++;
  const std::shared_ptr<Resource> open = engine().find(volume->id);
  if (open) {
    Result<void> flushed = co_await run_on(open->home(), open->flush());
    (void)flushed;  // quiesce() says what matters
  }
  const uint64_t since = volume->content->tick();
  Result<bool> held = co_await engine().quiesce(volume->id);
  if (held) {
    VERIFY(*held);
    flushed(*volume, since);
    const bool committed = co_await transaction([&volume, &work] {
      if (!volume->deleted) work();
    });
    if (!committed) outcome = power_off();
    if (committed && volume->deleted) outcome = gone(*volume);
    const ResourceSpec now = spec(*volume);
    Result<void> resumed = co_await engine().resume(now.id, now.size_bytes, now.layers);
    (void)resumed;  // the outcome of the transaction stands
  } else {
    outcome = held.error();
  }
  Result<void> closed = co_await close(volume);
  (void)closed;  // likewise
  co_return outcome;
}

void Tree::flushed(Volume& volume, uint64_t since) {
  volume.content->flushed(since);
  std::erase_if(volume.unflushed, [&](const auto& block) { return block.second < since; });
}

Task<void> Tree::remove(VolumePtr volume) {
  const bool committed = co_await transaction([this, &volume] {
    if (std::exchange(volume->deleted, true)) return;
    volumes.erase(volume->id);
    deleted_.emplace(volume->head, volume);
    consider_and_wake(volume->head);
  });
  (void)committed;
}

// ---- using them ----

Task<Result<void>> Tree::open(VolumePtr volume) {
  co_await volume->mutex.lock();
  while (volume->closing) co_await volume->closed.wait();
  Result<void> opened;
  {
    const Grace::During during{grace_};
    if (volume->deleted) {
      opened = gone(*volume);
    } else {
      opened = co_await engine().open(spec(*volume));
      if (opened) volume->leases++;
    }
  }
  volume->mutex.unlock();
  co_return opened;
}

Task<Result<void>> Tree::close(VolumePtr volume) {
  VERIFY(volume->leases > 0);
  const bool last = --volume->leases == 0;
  const bool in_doubt = last && (failures || volume->sync_failed);
  if (in_doubt) volume->closing = true;
  const uint64_t since = volume->content->tick();
  Result<void> closed = co_await engine().close(volume->id);
  if (last && closed && !volume->read_only) flushed(*volume, since);
  if (!closed && !off()) {
    may_stray(*volume);
    volume->content->lost_caches();
  }
  if (last) volume->sync_failed = false;
  if (in_doubt) {
    volume->closing = false;
    volume->closed.wake_all();
  }
  co_return closed;
}

void Tree::may_stray(Volume& volume) {
  for (const auto& [block, change] : volume.unflushed) strays.emplace(volume.head, block);
  volume.content->for_changing([&](CellRange cells) {
    for (uint64_t at = cells.first / cells_per_block; at * cells_per_block < cells.end; at++)
      strays.emplace(volume.head, at);
  });
  volume.unflushed.clear();
}

// ---- the reaper ----

bool Tree::is_head(uint64_t layer) const {
  return std::any_of(volumes.begin(), volumes.end(), [&](const auto& row) { return row.second->head == layer; });
}

VolumePtr Tree::writer_of(uint64_t layer) const {
  for (const auto& [id, volume] : volumes)
    if (volume->head == layer && !volume->read_only) return volume;
  return nullptr;
}

void Tree::consider_and_wake(uint64_t layer) {
  consider(layer);
  reaper_wakes_.wake_all();
}

Task<Result<std::vector<uint64_t>>> Tree::orphans() {
  Result<std::vector<LayerId>> known = co_await host_.stores().records.layers();
  if (!known) co_return known.error();
  std::vector<uint64_t> found;
  for (LayerId layer : *known)
    if (number(layer) < first_of_run_ && !layers.layers.contains(number(layer))) found.push_back(number(layer));
  co_return found;
}

Task<Result<void>> Tree::sweep() {
  Result<std::vector<uint64_t>> found = co_await orphans();
  if (!found) co_return found.error();
  for (uint64_t layer : *found) {
    Result<bool> reaped = co_await reap(layer);
    if (!reaped) co_return reaped.error();
  }
  co_return Result<void>{};
}

Task<void> Tree::sweep_beside() {
  Result<std::vector<uint64_t>> found = co_await orphans();
  if (!found) co_return;
  for (uint64_t layer : *found) consider_and_wake(layer);
}

void Tree::begin_run() {
  first_of_run_ = layers.last_layer + 1;
  deleted_.clear();
  unlinks_.clear();
  queue_.clear();
}

void Tree::start_reaper() {
  for (const auto& [id, layer] : layers.layers)
    if (!is_head(id)) consider(id);
  stopping_ = false;
  running_ = true;
  spawn_on(host_.registrar(), reaper());
}

Task<void> Tree::stop_reaper() {
  stopping_ = true;
  reaper_wakes_.wake_all();
  while (running_) co_await reaped_.wait();
}

Task<void> Tree::reaped() {
  while (running_ && !off() && (reaping_ || !queue_.empty())) co_await reaped_.wait();
}

Task<void> Tree::reaper() {
  constexpr uint64_t busy_wait_ns = 1'000'000;
  while (!stopping_ && !off()) {
    if (queue_.empty()) {
      reaped_.wake_all();
      co_await reaper_wakes_.wait();
      continue;
    }
    const uint64_t layer = queue_.front();
    queue_.pop_front();
    reaping_ = true;
    Result<bool> reaped = co_await reap(layer);
    const bool again = !reaped || !*reaped;
    if (again) {
      queue_.push_back(layer);
      if (!reaped && !off() && !stopping_) co_await host_.registrar().sleep_ns(busy_wait_ns);
    }
    reaping_ = false;
  }
  running_ = false;
  reaped_.wake_all();
}

bool Tree::being_read(uint64_t layer) const {
  for (auto [at, end] = deleted_.equal_range(layer); at != end; ++at)
    if (host_.engine().find(at->second->id) != nullptr) return true;
  return false;
}

/// False: look at the layer once more.
Task<Result<bool>> Tree::reap(uint64_t layer) {
  if (deleted_.contains(layer)) {
    co_await grace_.elapsed();  // who has read the row before it went, has opened the resource by now
    if (being_read(layer)) co_return Error{Code::busy, "layer " + std::to_string(layer) + " is being read"};
    deleted_.erase(layer);
  }
  const auto row = layers.layers.find(layer);
  if (row == layers.layers.end()) {  // an upload that did not come to an end
    Result<void> dropped = co_await engine().drop_layer(LayerId{layer});
    if (!dropped) co_return dropped.error();
    co_return true;
  }
  if (!row->second.dropping) {
    if (is_head(layer)) co_return true;
    const std::vector<uint64_t> children = layers.children(layer);
    if (children.size() > 1) co_return true;
    const uint64_t child = children.empty() ? 0 : children.front();
    if (child != 0) {
      Result<bool> merged = co_await merge(layer, child);
      if (!merged || !*merged) co_return merged;  // the child's own end brings us back here
    }
    const bool out = co_await take_out(layer, child);
    if (off()) co_return power_off();
    if (!out) co_return false;
  }
  Result<void> dropped = co_await drop(layer);
  if (!dropped) co_return dropped.error();
  co_return true;
}

Task<Result<bool>> Tree::merge(uint64_t parent, uint64_t child) {
  const MergeStep whole{LayerId{parent}, LayerId{child}, layers.layers.at(child).limit_blocks, 0, 1};
  for (uint64_t cursor = 0; cursor != Engine::no_more_regions;) {
    if (stopping_) co_return Error{Code::shutdown, "the reaper stops"};
    if (!is_head(child) && layers.children(child).size() <= 1) {
      consider(child);  // it will leave the tree itself
      co_return false;
    }
    MergeStep step = whole;
    step.cursor = cursor;
    const VolumePtr writer = writer_of(child);
    if (writer) co_await writer->mutex.lock();
    Result<uint64_t> next = co_await engine().merge_step(step);
    if (writer) writer->mutex.unlock();
    if (!next) co_return next.error();
    cursor = *next;
  }
  co_return true;
}

/// False when the tree has changed meanwhile.
Task<bool> Tree::take_out(uint64_t layer, uint64_t child) {
  bool out = false;
  uint64_t parent = 0;
  uint64_t limit_blocks = 0;
  const bool committed = co_await transaction([&, this] {
    const auto row = layers.layers.find(layer);
    const std::vector<uint64_t> children = layers.children(layer);
    const std::vector<uint64_t> expected = child == 0 ? std::vector<uint64_t>{} : std::vector<uint64_t>{child};
    if (row == layers.layers.end() || row->second.dropping || is_head(layer) || children != expected) return;
    parent = row->second.parent;
    if (child != 0) {
      ModelLayer& below = layers.layers.at(child);
      limit_blocks = std::min(row->second.limit_blocks, below.limit_blocks);
      below.parent = parent;
      below.limit_blocks = limit_blocks;
    }
    row->second = ModelLayer{0, 0, true};
    out = true;
  });
  if (!committed || !out) co_return false;
  if (parent != 0) consider(parent);
  if (child != 0) {
    co_await grace_.elapsed();
    unlinks_[layer] = Unlink{child, limit_blocks};
  }
  co_return true;
}

Task<Result<void>> Tree::drop(uint64_t layer) {
  co_await grace_.elapsed();
  if (const auto found = unlinks_.find(layer); found != unlinks_.end()) {
    const Unlink unlink = found->second;
    Result<void> unlinked = co_await engine().unlink_layer(LayerId{layer}, LayerId{unlink.child}, unlink.limit_blocks);
    if (!unlinked) co_return unlinked;
    unlinks_.erase(layer);
  }
  Result<void> dropped = co_await engine().drop_layer(LayerId{layer});
  if (!dropped) co_return dropped;
  const bool committed = co_await transaction([this, layer] { layers.layers.erase(layer); });
  if (!committed) co_return power_off();
  co_return Result<void>{};
}

}  // namespace atl::sim
