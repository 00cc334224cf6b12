// Barriers that count bytes, bulk copies and products of warpgroups. Copies land and products are computed as late as
// they may be, when no thread of the block can run. Until then their targets are NaN. Two faults end the process: a
// copy whose target a product still reads, and a product whose factors have not landed.
// FIRESTEEL_EMULATOR_ORDER=reverse ends products before copies.
#include "warpgroups.h"

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "tiles.h"

namespace emulator {
namespace {

constexpr int depth = 16;  // of a product
constexpr uint32_t line_bytes = 128, group_bytes = 1024;

// The 64 bits of a barrier.
struct Barrier {
  uint64_t expected : 16, pending : 16;  // arrivals
  int64_t bytes : 31;                    // that are announced and have not come
  uint64_t phase : 1;
};
static_assert(sizeof(Barrier) == sizeof(uint64_t));

struct Range {
  uint32_t first, end;
  bool meets(const Range& other) const { return first < other.end && other.first < end; }
};

struct Tile {
  uint32_t to;
  TiledMatrix matrix;
  uint64_t* barrier;
  int x, y;
  uint32_t bytes() const { return matrix.box_width * matrix.box_height * 2; }
  Range range() const { return {to, to + bytes()}; }
};

struct Product {
  float* sums[32];  // of each lane
  int columns;
  uint64_t a, b;
};

// A warp's products that have not ended.
struct Products {
  std::vector<Product> open;
  std::deque<std::vector<Product>> groups;
  std::map<float*, std::vector<float>> sums;  // as they were before, by the place that holds NaN now
};

// Warps of a warpgroup that wait for its products.
struct Waiting {
  unsigned here = 0;
  std::vector<Thread*> asleep;
};

std::vector<const uint64_t*> started;
std::vector<std::pair<const uint64_t*, Thread*>> sleepers;
std::deque<Tile> flying;
Products products[32];
Waiting waiting[8];
std::deque<Thread*> last_warps;  // those that end the products of their warpgroups

void sleep() {
  self->warp->ready &= ~self->bit;
  next_fiber();
}
void wake(Thread& thread) {
  thread.warp->ready |= thread.bit;
  thread.block->ready_warps |= 1u << thread.warp->index;
}

Barrier& barrier_at(uint64_t* barrier) {
  if (std::find(started.begin(), started.end(), barrier) == started.end())
    fail("a barrier is used before it was started");
  return *reinterpret_cast<Barrier*>(barrier);
}

void end_phase_if_due(uint64_t* at) {
  Barrier& barrier = barrier_at(at);
  if (barrier.pending || barrier.bytes) return;
  barrier.phase ^= 1;
  barrier.pending = barrier.expected;
  std::erase_if(sleepers, [at](const auto& sleeper) {
    if (sleeper.first == at) wake(*sleeper.second);
    return sleeper.first == at;
  });
}

// The swizzle exchanges 16-byte pieces within 128 bytes, by the number of the 128 bytes.
uint32_t swizzled(uint32_t address) { return address ^ (address >> 7 & 7) << 4; }

void land(const Tile& tile) {
  const TiledMatrix& from = tile.matrix;
  for (uint32_t row = 0; row < from.box_height; row++) {
    const int64_t y = int64_t(tile.y) + row;
    const char* line = from.data + y * from.line_bytes;
    const bool there = tile.y >= 0 && y < from.height;
    const int64_t inside = there ? std::clamp<int64_t>(from.width - tile.x, 0, from.box_width) : 0;
    if (inside > 0) check_access(line + 2 * tile.x, size_t(2 * inside), false);
    for (uint32_t column = 0; column < from.box_width; column++) {
      uint16_t value = 0;
      if (column < inside) memcpy(&value, line + 2 * (int64_t(tile.x) + column), sizeof value);
      const uint32_t at = tile.to + row * line_bytes + column * 2;
      memcpy(self->block->shared + swizzled(at), &value, sizeof value);
    }
  }
  barrier_at(tile.barrier).bytes -= tile.bytes();
  end_phase_if_due(tile.barrier);
}

// A factor as its descriptor says it (PTX ISA, "Matrix descriptor").
uint32_t start_of(uint64_t operand) { return uint32_t(operand & 0x3fff) << 4; }
uint32_t step_of(uint64_t operand) { return uint32_t(operand >> 32 & 0x3fff) << 4; }

Range range_of(uint64_t operand, int lines) {
  const uint32_t first = start_of(operand) / group_bytes * group_bytes;
  return {first, first + uint32_t(lines) / 8 * step_of(operand)};
}

bool reads(const Product& product, const Tile& tile) {
  return tile.range().meets(range_of(product.a, 64)) || tile.range().meets(range_of(product.b, product.columns));
}
bool any_reads(const std::vector<Product>& group, const Tile& tile) {
  return std::any_of(group.begin(), group.end(), [&](const Product& product) { return reads(product, tile); });
}

float element(uint64_t operand, int line, int k) {
  const uint32_t at =
      start_of(operand) + uint32_t(line) / 8 * step_of(operand) + uint32_t(line) % 8 * line_bytes + uint32_t(k) * 2;
  uint16_t bits;
  memcpy(&bits, self->block->shared + swizzled(at), sizeof bits);
  return float_of(uint32_t(bits) << 16);
}

// The part of warp `warp`: 16 lines of a. Lane 4 g + t holds, in its elements 4 j + 2 h + e, row g + 8 h and column
// 8 j + 2 t + e (PTX ISA, "Matrix fragments for wgmma.mma_async.m64nNk16").
void compute(const Product& product, unsigned warp) {
  static float left[16][depth], right[depth][256], sums[256];
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < depth; k++) left[i][k] = element(product.a, int(warp % 4) * 16 + i, k);
  for (int j = 0; j < product.columns; j++)
    for (int k = 0; k < depth; k++) right[k][j] = element(product.b, j, k);
  for (unsigned i = 0; i < 16; i++) {
    std::fill_n(sums, product.columns, 0.0f);
    for (int k = 0; k < depth; k++)
      for (int j = 0; j < product.columns; j++) sums[j] += left[i][k] * right[k][j];
    for (int j = 0; j < product.columns; j++)
      product.sums[i % 8 * 4 + unsigned(j) % 8 / 2][j / 8 * 4 + int(i / 8) * 2 + j % 2] += sums[j];
  }
}

void end_products(unsigned warp, size_t left) {
  Products& mine = products[warp];
  if (mine.groups.size() <= left) return;
  for (const auto& [place, numbers] : mine.sums) std::copy(numbers.begin(), numbers.end(), place);
  mine.sums.clear();
  for (; mine.groups.size() > left; mine.groups.pop_front())
    for (const Product& product : mine.groups.front()) compute(product, warp);
}

bool end_one_group() {
  if (last_warps.empty()) return false;
  wake(*last_warps.front());
  last_warps.pop_front();
  return true;
}

struct Issue {
  float* sums;
  int columns;
  uint64_t a, b;
};

void issue(void** slots, unsigned lanes) {
  if (lanes != ~0u) fail("wgmma by a part of a warp");
  const Issue& first = *static_cast<Issue*>(slots[0]);
  Product product = {{}, first.columns, first.a, first.b};
  if (first.a >> 62 != 1 || first.b >> 62 != 1) fail("wgmma: only swizzles of 128 bytes are emulated");
  for (const Tile& tile : flying)
    if (reads(product, tile)) fail("wgmma reads shared memory to which a copy is still on its way");
  Products& mine = products[self->warp->index];
  for (unsigned lane = 0; lane < 32; lane++) {
    const Issue& each = *static_cast<Issue*>(slots[lane]);
    if (each.a != product.a || each.b != product.b) fail("wgmma: lanes bring different descriptors");
    product.sums[lane] = each.sums;
    const auto [kept, added] = mine.sums.try_emplace(each.sums);
    if (!added) continue;
    kept->second.assign(each.sums, each.sums + product.columns / 2);
    std::fill_n(each.sums, product.columns / 2, NAN);
  }
  mine.open.push_back(product);
}

// A product is one operation of four warps, so it is over for all of them at once.
void await_products(void** slots, unsigned lanes) {
  if (lanes != ~0u) fail("wgmma.wait_group by a part of a warp");
  const auto left = static_cast<size_t>(*static_cast<int*>(slots[0]));
  const unsigned group = self->warp->index / 4;
  Waiting& others = waiting[group];
  if (++others.here < 4) {
    others.asleep.push_back(self);
    return sleep();
  }
  bool any = false;
  for (unsigned warp = 4 * group; warp < 4 * group + 4; warp++) any |= products[warp].groups.size() > left;
  if (any) {
    last_warps.push_back(self);
    sleep();
  }
  for (unsigned warp = 4 * group; warp < 4 * group + 4; warp++) end_products(warp, left);
  for (Thread* other : others.asleep) wake(*other);
  others = {};
}

}  // namespace

void* dynamic_shared(size_t bytes, size_t alignment) {
  const Block& block = *self->block;
  if (block.shared + bytes > block.shared_end) fail("a launch without %zu bytes of dynamic shared memory", bytes);
  if (reinterpret_cast<uintptr_t>(block.shared) % alignment) fail("dynamic shared memory is misaligned");
  return block.shared;
}

uint32_t shared_offset(const void* data) {
  return static_cast<uint32_t>(static_cast<const char*>(data) - self->block->shared);
}

void start_barrier(uint64_t* at, int count) {
  Barrier barrier = {};
  barrier.expected = barrier.pending = static_cast<unsigned>(count) & 0xffff;
  memcpy(at, &barrier, sizeof barrier);
  started.push_back(at);
}

void arrive(uint64_t* at, int bytes) {
  Barrier& barrier = barrier_at(at);
  if (barrier.pending == 0) fail("more arrivals at a barrier than it expects");
  barrier.bytes += bytes;
  barrier.pending--;
  end_phase_if_due(at);
}

void wait_phase(uint64_t* at, int parity) {
  while (static_cast<int>(barrier_at(at).phase) == parity) {
    sleepers.emplace_back(at, self);
    sleep();
  }
}

void begin_tile(void* to, const TensorMap& map, uint64_t* barrier, int x, int y) {
  barrier_at(barrier);
  const Tile tile = {shared_offset(to), matrix_of(map), barrier, x, y};
  if (tile.to % group_bytes) fail("a bulk copy to an address that is not a multiple of %u bytes", group_bytes);
  if (self->block->shared + tile.range().end > self->block->shared_end) fail("a bulk copy beyond shared memory");
  for (const Products& each : products) {
    bool read = any_reads(each.open, tile);
    for (const auto& group : each.groups) read |= any_reads(group, tile);
    if (read) fail("a bulk copy to shared memory that wgmma still reads");
  }
  for (const Tile& other : flying)
    if (tile.range().meets(other.range())) fail("two bulk copies to the same shared memory");
  memset(to, 0xff, tile.bytes());
  flying.push_back(tile);
}

void begin_product(float* sums, int columns, uint64_t a, uint64_t b) {
  Issue mine = {sums, columns, a, b};
  meet("wgmma", ~0u, &mine, issue);
}

void commit_products() {
  meet("wgmma.commit_group", ~0u, nullptr, [](void**, unsigned) {
    Products& mine = products[self->warp->index];
    mine.groups.push_back(std::move(mine.open));
    mine.open = {};
  });
}

void wait_products(int left) { meet("wgmma.wait_group", ~0u, &left, await_products); }

void begin_block_work() {
  started.clear();
  sleepers.clear();
  flying.clear();
  last_warps.clear();
  for (Products& each : products) each = {};
  for (Waiting& each : waiting) each = {};
}

bool end_one_work() {
  if (reverse && end_one_group()) return true;
  if (flying.empty()) return end_one_group();
  const Tile tile = flying.front();
  flying.pop_front();
  land(tile);
  return true;
}

void check_block_work() {
  if (!flying.empty()) fail("a block ends before its bulk copies");
  for (const Products& each : products)
    if (!each.open.empty() || !each.groups.empty()) fail("a warpgroup ends before its products");
}

}  // namespace emulator
