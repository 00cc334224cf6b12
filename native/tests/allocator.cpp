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
  CHECK(allocator.reserved_bytes() <= (size_t(256) << 20) + 64 * (size_t(16) << 20));
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
  void* tiny = allocator.allocate(20 * megabyte);
  CHECK(tiny != first);
  allocator.release(smaller, 36 * megabyte);
  CHECK(allocator.allocate(20 * megabyte) != first);  // half of the block would be wasted
}

void test_kept_memory_is_bounded() {
  Allocator allocator;
  for (size_t megabytes = 10; megabytes < 200; megabytes += 10)
    allocator.release(allocator.allocate(megabytes << 20), megabytes << 20);
  CHECK(allocator.reserved_bytes() <= size_t(256) << 20);
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
  test_kept_memory_is_bounded();
  test_failure();
  puts("allocator: ok");
}
