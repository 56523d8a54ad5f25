#include "engine/space/readings.h"

#include <algorithm>

namespace atl {

bool unlink_from(std::vector<ChainLayer>& layers, LayerId parent, LayerId child, uint64_t child_limit_blocks) {
  for (size_t i = 0; i + 1 < layers.size(); i++)
    if (layers[i].id == child && layers[i + 1].id == parent) {
      layers[i].parent_limit_blocks = child_limit_blocks;
      layers.erase(layers.begin() + static_cast<ptrdiff_t>(i) + 1);
      return true;
    }
  return false;
}

Result<std::shared_ptr<Resource>> Readings::begin(ResourceSpec spec) {
  if (Result<void> judged = judge(spec); !judged) return std::move(judged.error());
  if (!spec.read_only) return Error{Code::invalid, "resource " + spec.id + ": is written to, so it must be leased"};
  std::list<Open> one(1);
  one.front().layers = spec.layers;
  const std::scoped_lock lock{mutex_};
  const Home& home = homes_[next_home_++ % homes_.size()];
  one.front().resource = std::make_shared<Resource>(std::move(spec), stores_, *home.executor, *home.epochs);
  const auto open = one.begin();
  open_.splice(open_.end(), one);
  return std::shared_ptr<Resource>{open->resource.get(), [this, open](Resource*) { end(open); }};
}

void Readings::end(std::list<Open>::iterator open) {
  const std::scoped_lock lock{mutex_};
  open_.erase(open);  // here: when ended() has answered, nothing of it may be left
  if (!awaited_ || !open_.empty()) return;
  awaited_ = false;
  struct Wake {
    static Task<void> run(Readings* self) {
      self->ended_.wake_all();
      co_return;
    }
  };
  spawn_on(*homes_.front().executor, Wake::run(this));
}

bool Readings::has(const std::string& id) const {
  const std::scoped_lock lock{mutex_};
  return std::any_of(open_.begin(), open_.end(), [&](const Open& open) { return open.resource->id() == id; });
}

size_t Readings::count() const {
  const std::scoped_lock lock{mutex_};
  return open_.size();
}

std::optional<std::string> Readings::one_on(LayerId layer) const {
  const std::scoped_lock lock{mutex_};
  for (const Open& open : open_)
    for (const ChainLayer& link : open.layers)
      if (link.id == layer) return open.resource->id();
  return std::nullopt;
}

std::vector<std::shared_ptr<Resource>> Readings::unlink(LayerId parent, LayerId child, uint64_t child_limit_blocks) {
  std::vector<std::shared_ptr<Resource>> touched;
  const std::scoped_lock lock{mutex_};
  for (Open& open : open_)
    if (unlink_from(open.layers, parent, child, child_limit_blocks)) touched.push_back(open.resource);
  return touched;
}

Task<void> Readings::ended() {
  VERIFY(homes_.front().executor->on_thread());
  for (;;) {
    {
      const std::scoped_lock lock{mutex_};
      if (open_.empty()) co_return;
      awaited_ = true;  // whoever wakes us is posted behind this turn
    }
    co_await ended_.wait();
  }
}

}  // namespace atl
