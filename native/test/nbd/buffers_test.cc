// buffers_test.cc: the payload buffers of a loop and the bound on them.
#include "nbd/server/buffer_pool.h"

#include <doctest/doctest.h>

#include <vector>

#include "test/support/io_fixture.h"

namespace atl::nbd {
namespace {

constexpr uint64_t limit_bytes = 1000;
constexpr uint64_t guaranteed_bytes = 100;

Account account_of(uint64_t limit) {
  Account account;
  account.limit = limit;
  return account;
}

TEST_CASE("buffers: aligned to 4096, as large as asked for, and the same memory comes again") {
  BufferPool pool(limit_bytes, guaranteed_bytes);
  for (size_t bytes :
       {size_t{1}, size_t{4096}, size_t{4097}, size_t{1} << 20, (size_t{1} << 20) + 1, size_t{5} << 20}) {
    std::byte* first;
    {
      const Buffer buffer = pool.take(bytes);
      CHECK(buffer.capacity() >= bytes);
      CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % 4096 == 0);
      first = buffer.data();
      first[0] = first[bytes - 1] = std::byte{1};
    }
    if (bytes <= size_t{1} << 20) CHECK(pool.take(bytes).data() == first);
  }
}

TEST_CASE("buffers: what is kept for reuse is bounded") {
  BufferPool pool(limit_bytes, guaranteed_bytes);
  std::vector<Buffer> many;
  for (int i = 0; i < 100; i++) many.push_back(pool.take(1 << 20));
  many.clear();
  CHECK(pool.kept_bytes() > 0);
  CHECK(pool.kept_bytes() <= 32u << 20);
}

TEST_CASE("buffers: an account stays within its own limit, but may exceed it with a single charge") {
  BufferPool pool(limit_bytes, 0);
  Account account = account_of(200);
  CHECK(pool.try_charge(account, 500));  // nothing else is charged: the largest request must be possible
  CHECK_FALSE(pool.try_charge(account, 1));
  pool.discharge(account, 500);
  CHECK(pool.try_charge(account, 150));
  CHECK_FALSE(pool.try_charge(account, 51));
  CHECK(pool.try_charge(account, 50));
  pool.discharge(account, 200);
}

TEST_CASE("buffers: when all is taken, every account may still charge what is guaranteed to it") {
  BufferPool pool(limit_bytes, guaranteed_bytes);
  Account greedy = account_of(5000), other = account_of(5000);
  CHECK(pool.try_charge(greedy, limit_bytes));
  CHECK_FALSE(pool.try_charge(greedy, 1));
  CHECK(pool.try_charge(other, 60));
  CHECK(pool.try_charge(other, 40));
  CHECK_FALSE(pool.try_charge(other, 1));
  CHECK(pool.charged_bytes() == limit_bytes + guaranteed_bytes);
  pool.discharge(greedy, limit_bytes);
  pool.discharge(other, guaranteed_bytes);
}

struct Queue {
  BufferPool pool{limit_bytes, guaranteed_bytes};
  std::vector<int> order;
};

Task<void> charge(Queue* queue, Account* account, uint64_t bytes, int name) {
  co_await queue->pool.charge(*account, bytes);
  queue->order.push_back(name);
}

Task<void> large_before_small(Loop& loop) {
  Queue queue;
  Account holder = account_of(5000), large = account_of(5000), small = account_of(5000), full = account_of(300);
  CHECK(queue.pool.try_charge(holder, 700));
  CHECK(queue.pool.try_charge(full, 300));
  spawn(charge(&queue, &full, 150, 1));   // its own account is full: holds nobody up
  spawn(charge(&queue, &large, 600, 2));  // waits for room in all
  spawn(charge(&queue, &small, 200, 3));  // would fit before the large one does, and must not
  spawn(charge(&queue, &small, 50, 4));   // guaranteed: at once
  CHECK(queue.order == std::vector<int>{4});
  queue.pool.discharge(holder, 300);
  for (int i = 0; i < 4; i++) co_await loop.schedule();
  CHECK(queue.order == std::vector<int>{4});
  queue.pool.discharge(holder, 400);
  for (int i = 0; i < 4; i++) co_await loop.schedule();
  CHECK(queue.order == std::vector<int>{4, 2});
  queue.pool.discharge(full, 300);
  for (int i = 0; i < 4; i++) co_await loop.schedule();
  CHECK(queue.order == std::vector<int>{4, 2, 1, 3});
  queue.pool.discharge(large, 600);
  queue.pool.discharge(small, 250);
  queue.pool.discharge(full, 150);
  CHECK(queue.pool.charged_bytes() == 0);
}

TEST_CASE("buffers: a large charge is not starved by small ones, and a full account holds nobody up") {
  atl::test::on_loop(IoKind::threads, large_before_small);
}

}  // namespace
}  // namespace atl::nbd
