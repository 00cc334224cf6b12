// The allocator: alignment, blocks that do not overlap, reuse, bounds on what it keeps, failure.
#include "../core/allocator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

using firesteel::Allocator;

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

namespace {

struct Block {
  char* data;
  size_t bytes;
  char mark;
};

void test_random_blocks() {
  Allocator allocator;
  std::vector<Block> blocks;
  uint64_t state = 1;
  const auto random = [&] { return (state = state * 6364136223846793005u + 1442695040888963407u) >> 33; };
  const auto release = [&](size_t i) {
    const Block block = blocks[i];
    CHECK(block.bytes == 0 || (block.data[0] == block.mark && block.data[block.bytes - 1] == block.mark));
    allocator.release(block.data, block.bytes);
    blocks[i] = blocks.back();
    blocks.pop_back();
  };
  for (int i = 0; i < 50000; i++) {
    if (blocks.size() > 400 || (!blocks.empty() && random() % 2 == 0)) {
      release(random() % blocks.size());
      continue;
    }
    const size_t scale = size_t(1) << (random() % 23);
    const size_t bytes = random() % 50 == 0 ? 0 : scale + random() % scale;
    char* data = static_cast<char*>(allocator.allocate(bytes));
    CHECK(data != nullptr && reinterpret_cast<uintptr_t>(data) % 64 == 0);
    const char mark = static_cast<char>(i);
    if (bytes > 0) data[0] = data[bytes - 1] = mark;
    blocks.push_back({data, bytes, mark});
  }
  while (!blocks.empty()) release(blocks.size() - 1);
  CHECK(allocator.live_bytes() == 0);
  CHECK(allocator.reserved_bytes() <= size_t(256) << 20);
  allocator.flush();
  CHECK(allocator.reserved_bytes() == 0);
}

void test_reuse() {
  Allocator allocator;
  constexpr size_t megabyte = size_t(1) << 20;
  void* first = allocator.allocate(40 * megabyte);
  allocator.release(first, 40 * megabyte);
  void* smaller = allocator.allocate(36 * megabyte);
  CHECK(smaller == first);
  const size_t reserved = allocator.reserved_bytes();
  char* rest = static_cast<char*>(allocator.allocate(4 * megabyte));
  CHECK(rest == static_cast<char*>(first) + 36 * megabyte && allocator.reserved_bytes() == reserved);
  // Freed neighbours become one free extent, in any order.
  allocator.release(smaller, 36 * megabyte);
  allocator.release(rest, 4 * megabyte);
  CHECK(allocator.allocate(40 * megabyte) == first && allocator.reserved_bytes() == reserved);
}

// Writes to each huge page that begins within the block. Returns false if a page that was written to before is zero
// again, as it comes from the system.
bool touch_pages(void* data, size_t bytes, bool before) {
  constexpr uintptr_t page = uintptr_t(2) << 20;
  bool kept = true;
  const uintptr_t start = reinterpret_cast<uintptr_t>(data);
  for (uintptr_t at = (start + page - 1) / page * page; at < start + bytes; at += page) {
    char* const first = reinterpret_cast<char*>(at);
    kept = kept && (!before || *first == 1);
    *first = 1;
  }
  return kept;
}

// A training step allocates and frees the same sizes each time. Memory is taken once, little more than the peak, and
// never returned in between.
void test_steps_take_no_new_memory() {
  Allocator allocator;
  const size_t sizes[] = {3145728, 9437184, 12582912, 70000, 3145728, 5000, 40000000, 1179648};
  size_t peak = 0, reserved = 0;
  for (int step = 0; step < 20; step++) {
    std::vector<std::pair<void*, size_t>> held;
    for (int i = 0; i < 100; i++) {
      const size_t bytes = sizes[i % 8];
      held.push_back({allocator.allocate(bytes), bytes});
      CHECK(touch_pages(held.back().first, bytes, step >= 3));
      if (i % 3 != 2) continue;
      allocator.release(held[held.size() / 2].first, held[held.size() / 2].second);
      held.erase(held.begin() + long(held.size() / 2));
    }
    if (step == 0) peak = allocator.live_bytes();
    for (const auto& [data, bytes] : held) allocator.release(data, bytes);
    if (step == 1) reserved = allocator.reserved_bytes();
    CHECK(step < 1 || allocator.reserved_bytes() == reserved);
  }
  CHECK(peak > size_t(512) << 20);
  CHECK(double(reserved) < 1.1 * double(peak));
}

void test_kept_memory_is_bounded() {
  Allocator allocator;
  for (size_t megabytes = 10; megabytes < 200; megabytes += 10)
    allocator.release(allocator.allocate(megabytes << 20), megabytes << 20);
  CHECK(allocator.reserved_bytes() <= size_t(256) << 20);
  // Beyond the floor, the allocator keeps as much as a recent peak took, and no longer than that peak is recent.
  allocator.release(allocator.allocate(size_t(600) << 20), size_t(600) << 20);
  CHECK(allocator.reserved_bytes() >= size_t(600) << 20);
  for (int i = 0; i < 10000; i++) allocator.release(allocator.allocate(5000), 5000);
  CHECK(allocator.reserved_bytes() <= size_t(256) << 20);
  // Only the surplus is returned, even if it all lies in one piece.
  CHECK(allocator.reserved_bytes() >= size_t(254) << 20);
}

// Memory that was returned to the system comes back as zeros, which proves that it was.
void test_flush_gives_pages_back() {
  Allocator allocator;
  constexpr size_t bytes = size_t(8) << 20;
  char* block = static_cast<char*>(allocator.allocate(bytes));
  memset(block, 1, bytes);
  allocator.release(block, bytes);
  CHECK(allocator.reserved_bytes() >= bytes);
  allocator.flush();
  CHECK(allocator.reserved_bytes() == 0);
  char* again = static_cast<char*>(allocator.allocate(bytes));
  CHECK(again == block && again[0] == 0 && again[bytes - 1] == 0);
  CHECK(allocator.reserved_bytes() >= bytes);
}

void test_failure() {
  Allocator allocator;
  CHECK(allocator.allocate(SIZE_MAX) == nullptr);
  CHECK(allocator.allocate(size_t(1) << 60) == nullptr);
  CHECK(allocator.live_bytes() == 0);
  CHECK(allocator.allocate(64) != nullptr);
}

}  // namespace

int main() {
  test_random_blocks();
  test_reuse();
  test_steps_take_no_new_memory();
  test_kept_memory_is_bounded();
  test_flush_gives_pages_back();
  test_failure();
  puts("allocator: ok");
}
