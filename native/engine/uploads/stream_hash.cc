#include "engine/uploads/stream_hash.h"

#include <algorithm>

namespace atl {
namespace {

// After so many bytes of one stream (some milliseconds) others that wait for the thread have their turn.
constexpr size_t bytes_per_turn = region_bytes;

}  // namespace

void StreamHash::feed(Bytes bytes) {
  if (bytes.empty()) return;
  {
    const std::scoped_lock lock{state_->mutex};
    if (!state_->result) return;
    std::deque<Bytes>& fed = state_->fed;
    if (!fed.empty() && fed.back().data() + fed.back().size() == bytes.data())
      fed.back() = Bytes{fed.back().data(), fed.back().size() + bytes.size()};
    else
      fed.push_back(bytes);
    if (std::exchange(state_->running, true)) return;
  }
  spawn(run(state_, &pool_));
}

Task<void> StreamHash::run(std::shared_ptr<State> state, JobSink* pool) {
  co_await pool->schedule();
  size_t turn = 0;
  for (;;) {
    Bytes bytes;
    {
      const std::scoped_lock lock{state->mutex};
      if (state->fed.empty()) {
        state->running = false;
        co_return;
      }
      Bytes& first = state->fed.front();
      bytes = first.first(std::min(first.size(), bytes_per_turn - turn));
      first = first.subspan(bytes.size());
      if (first.empty()) state->fed.pop_front();
    }
    Result<void> hashed = state->hash.update(bytes);
    Passing* passed = nullptr;
    {
      const std::scoped_lock lock{state->mutex};
      state->passed += bytes.size();
      if (!hashed) {
        state->result = std::move(hashed);
        state->fed.clear();  // nobody waits for these any more
      }
      passed = state->take_passed();
    }
    while (passed != nullptr) {
      Passing* next = passed->after;  // the node may be gone once it is posted
      passed->home->post(*passed);
      passed = next;
    }
    turn += bytes.size();
    if (turn < bytes_per_turn) continue;
    turn = 0;
    co_await pool->schedule();
  }
}

StreamHash::Passing* StreamHash::State::take_passed() {
  Passing* out = nullptr;
  for (Passing** at = &waiting; *at != nullptr;) {
    if (!has_passed((*at)->count)) {
      at = &(*at)->after;
      continue;
    }
    Passing* one = *at;
    *at = one->after;
    one->after = out;
    out = one;
  }
  return out;
}

bool StreamHash::Passing::await_suspend(std::coroutine_handle<> awaiter) {
  handle = awaiter;
  home = &Executor::here();
  run = [](Job& job) noexcept { static_cast<Passing&>(job).handle.resume(); };
  const std::scoped_lock lock{state.mutex};
  if (state.has_passed(count)) return false;
  after = std::exchange(state.waiting, this);
  return true;
}

Task<Result<void>> StreamHash::passed(uint64_t count) {
  Passing passing{*state_, count};
  co_await passing;
  const std::scoped_lock lock{state_->mutex};
  co_return state_->result;
}

Result<void> StreamHash::add(Bytes bytes) {
  const std::scoped_lock lock{state_->mutex};
  VERIFY(state_->fed.empty());
  Result<void> hashed = state_->hash.update(bytes);
  if (hashed) state_->passed += bytes.size();
  return hashed;
}

Result<std::string> StreamHash::finish_hex() {
  const std::scoped_lock lock{state_->mutex};
  VERIFY(state_->fed.empty());
  return state_->hash.finish_hex();
}

}  // namespace atl
