#include "sim/script.h"

#include <array>

#include "sim/content.h"

namespace atl::sim {
namespace {

// Writes go where borders are: the start, the borders of regions; the end of a resource is met by the sizes.
constexpr uint64_t windows[] = {0, 0, 0, 1016, 1016, 2040};
constexpr uint64_t window_blocks[] = {3, 6, 14};
constexpr uint64_t sizes[] = {4, 9, 20, 30, 1024, 1028, 1030, 2044, 2054, 2060};
// Few, so that the same chunks are uploaded again and again. The first is small enough for a region record, the second for the record store.
constexpr uint64_t upload_cells[] = {5, 40, 100, 200};
constexpr uint64_t lengths[] = {1, 1, 2, 3, 8, 15, 16, 16, 16, 16, 17, 32, 33, 48, 80, 160};

template <class T, size_t n>
T pick(Random& random, const T (&from)[n]) {
  return from[random.below(n)];
}

/// How often each kind is drawn. Each run leaves some out and favours others: what never meets in the average of all runs
/// meets in some of them.
std::array<uint32_t, kind_count> draw_weights(Random& random) {
  std::array<uint32_t, kind_count> weights{};
  const auto set = [&](Kind kind, uint32_t usual, bool always = false) {
    uint32_t weight = usual;
    if (random.one_in(4)) weight *= 3;
    if (!always && random.one_in(5)) weight = 0;
    weights[static_cast<size_t>(kind)] = weight;
  };
  set(Kind::create, 3, true);
  set(Kind::upload, 5);
  set(Kind::clone, 5);
  set(Kind::snapshot, 8);
  set(Kind::copy, 2);
  set(Kind::resize, 6);
  set(Kind::remove, 8);
  set(Kind::write, 60, true);
  set(Kind::zeroes, 8);
  set(Kind::trim, 8);
  set(Kind::flush, 12, true);
  set(Kind::read, 30, true);
  set(Kind::extents, 3);
  set(Kind::close, 8);
  set(Kind::fail, 2);
  set(Kind::slow, 2);
  set(Kind::full, 1);
  set(Kind::room, 3);
  set(Kind::cut, 4, true);
  set(Kind::kill, 2);
  set(Kind::restart, 1);
  set(Kind::settle, 1);
  return weights;
}

/// What one run is like throughout.
struct Habits {
  std::array<uint32_t, kind_count> weights;
  uint32_t clients;
  uint64_t window_blocks;
};

void draw_range(Random& random, const Habits& habits, Step& step) {
  step.a = (pick(random, windows) + random.below(habits.window_blocks)) * cells_per_block;
  if (random.one_in(2)) step.a += random.below(cells_per_block);
  step.b = pick(random, lengths);
}

/// What will be where, about: most steps should meet something.
struct Places {
  enum class Holds : uint8_t { nothing, readable, writable };
  std::array<Holds, places> at{};

  uint32_t any(Random& random, bool (*fits)(Holds)) const {
    for (int tries = 0; tries < 4; tries++) {
      // The first places are met more often, so that their histories are long.
      const auto place = static_cast<uint32_t>(std::min(random.below(places), random.below(places)));
      if (fits(at[place])) return place;
    }
    return static_cast<uint32_t>(random.below(places));
  }
  void follow(const Step& step) {
    switch (step.kind) {
      case Kind::create: fill(step.at, Holds::writable); break;
      case Kind::upload: fill(step.at, step.x ? Holds::nothing : Holds::readable); break;
      case Kind::clone: fill(step.to, at[step.at] == Holds::nothing ? Holds::nothing : Holds::writable); break;
      case Kind::snapshot: fill(step.to, at[step.at] == Holds::nothing ? Holds::nothing : Holds::readable); break;
      case Kind::copy: fill(step.to, at[step.at] == Holds::readable ? Holds::readable : Holds::nothing); break;
      case Kind::remove: at[step.at] = Holds::nothing; break;
      default: break;
    }
  }
  void fill(uint32_t place, Holds what) {
    if (at[place] == Holds::nothing) at[place] = what;
  }
};

void draw_places(Random& random, const Places& now, Step& step) {
  using Holds = Places::Holds;
  constexpr auto nothing = [](Holds holds) { return holds == Holds::nothing; };
  constexpr auto something = [](Holds holds) { return holds != Holds::nothing; };
  constexpr auto writable = [](Holds holds) { return holds == Holds::writable; };
  constexpr auto readable = [](Holds holds) { return holds == Holds::readable; };
  step.to = now.any(random, nothing);
  switch (step.kind) {
    case Kind::create:
    case Kind::upload: step.at = now.any(random, nothing); break;
    case Kind::copy: step.at = now.any(random, readable); break;
    case Kind::snapshot:
    case Kind::resize:
    case Kind::write:
    case Kind::zeroes:
    case Kind::trim:
    case Kind::flush: step.at = now.any(random, writable); break;
    default: step.at = now.any(random, something); break;
  }
}

Step draw_step(Random& random, const Habits& habits, const Places& now) {
  Step step;
  uint64_t sum = 0;
  for (uint32_t weight : habits.weights) sum += weight;
  uint64_t drawn = random.below(sum);
  for (size_t kind = 0; kind < habits.weights.size(); kind++) {
    if (drawn < habits.weights[kind]) {
      step.kind = static_cast<Kind>(kind);
      break;
    }
    drawn -= habits.weights[kind];
  }
  step.client = static_cast<uint32_t>(random.below(habits.clients));
  draw_places(random, now, step);
  step.x = random.one_in(4);
  step.y = random.one_in(2);
  step.pause = static_cast<uint32_t>(random.one_in(5) ? random.below(150) : random.below(10));
  switch (step.kind) {
    case Kind::create:
    case Kind::resize: step.a = pick(random, sizes); break;
    case Kind::upload:
      step.b = random.below(std::size(upload_cells));
      step.a = random.one_in(500) ? 17000 : upload_cells[step.b];
      break;
    case Kind::clone: step.a = random.one_in(2) ? 0 : random.below(40); break;
    case Kind::write: draw_range(random, habits, step); break;
    case Kind::zeroes:
    case Kind::trim:
      draw_range(random, habits, step);
      if (random.one_in(6)) step.a = 0, step.b = 3 * 16384, step.y = false;
      break;
    case Kind::read:
      draw_range(random, habits, step);
      if (random.one_in(3)) step.b = 16 * cells_per_block;
      break;
    case Kind::fail: {
      constexpr Operation operations[] = {Operation::read,        Operation::write,       Operation::write,
                                          Operation::punch,       Operation::sync,        Operation::sync,
                                          Operation::sync,        Operation::kv_write,    Operation::kv_write,
                                          Operation::kv_get,      Operation::put_content, Operation::read_content,
                                          Operation::write_zeroes};
      step.a = static_cast<uint64_t>(pick(random, operations));
      step.b = random.below(4);
      break;
    }
    case Kind::slow: step.a = random.one_in(2) ? 200'000 : 20'000'000; break;
    case Kind::full: step.b = random.below(20) * block_bytes; break;
    case Kind::cut:
      step.a = random.below(random.one_in(2) ? 12 : 150);
      step.b = random.next();
      break;
    case Kind::kill: step.b = random.next(); break;
    default: break;
  }
  return step;
}

/// What often follows in life, and would by chance alone hardly ever.
std::vector<Step> draw_sequel(Random& random, const Habits& habits, const Places& now, const Step& last) {
  Step next = last;
  next.client = static_cast<uint32_t>(random.below(habits.clients));
  next.pause = static_cast<uint32_t>(random.below(20));
  next.x = false;
  if (last.kind == Kind::remove && random.one_in(3)) {
    // An object is replaced: what goes and what comes may share chunks.
    next.kind = Kind::upload;
    next.b = random.below(std::size(upload_cells));
    next.a = upload_cells[next.b];
    return {next};
  }
  if (last.kind == Kind::read && random.one_in(6)) {
    // What is being read is overwritten.
    next.kind = random.one_in(4) ? Kind::trim : Kind::write;
    next.x = true;
    return {next};
  }
  if (last.kind == Kind::kill && random.one_in(2)) {
    // The first thing after a start is a backup of what nobody has opened yet.
    next.kind = Kind::snapshot;
    draw_places(random, now, next);
    next.pause = 200;
    Step read = next;
    read.kind = Kind::read;
    read.at = next.to;
    read.a = pick(random, windows) * cells_per_block;
    read.b = 14 * cells_per_block;
    Step cut = next;
    cut.kind = Kind::cut;
    cut.a = random.below(20);
    cut.b = random.next();
    return {next, read, cut};
  }
  return {};
}

std::string where(const Step& step) { return "place " + std::to_string(step.at); }
std::string range(const Step& step) {
  return where(step) + ", " + std::to_string(step.b) + " cells from block " + std::to_string(step.a / cells_per_block) +
         (step.a % cells_per_block == 0 ? "" : " cell " + std::to_string(step.a % cells_per_block));
}
const char* operation_name(uint64_t operation) {
  static constexpr const char* names[] = {"read",
                                          "write",
                                          "punch",
                                          "write of zeroes",
                                          "sync",
                                          "reopening",
                                          "removal",
                                          "write of content",
                                          "read of content",
                                          "drop of content",
                                          "read of records",
                                          "write of records"};
  static_assert(std::size(names) == operation_count);
  return names[operation];
}

}  // namespace

Script draw_script(uint64_t seed, uint32_t steps) {
  Random random{seed * 0x9e3779b97f4a7c15u + 1};
  Script script;
  script.seed = random.next();
  script.disk.write_alignment = random.one_in(3) ? block_bytes : 1;
  script.disk.latency_ns_max = random.one_in(4) ? 2000 : 200'000;
  script.disk.slow_one_in = random.one_in(3) ? 0 : 10 + random.below(60);
  const auto clients = static_cast<uint32_t>(1 + random.below(clients_max));
  const Habits habits{draw_weights(random), clients, pick(random, window_blocks)};
  for (uint32_t place = 0; place < 2; place++) {
    Step made;
    made.kind = place == 1 && random.one_in(2) ? Kind::upload : Kind::create;
    made.at = place;
    made.a = made.kind == Kind::create ? pick(random, sizes) : pick(random, upload_cells);
    script.steps.push_back(made);
  }
  Places now;
  for (const Step& made : script.steps) now.follow(made);
  while (script.steps.size() < steps) {
    script.steps.push_back(draw_step(random, habits, now));
    now.follow(script.steps.back());
    for (const Step& next : draw_sequel(random, habits, now, script.steps.back())) {
      script.steps.push_back(next);
      now.follow(next);
    }
  }
  return script;
}

std::string describe(const Step& step) {
  const std::string client = "client " + std::to_string(step.client) + " ";
  const std::string to = "place " + std::to_string(step.to);
  const std::string durable = step.x ? ", FUA" : "";
  switch (step.kind) {
    case Kind::create: return client + "creates a volume of " + std::to_string(step.a) + " blocks at " + where(step);
    case Kind::upload:
      return client + "uploads " + std::to_string(step.a) + " cells of content " + std::to_string(step.b) + " to " +
             where(step) + (step.x ? ", and gives up" : "");
    case Kind::clone:
      return client + "clones " + where(step) + " to " + to + ", larger by " + std::to_string(step.a) + " blocks";
    case Kind::snapshot: return client + "takes a snapshot of " + where(step) + " to " + to;
    case Kind::copy: return client + "copies " + where(step) + " to " + to + " if it is read-only";
    case Kind::resize: return client + "resizes " + where(step) + " to " + std::to_string(step.a) + " blocks";
    case Kind::remove: return client + "deletes " + where(step);
    case Kind::write: return client + "writes " + range(step) + durable;
    case Kind::zeroes: return client + "zeroes " + range(step) + (step.y ? ", no hole" : "") + durable;
    case Kind::trim: return client + "trims " + range(step) + durable;
    case Kind::flush: return client + "flushes " + where(step);
    case Kind::read: return client + "reads " + range(step);
    case Kind::extents: return client + "asks for the extents of " + where(step);
    case Kind::close: return client + "closes " + where(step);
    case Kind::fail:
      return std::string("a ") + operation_name(step.a) + " fails, after " + std::to_string(step.b) + " others" +
             (step.x ? " (no space)" : " (I/O error)");
    case Kind::slow: return "operations take up to " + std::to_string(step.a / 1000) + " µs";
    case Kind::full: return "the disk is full but for " + std::to_string(step.b) + " bytes";
    case Kind::room: return "the disk has room";
    case Kind::cut:
      return "the power goes at the store operation number " + std::to_string(step.a) + " from here" +
             (step.x ? ", and once more during the start" : "");
    case Kind::kill:
      return std::string("the process is killed") + (step.x ? ", and the power goes during its start" : "");
    case Kind::restart: return "a clean restart";
    case Kind::settle: return "everything is closed and counted";
  }
  return "?";
}

std::string describe(const Script& script) {
  std::string words;
  for (size_t i = 0; i < script.steps.size(); i++) {
    const Step& step = script.steps[i];
    words += std::to_string(i + 1) + ". " + describe(step);
    if (step.pause > 0) words += " (then " + std::to_string(step.pause) + " moments)";
    words += '\n';
  }
  return words;
}

}  // namespace atl::sim
