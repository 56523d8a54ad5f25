// tree.h: the catalog's part of the simulation: resources, the layer tree, and the reaper, step by step as src/core/tree/tree.ts,
// reaper.ts, grace.ts and sweep.ts do it. A transaction is durable at one instant; the power may go before or after it.
//
// Everything here runs on the registrar. What the tests know of the bytes (content.h) moves with the transactions.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/async.h"
#include "sim/content.h"
#include "sim/engine_host.h"
#include "sim/model_tree.h"

namespace atl::sim {

/// Held by one task at a time (src/lib/mutex.ts).
class Mutex {
 public:
  Task<void> lock() {
    while (held_) co_await released_.wait();
    held_ = true;
  }
  void unlock() {
    held_ = false;
    released_.wake_all();
  }

 private:
  bool held_ = false;
  Waiters released_;
};

/// A resource: its row in the catalog, and what is known of its bytes.
struct Volume {
  std::string id;
  bool read_only = false;
  uint64_t size_bytes = 0;
  uint64_t head = 0;
  bool deleted = false;  // the row is gone; who has it open goes on
  std::shared_ptr<Content> content;
  Mutex mutex;

  uint32_t leases = 0;
  uint32_t resizing = 0;     // under way
  uint64_t resizes = 0;      // made
  bool closing = false;      // the last lease is being given back, and what was not flushed may be lost
  bool sync_failed = false;  // it answers EIO from now on (I6), until it is opened anew
  Waiters closed;

  /// Blocks changed since they were last known to be durable, by the last change.
  std::map<uint64_t, uint64_t> unflushed;
};

using VolumePtr = std::shared_ptr<Volume>;

class Tree {
 public:
  explicit Tree(EngineHost& host) : host_(host) {}

  /// After each start of the engine, before anything else: what only memory held is forgotten.
  void begin_run();
  /// Drops what an interrupted run left behind.
  Task<Result<void>> sweep();
  /// The same while the service is on already: the reaper gets the orphans.
  Task<void> sweep_beside();
  void start_reaper();
  /// Ends when the step under way has ended.
  Task<void> stop_reaper();
  /// Ends when no layer is left that nobody needs (one that waits for an open resource included), or the power is off.
  Task<void> reaped();

  // Each answers nothing when the power went or an error came first; `error` then says which. The transaction may have been made.
  Task<VolumePtr> create(uint64_t size_bytes);
  Task<VolumePtr> upload(std::vector<Stamp> cells, uint64_t piece_bytes, bool give_up, Result<void>* error);
  Task<VolumePtr> snapshot(VolumePtr source, Result<void>* error);
  Task<VolumePtr> clone(VolumePtr source, uint64_t more_blocks, Result<void>* error);
  Task<VolumePtr> copy(VolumePtr source);
  Task<Result<void>> resize(VolumePtr volume, uint64_t size_bytes);
  Task<void> remove(VolumePtr volume);

  /// `not_found` when the resource has been deleted.
  Task<Result<void>> open(VolumePtr volume);
  Task<Result<void>> close(VolumePtr volume);

  /// Blocks of data files that may be allocated although no record says so: what a crash or a failed write left in a head's file.
  std::set<std::pair<uint64_t, uint64_t>> strays;
  void may_stray(Volume& volume);
  /// A flush that began at `since` has ended well.
  static void flushed(Volume& volume, uint64_t since);

  std::map<std::string, VolumePtr> volumes;  // rows
  ModelTree layers;
  uint64_t clock = 0;
  /// Some store was told to fail: a resource may be lost at its last close.
  bool failures = false;

 private:
  /// Grace periods: wait for those who may still act on what they read of the tree.
  class Grace {
   public:
    class During {
     public:
      explicit During(Grace& grace) : grace_(grace), at_(grace.running_.insert(grace.running_.end(), grace.next_++)) {}
      During(const During&) = delete;
      ~During() {
        grace_.running_.erase(at_);
        grace_.ended_.wake_all();
      }

     private:
      Grace& grace_;
      std::list<uint64_t>::iterator at_;
    };
    Task<void> elapsed() {
      const uint64_t until = next_;
      while (!running_.empty() && running_.front() < until) co_await ended_.wait();
    }

   private:
    std::list<uint64_t> running_;  // in order
    uint64_t next_ = 0;
    Waiters ended_;
  };

  struct Unlink {
    uint64_t child;
    uint64_t limit_blocks;
  };

  Engine& engine() const { return host_.engine(); }
  bool off() const { return host_.disk().is_off(); }
  Task<Result<std::vector<uint64_t>>> orphans();
  ResourceSpec spec(const Volume& volume) const;
  VolumePtr insert(bool read_only, uint64_t size_bytes, uint64_t head, std::shared_ptr<Content> content);

  /// A transaction: false when the power went before it. After it, `afterwards` is false when the power went before its answer.
  Task<bool> transaction(std::function<void()> work);
  Task<Result<void>> with_writes_held(VolumePtr volume, std::function<void()> work);
  Task<Result<void>> hold_writes_and(VolumePtr volume, std::function<void()> work);
  Task<Result<void>> fork(VolumePtr source, std::function<void(uint64_t sealed)> then);

  void consider(uint64_t layer) { queue_.push_back(layer); }
  void consider_and_wake(uint64_t layer);
  Task<void> reaper();
  Task<Result<bool>> reap(uint64_t layer);
  Task<Result<bool>> merge(uint64_t parent, uint64_t child);
  Task<bool> take_out(uint64_t layer, uint64_t child);
  Task<Result<void>> drop(uint64_t layer);
  bool is_head(uint64_t layer) const;
  VolumePtr writer_of(uint64_t layer) const;
  bool being_read(uint64_t layer) const;

  EngineHost& host_;
  uint64_t last_volume_ = 0;
  uint64_t first_of_run_ = 1;  // layers from here on may be uploads under way
  Grace grace_;
  std::deque<uint64_t> queue_;
  std::map<uint64_t, Unlink> unlinks_;
  std::multimap<uint64_t, VolumePtr> deleted_;  // by head: may still be open
  bool reaping_ = false;
  bool running_ = false;
  bool stopping_ = false;
  Waiters reaper_wakes_;
  Waiters reaped_;
};

}  // namespace atl::sim
