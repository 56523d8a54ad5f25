#include <algorithm>
#include <cstring>

#include "sim/player.h"

namespace atl::sim {
namespace {

uint64_t cells_of(const Volume& volume) { return volume.size_bytes / cell_bytes; }

/// The step's cells, moved and cut to fit.
CellRange range_of(const Step& step, const Volume& volume) {
  const uint64_t cells = cells_of(volume);
  if (cells == 0) return {};
  const uint64_t first = step.a % cells;
  return {first, std::min(cells, first + step.b)};
}

CellRange whole_blocks(CellRange cells) {
  return {(cells.first + cells_per_block - 1) / cells_per_block * cells_per_block,
          cells.end / cells_per_block * cells_per_block};
}

}  // namespace

bool Player::may_fail(Code code) const {
  const bool told = const_cast<EngineHost&>(host_).disk().failures_told() > failures_before_;
  return (told && (code == Code::io || code == Code::no_space)) || (space_was_short_ && code == Code::no_space);
}

/// Nothing may fail while the power is on, the disk has room and no store was told to fail.
void Player::judge(const Error& error, const std::string& what, bool resized) {
  if (off() || may_fail(error.code)) return;
  if (resized && error.code == Code::out_of_range) return;
  wrong(what + " failed without a cause: " + code_name(error.code) + ": " + error.message);
}

Task<void> Player::perform(Client* client, Step step) {
  switch (step.kind) {
    case Kind::write:
    case Kind::zeroes:
    case Kind::trim: co_await change(client, step); break;
    case Kind::flush: co_await flush(client, step); break;
    case Kind::read: co_await read(client, step); break;
    case Kind::extents: co_await extents(client, step); break;
    case Kind::close: co_await give_back(client, step.at); break;
    case Kind::resize: co_await resize(step); break;
    case Kind::remove: {
      const auto found = places_.find(step.at);
      if (found == places_.end()) break;
      const VolumePtr volume = found->second;
      co_await tree_.remove(volume);
      break;
    }
    default: co_await make(client, step); break;
  }
  client->busy = false;
}

void Player::place(uint32_t at, VolumePtr volume) {
  if (!volume) return;
  // Two may have been made for one place at once: the later one goes, and is found nowhere.
  const auto found = places_.find(at);
  if (found != places_.end() && !found->second->deleted) {
    for (uint32_t other = places;; other++)
      if (!places_.contains(other)) {
        places_[other] = std::move(volume);
        return;
      }
  }
  places_[at] = std::move(volume);
}

Task<void> Player::make(Client*, Step step) {
  const bool from_another = step.kind == Kind::clone || step.kind == Kind::snapshot || step.kind == Kind::copy;
  const uint32_t to = from_another ? step.to : step.at;
  const auto there = places_.find(to);
  if (there != places_.end() && !there->second->deleted) co_return;
  VolumePtr source;
  if (from_another) {
    const auto found = places_.find(step.at);
    if (found == places_.end() || found->second->deleted) co_return;
    source = found->second;
  }
  VolumePtr made;
  Result<void> error;
  if (step.kind == Kind::create) {
    made = co_await tree_.create(step.a * block_bytes);
  } else if (step.kind == Kind::upload) {
    std::vector<Stamp> cells(step.a);
    // Contents of one number begin alike: what they share is stored once.
    for (size_t i = 0; i < cells.size(); i++)
      cells[i] = step.b == 0 && i % 64 < 40 ? zeros : stamp_of((uint64_t{1} << 40) + step.b, i);
    made = co_await tree_.upload(std::move(cells), 1 + step.a * 100, step.x, &error);
  } else if (step.kind == Kind::clone) {
    made = co_await tree_.clone(source, step.a, &error);
  } else if (step.kind == Kind::snapshot) {
    made = co_await tree_.snapshot(source, &error);
  } else if (source->read_only) {
    made = co_await tree_.copy(source);
  }
  place(to, std::move(made));
  if (!error && !(source && source->deleted)) judge(error.error(), describe(step));
}

Task<void> Player::resize(Step step) {
  const auto found = places_.find(step.at);
  if (found == places_.end() || found->second->deleted || found->second->read_only) co_return;
  const VolumePtr volume = found->second;
  volume->resizing++;
  Result<void> resized = co_await tree_.resize(volume, step.a * block_bytes);
  volume->resizing--;
  if (!resized && !volume->deleted) judge(resized.error(), describe(step));
}

// ---- leases ----

Task<void> Player::give_back(Client* client, uint32_t place) {
  const auto found = client->leases.find(place);
  if (found == client->leases.end()) co_return;
  const VolumePtr volume = found->second;
  client->leases.erase(found);
  Result<void> closed = co_await tree_.close(volume);
  if (!closed) judge(closed.error(), "closing " + volume->id);
}

/// A client keeps what it has opened, also when it has been deleted; with `y` it then turns to what is at the place now.
Task<VolumePtr> Player::lease(Client* client, const Step& step) {
  const uint32_t at = step.at;
  if (const auto held = client->leases.find(at); held != client->leases.end()) {
    const VolumePtr volume = held->second;
    if (!volume->deleted || !step.y) co_return volume;
    co_await give_back(client, at);
  }
  const auto found = places_.find(at);
  if (off() || found == places_.end() || found->second->deleted) co_return nullptr;
  const VolumePtr volume = found->second;
  Result<void> opened = co_await tree_.open(volume);
  if (!opened) {
    if (opened.error().code != Code::not_found || !volume->deleted) judge(opened.error(), "opening " + volume->id);
    co_return nullptr;
  }
  client->leases[at] = volume;
  co_return volume;
}

// ---- what they do with them ----

Task<void> Player::change(Client* client, Step step) {
  const VolumePtr volume = co_await lease(client, step);
  if (!volume || volume->read_only) co_return;
  const std::shared_ptr<Resource> device = host_.engine().find(volume->id);
  CellRange cells = range_of(step, *volume);
  if (step.kind == Kind::trim) cells = whole_blocks(cells);
  if (!device || cells.first >= cells.end) co_return;
  const uint64_t offset = cells.first * cell_bytes;
  const uint64_t length = (cells.end - cells.first) * cell_bytes;
  const WriteFlags flags{.fua = step.x, .no_hole = step.y};
  const bool had_failed = volume->sync_failed;
  const uint64_t resizes = volume->resizes;
  const uint64_t old_head = volume->head;
  const uint64_t id = volume->content->begin_change(cells, step.kind != Kind::write);
  tell("  change", id, "begins:", volume->id, "head", volume->head);
  Result<void> done;
  if (step.kind == Kind::write) {
    std::vector<std::byte> bytes(length);
    for (uint64_t at = cells.first; at < cells.end; at++)
      fill_cell(stamp_of(id, at), MutableBytes{bytes}.subspan((at - cells.first) * cell_bytes, cell_bytes));
    done = co_await run_on(device->home(), device->write(offset, bytes, flags));
  } else if (step.kind == Kind::zeroes) {
    done = co_await run_on(device->home(), device->write_zeroes(offset, length, flags));
  } else {
    done = co_await run_on(device->home(), device->trim(offset, length, flags));
  }
  tell("  change", id, done ? "is done" : done.error().message);
  const bool refused = !done && done.error().code == Code::out_of_range;
  Outcome outcome = step.x ? Outcome::durable : Outcome::done;
  if (!done) outcome = refused ? Outcome::not_begun : Outcome::failed;
  volume->content->end_change(id, outcome);
  const uint64_t now = volume->content->tick();
  for (uint64_t block = cells.first / cells_per_block; block * cells_per_block < cells.end && !refused; block++) {
    if (step.kind != Kind::write && block % cells_per_block > 64) break;
    volume->unflushed[block] = now;
    if (!done) {
      tree_.strays.emplace(old_head, block);
      tree_.strays.emplace(volume->head, block);
    }
  }
  if (!done) judge(done.error(), describe(step), volume->resizing > 0 || volume->resizes != resizes);
  if (done && had_failed && !off()) wrong(describe(step) + " is answered well although a sync failed before (I6)");
}

Task<void> Player::flush(Client* client, Step step) {
  const VolumePtr volume = co_await lease(client, step);
  if (!volume || volume->read_only) co_return;
  const std::shared_ptr<Resource> device = host_.engine().find(volume->id);
  if (!device) co_return;
  const bool had_failed = volume->sync_failed;
  const uint64_t since = volume->content->tick();
  Result<void> done = co_await run_on(device->home(), device->flush());
  tell("  flush of", volume->id, "since", since, done ? "is done" : done.error().message);
  if (done) {
    Tree::flushed(*volume, since);
    if (had_failed && !off()) wrong("a flush is answered well although a sync failed before (I6)");
    co_return;
  }
  if (!off() && done.error().code == Code::io) volume->sync_failed = true;
  judge(done.error(), describe(step));
}

Task<void> Player::read(Client* client, Step step) {
  const VolumePtr volume = co_await lease(client, step);
  if (!volume) co_return;
  const std::shared_ptr<Resource> device = host_.engine().find(volume->id);
  const CellRange cells = range_of(step, *volume);
  if (!device || cells.first >= cells.end) co_return;
  std::vector<std::byte> bytes((cells.end - cells.first) * cell_bytes);
  const uint64_t resizes = volume->resizes;
  const uint64_t began = volume->content->begin_read();
  Result<void> done = co_await run_on(device->home(), device->read(cells.first * cell_bytes, bytes));
  if (!done) {
    volume->content->give_up_read();
    judge(done.error(), describe(step), volume->resizing > 0 || volume->resizes != resizes);
    co_return;
  }
  tally_.reads++;
  if (auto complaint = volume->content->end_read(began, cells.first, bytes, false))
    wrong(describe(step) + " (resource " + volume->id + "): " + *complaint);
}

Task<void> Player::extents(Client* client, Step step) {
  const VolumePtr volume = co_await lease(client, step);
  if (!volume || volume->size_bytes == 0) co_return;
  const std::shared_ptr<Resource> device = host_.engine().find(volume->id);
  if (!device) co_return;
  const uint64_t resizes = volume->resizes;
  const uint64_t size = volume->size_bytes;
  const uint64_t began = volume->content->begin_read();
  auto found = co_await run_on(device->home(), device->extents(0, size, UINT32_MAX));
  if (!found) {
    volume->content->give_up_read();
    judge(found.error(), describe(step), volume->resizing > 0 || volume->resizes != resizes);
    co_return;
  }
  uint64_t at = 0;
  for (const Extent& extent : *found) {
    if (extent.zero)
      if (auto complaint = volume->content->may_be_zeros(began, {at / cell_bytes, (at + extent.length) / cell_bytes}))
        wrong(describe(step) + " (resource " + volume->id + "): " + *complaint);
    at += extent.length;
  }
  volume->content->give_up_read();
  if (at != size)
    wrong(describe(step) + ": the extents end at byte " + std::to_string(at) + " of " + std::to_string(size));
}

}  // namespace atl::sim
