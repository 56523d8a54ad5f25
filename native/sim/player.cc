#include "sim/player.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "engine/health/check.h"
#include "store/records/record_keys.h"

namespace atl::sim {
namespace {

// Past this a run is stuck in a loop: tasks that wake each other for ever.
constexpr uint64_t machine_steps_max = 3'000'000;

}  // namespace

Player::Player(const Script& script, bool tell)
    : script_(script), tell_(tell), host_(script.seed, script.seed * 7919 + 1, script.disk), tree_(host_) {
  tree_.start_reaper();
}

void Player::wrong(const std::string& what) {
  std::cout << std::flush;
  std::fprintf(stderr, "wrong: %s\n", what.c_str());
  std::fflush(stderr);
  ::_exit(found_wrong);
}

Tally Player::play() {
  for (size_t i = 0; i < script_.steps.size(); i++) {
    const Step& step = script_.steps[i];
    if (off()) recover(last_cut_);
    wait_for(clients_[step.client].busy);
    if (off()) recover(last_cut_);
    tell(i + 1, describe(step));
    begin(step);
    tally_.steps++;
    moments(step.pause);
  }
  end();
  tally_.runs = 1;
  tally_.operations = host_.disk().operations();
  tally_.failures = host_.disk().failures_told();
  return tally_;
}

// ---- time ----

void Player::moments(uint32_t count) {
  for (uint32_t i = 0; i < count && !off(); i++)
    if (!host_.machine().step()) return;
}

void Player::wait_for(const bool& busy) {
  for (uint64_t steps = 0; busy; steps++) {
    if (steps > machine_steps_max) wrong("an operation never ends: something wakes itself for ever");
    if (!host_.machine().step()) wrong("an operation never ends: it waits, and nothing is left to run");
  }
}

void Player::wait_for_all() {
  for (auto& [number, client] : clients_) wait_for(client.busy);
}

void Player::run(Task<void> task, const char* what) {
  struct Mark {
    static Task<void> run(Task<void> task, bool* busy) {
      co_await task;
      *busy = false;
    }
  };
  bool busy = true;
  spawn_on(host_.registrar(), Mark::run(std::move(task), &busy));
  for (uint64_t steps = 0; busy; steps++) {
    if (steps > machine_steps_max) wrong(std::string(what) + " never ends: something wakes itself for ever");
    if (!host_.machine().step()) wrong(std::string(what) + " never ends: it waits, and nothing is left to run");
  }
}

template <class T>
T Player::must(Result<T> result, const char* what) {
  if (!result) wrong(std::string(what) + " failed: " + result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

void Player::begin(const Step& step) {
  Disk& disk = host_.disk();
  switch (step.kind) {
    case Kind::fail:
      tree_.failures = true;
      return disk.fail_next(static_cast<Operation>(step.a), step.x ? Code::no_space : Code::io, step.b);
    case Kind::slow: return disk.set_latency(step.a);
    case Kind::full: space_was_short_ = true; return disk.set_capacity(disk.allocated_bytes() + step.b);
    case Kind::room: return disk.set_capacity(UINT64_MAX);
    case Kind::cut: last_cut_ = step; return disk.cut_power_after(step.a);
    case Kind::kill:
      last_cut_ = step;
      disk.kill();
      return;
    case Kind::restart: return restart();
    case Kind::settle: return settle();
    default: break;
  }
  Client& client = clients_[step.client];
  client.busy = true;
  spawn_on(host_.registrar(), perform(&client, step));
}

// ---- the end of a process, and what comes after it ----

void Player::recover(const Step& why) {
  Disk& disk = host_.disk();
  tell("  the machine is off");
  wait_for_all();
  run(tree_.stop_reaper(), "the reaper's end");
  if (host_.running()) (void)host_.stop();  // it cannot succeed, but everything ends
  tally_.cuts++;
  for (auto& [number, client] : clients_) client.leases.clear();
  for (auto& [place, volume] : places_) {
    tree_.may_stray(*volume);
    volume->content->lost_caches();
    volume->leases = 0;
    volume->sync_failed = false;
  }
  std::erase_if(places_, [](const auto& entry) { return entry.second->deleted; });
  disk.clear_failures();
  disk.set_capacity(UINT64_MAX);
  tree_.failures = false;
  space_was_short_ = false;
  disk.turn_on();
  if (why.x) disk.cut_power_after(why.b % 40);
  for (bool up = false; !up;) {
    tree_.begin_run();
    up = host_.start();
    if (up && (why.b & 1) == 0) {
      struct Sweep {
        static Task<void> run(Tree* tree, bool* swept) {
          Result<void> done = co_await tree->sweep();
          *swept = done.ok();
        }
      };
      run(Sweep::run(&tree_, &up), "the sweep after a start");
      if (!up && !off()) wrong("the sweep after a start failed");
      if (up && off()) up = false;
    }
    if (up) continue;
    tell("  the power went during the start");
    tally_.cuts++;
    if (host_.running()) (void)host_.stop();
    disk.turn_on();
  }
  disk.cut_power_after(uint64_t{1} << 60);
  failures_before_ = disk.failures_told();
  if ((why.b & 1) == 0) check_records();
  // Not all: a resource that nobody has opened since the crash must be as safe as one that was looked at.
  for (auto& [place, volume] : std::map{places_})
    if ((why.b >> (1 + place)) & 1) look_at(volume, true);
  tree_.start_reaper();
  if ((why.b & 1) == 1) run(tree_.sweep_beside(), "the sweep");
}

void Player::restart() {
  wait_for_all();
  if (off()) return;
  close_all();
  if (off()) return;
  run(tree_.stop_reaper(), "the reaper's end");
  Result<void> stopped = host_.stop();
  if (off()) return recover(last_cut_);
  must(std::move(stopped), "a clean stop");
  host_.disk().clear_failures();
  tree_.begin_run();
  const bool up = host_.start();
  if (!up) return recover(last_cut_);
  failures_before_ = host_.disk().failures_told();
  tree_.start_reaper();
  run(tree_.sweep_beside(), "the sweep");
}

void Player::close_all() {
  struct All {
    static Task<void> run(Player* player, Client* client) {
      while (!client->leases.empty()) co_await player->give_back(client, client->leases.begin()->first);
    }
  };
  for (auto& [number, client] : clients_) run(All::run(this, &client), "closing");
}

void Player::check_records() {
  CheckOptions options;
  options.data = true;
  for (const auto& [id, layer] : tree_.layers.layers) options.layers.push_back(LayerId{id});
  struct Check {
    static Task<void> run(StoreAccess stores, CheckOptions options,
                          std::optional<Result<std::vector<Finding>>>* found) {
      found->emplace(co_await check(stores, std::move(options)));
    }
  };
  std::optional<Result<std::vector<Finding>>> found;
  run(Check::run(host_.stores(), std::move(options), &found), "check");
  tally_.checks++;
  for (const Finding& finding : must(std::move(*found), "check")) wrong("check finds: " + finding.message);
}

void Player::look_at(VolumePtr volume, bool settled) { run(look(std::move(volume), settled), "a look at a resource"); }

/// Reads all that may be anything but zeros, by what is known of it and by what the engine says of it.
Task<void> Player::look(VolumePtr volume, bool settled) {
  if (volume->size_bytes == 0) co_return;
  Result<void> opened = co_await tree_.open(volume);
  if (!opened) {
    if (off()) co_return;
    wrong("a resource cannot be opened: " + opened.error().message);
  }
  const std::shared_ptr<Resource> device = host_.engine().find(volume->id);
  VERIFY(device != nullptr);
  std::set<uint64_t> blocks;
  for (uint64_t block : volume->content->known_blocks())
    if (block * block_bytes < volume->size_bytes) blocks.insert(block);
  auto extents = co_await run_on(device->home(), device->extents(0, volume->size_bytes, UINT32_MAX));
  if (!extents && !off()) wrong("extents of " + volume->id + " failed: " + extents.error().message);
  uint64_t at = 0;
  if (extents)
    for (const Extent& extent : *extents) {
      if (!extent.zero)
        for (uint64_t block = at / block_bytes; block * block_bytes < at + extent.length; block++) blocks.insert(block);
      at += extent.length;
    }
  for (auto from = blocks.begin(); from != blocks.end() && !off();) {
    auto to = std::next(from);
    uint64_t end = *from + 1;
    while (to != blocks.end() && *to == end) ++to, ++end;
    const uint64_t offset = *from * block_bytes;
    std::vector<std::byte> bytes(std::min(end * block_bytes, volume->size_bytes) - offset);
    const uint64_t began = volume->content->begin_read();
    Result<void> done = co_await run_on(device->home(), device->read(offset, bytes));
    if (!done) {
      volume->content->give_up_read();
      if (!off()) wrong("a read of " + volume->id + " failed: " + done.error().message);
    } else if (auto complaint = volume->content->end_read(began, offset / cell_bytes, bytes, settled)) {
      wrong("resource " + volume->id + ", " + *complaint);
    }
    tally_.reads++;
    from = to;
  }
  Result<void> closed = co_await tree_.close(volume);
  if (!closed && !off()) wrong("a resource cannot be closed: " + closed.error().message);
}

// ---- counting ----

void Player::settle() {
  host_.disk().clear_failures();
  host_.disk().set_capacity(UINT64_MAX);
  host_.disk().cut_power_after(uint64_t{1} << 60);
  wait_for_all();
  if (off()) return;
  // What could not be given up or written down because a store failed is found by the next start.
  if (host_.disk().failures_told() > failures_before_) restart();
  // As those see it who have had it open; what is durable is looked at elsewhere.
  for (auto& [place, volume] : std::map{places_})
    if (volume->leases > 0 && !volume->deleted && !volume->sync_failed) look_at(volume, false);
  close_all();
  struct Settled {
    static Task<void> run(Tree* tree, Engine* engine, Result<void>* reclaimed) {
      co_await tree->reaped();
      *reclaimed = co_await engine->reclaimed();
    }
  };
  Result<void> reclaimed;
  run(Settled::run(&tree_, &host_.engine(), &reclaimed), "giving space back");
  must(std::move(reclaimed), "giving space back");
  check_records();
  count_space();
}

/// No layer stays that nobody needs, and what is allocated is what records mention.
void Player::count_space() {
  std::set<std::pair<uint64_t, uint64_t>> mentioned;
  std::map<Digest, uint64_t> chunks;
  std::map<Digest, uint64_t> small_chunks;
  std::set<uint64_t> heads;
  for (const auto& [id, volume] : tree_.volumes) heads.insert(volume->head);
  for (const auto& [id, layer] : tree_.layers.layers)
    if (!heads.contains(id) && tree_.layers.children(id).size() < 2)
      wrong("layer " + std::to_string(id) + " stays although nobody needs it");
  for (const auto& [id, layer] : tree_.layers.layers) {
    const auto visit = [&](RegionIndex region, const RegionRecord& record) {
      const uint64_t base = uint64_t{number(region)} * blocks_per_region;
      for (const auto& [source, blocks] : record.sources()) {
        blocks.for_runs([&](BlockRange run) {
          for (uint32_t at = run.first; at < run.end && source.kind == SourceKind::private_data; at++)
            mentioned.emplace(number(source.file), base + at);
        });
        if (source.kind != SourceKind::content) continue;
        (source.length > small_content_max ? chunks : small_chunks)[source.digest] = source.length;
      }
    };
    must(host_.stores().records.visit_records(LayerId{id}, visit), "reading records");
  }
  uint64_t stray_bytes = 0;
  host_.disk().for_allocated([&](DataFileId file, uint64_t block) {
    const auto at = std::pair{number(file), block};
    if (mentioned.contains(at)) return;
    if (!tree_.strays.contains(at))
      wrong("leaked: block " + std::to_string(block) + " of data file " + std::to_string(number(file)) +
            " is allocated, and no record mentions it");
    stray_bytes += block_bytes;
  });
  tally_.stray_bytes = std::max(tally_.stray_bytes, stray_bytes);
  uint64_t content_bytes = 0;
  for (const auto& [digest, length] : chunks) content_bytes += (length + block_bytes - 1) / block_bytes * block_bytes;
  if (content_bytes != host_.disk().content_bytes())
    wrong("leaked: chunks take " + std::to_string(host_.disk().content_bytes()) + " bytes, records mention " +
          std::to_string(content_bytes));
  std::map<Digest, uint64_t> kept;
  const auto keep = [&kept](std::string_view key, std::string_view bytes) {
    if (auto digest = keys::parse_digest("s", key)) kept[*digest] = bytes.size();
    return true;
  };
  must(host_.stores().records.kv().scan("s", keys::after("s"), nullptr, keep), "reading small chunks");
  if (kept != small_chunks)
    wrong("the record store keeps " + std::to_string(kept.size()) + " small chunks, records mention " +
          std::to_string(small_chunks.size()) + ", or of another length");
}

void Player::end() {
  host_.disk().clear_failures();
  host_.disk().set_capacity(UINT64_MAX);
  wait_for_all();
  if (off()) recover(last_cut_);
  host_.disk().cut_power_after(uint64_t{1} << 60);
  settle();
  for (auto& [place, volume] : std::map{places_})
    if (!volume->deleted) look_at(volume, false);
  tell("all is deleted");
  struct Remove {
    static Task<void> run(Tree* tree) {
      while (!tree->volumes.empty()) {
        const VolumePtr first = tree->volumes.begin()->second;
        co_await tree->remove(first);
      }
    }
  };
  run(Remove::run(&tree_), "deleting everything");
  settle();
  if (host_.disk().allocated_bytes() != 0)
    wrong("leaked: " + std::to_string(host_.disk().allocated_bytes()) + " bytes stay when everything is deleted");
  if (!tree_.layers.layers.empty()) wrong("layers stay when everything is deleted");
  std::string left;
  must(host_.stores().records.kv().scan("", "", nullptr,
                                        [&](std::string_view key, std::string_view) {
                                          if (key != "v") left = key.substr(0, 2);
                                          return left.empty();
                                        }),
       "reading records");
  if (!left.empty()) wrong("the record store keeps entries of kind '" + left + "' when everything is deleted");
  run(tree_.stop_reaper(), "the reaper's end");
  must(host_.stop(), "a clean stop");
}

}  // namespace atl::sim
