// buffer_pool.h: the payload buffers of one loop, reused, and the bound on how much of them is in use.
//
// Invariants
//   1. Everything happens on the loop's own thread.
//   2. Buffers are aligned to 4096 bytes (direct I/O); their contents are whatever was there: only what a device filled
//      may be sent.
//   3. charged bytes <= limit, except that every account may always charge up to guaranteed_bytes. So peers that never read
//      their replies cannot stop the others, and the sum is bounded by limit + accounts x guaranteed_bytes.
//   4. Beyond the guarantee those who wait are served in order, so a large charge is not starved by small ones. An account
//      with nothing charged may exceed its own limit with one charge, so that the largest request can be served at all.
#pragma once

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/types.h"
#include "io/executor.h"

namespace atl::nbd {

class BufferPool;

/// Memory from a pool; gives itself back.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer old(std::move(*this));
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }
  ~Buffer();

  std::byte* data() const { return data_; }
  size_t capacity() const { return capacity_; }
  MutableBytes first(size_t bytes) const {
    VERIFY(bytes <= capacity_);
    return {data_, bytes};
  }

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, std::byte* data, size_t capacity) : pool_(pool), data_(data), capacity_(capacity) {}
  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  size_t capacity_ = 0;
};

/// What one connection has charged.
struct Account {
  uint64_t charged = 0;
  uint64_t limit = 0;
};

class BufferPool {
 public:
  BufferPool(uint64_t limit_bytes, uint64_t guaranteed_bytes) : limit_(limit_bytes), guaranteed_(guaranteed_bytes) {}
  ~BufferPool();

  /// Never waits; not charged.
  Buffer take(size_t bytes);

  /// True: charged. False: the caller must wait.
  bool try_charge(Account& account, uint64_t bytes) {
    if (first_ != nullptr && !guaranteed(account, bytes)) return false;  // behind those who wait
    return charge_if_fits(account, bytes);
  }
  void discharge(Account& account, uint64_t bytes) {
    VERIFY(account.charged >= bytes && charged_ >= bytes);
    account.charged -= bytes;
    charged_ -= bytes;
    if (first_ != nullptr) serve_waiters();
  }

  /// Waits until the charge is made; resumes through the executor's queue.
  struct Charge : Job {
    BufferPool& pool;
    Account& account;
    uint64_t bytes;
    Charge* later = nullptr;
    std::coroutine_handle<> handle{};
    Charge(BufferPool& of, Account& to, uint64_t amount) : pool(of), account(to), bytes(amount) {
      run = [](Job& job) noexcept { static_cast<Charge&>(job).handle.resume(); };
    }
    bool await_ready() const noexcept { return pool.try_charge(account, bytes); }
    void await_suspend(std::coroutine_handle<> awaiter) noexcept {
      handle = awaiter;
      *pool.last_ = this;
      pool.last_ = &later;
    }
    void await_resume() const noexcept {}
  };
  Charge charge(Account& account, uint64_t bytes) { return Charge{*this, account, bytes}; }

  uint64_t charged_bytes() const { return charged_; }
  /// Memory held for reuse.
  uint64_t kept_bytes() const { return kept_; }

 private:
  friend class Buffer;
  static constexpr size_t smallest_bytes = 4096;
  static constexpr size_t classes = 9;  // 4 KiB to 1 MiB; larger buffers are not kept
  static constexpr uint64_t kept_bytes_max = 32u << 20;

  struct Free {
    Free* next;
  };
  static size_t class_of(size_t bytes);
  void give_back(std::byte* data, size_t capacity);
  bool guaranteed(const Account& account, uint64_t bytes) const { return account.charged + bytes <= guaranteed_; }
  bool charge_if_fits(Account& account, uint64_t bytes) {
    const bool own = account.charged + bytes <= account.limit || account.charged == 0;
    if (!guaranteed(account, bytes) && !(own && charged_ + bytes <= limit_)) return false;
    account.charged += bytes;
    charged_ += bytes;
    return true;
  }
  void serve_waiters();

  uint64_t limit_;
  uint64_t guaranteed_;
  uint64_t charged_ = 0;
  uint64_t kept_ = 0;
  std::array<Free*, classes> free_{};
  Charge* first_ = nullptr;
  Charge** last_ = &first_;
};

inline Buffer::~Buffer() {
  if (data_ != nullptr) pool_->give_back(data_, capacity_);
}

}  // namespace atl::nbd
