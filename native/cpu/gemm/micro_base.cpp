// The 4 x 8 micro-kernel for any processor, in the compilers' vector extension; on x86-64 it becomes SSE2. Sixteen
// vector registers hold 8 accumulators, two vectors of B, a broadcast of A and a product. Multiplications and additions
// are rounded separately, because this instruction set does not fuse them.
#include <string.h>

#include "micro.h"

#if defined(FIRESTEEL_MICRO_BASE)

namespace firesteel::FIRESTEEL_ISA::gemm {

extern const int64_t MR = tile_rows, NR = tile_columns, KC = block_depth;

namespace {

typedef float Vec4 __attribute__((vector_size(16)));
constexpr int lanes = 4;
constexpr int vectors = int(tile_columns) / lanes;

inline Vec4 load(const float* from) {
  Vec4 value;
  memcpy(&value, from, sizeof value);
  return value;
}

inline void store(float* to, Vec4 value) { memcpy(to, &value, sizeof value); }

// One step of depth: sum[i][v] += A[i] * B[v].
template <int Rows>
FIRESTEEL_UNROLLED inline void step(Vec4 (&sum)[Rows][vectors], const float* a, int64_t a_row, const float* b) {
  Vec4 row_of_b[vectors];
  repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED { row_of_b[v.value] = load(b + v.value * lanes); });
  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    const Vec4 element = Vec4{} + a[i.value * a_row];
    repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED { sum[i.value][v.value] += element * row_of_b[v.value]; });
  });
}

template <int Rows, bool Packed>
void kernel(const Tile& tile) {
  const int64_t a_row = Packed ? 1 : tile.a_row;
  const int64_t a_depth = Packed ? tile_rows : tile.a_depth;
  const int64_t b_depth = Packed ? tile_columns : tile.b_depth;
  const float* a = tile.a;
  const float* b = tile.b;

  Vec4 sum[Rows][vectors];
  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED { sum[i.value][v.value] = Vec4{}; });
  });
  int64_t d = tile.depth;
  for (; d >= 2; d -= 2) {
    step<Rows>(sum, a, a_row, b);
    step<Rows>(sum, a + a_depth, a_row, b + b_depth);
    a += 2 * a_depth;
    b += 2 * b_depth;
  }
  if (d > 0) step<Rows>(sum, a, a_row, b);

  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED {
      float* c = tile.c + i.value * tile.ldc + v.value * lanes;
      Vec4 value = sum[i.value][v.value];
      if (tile.accumulate) value = load(c) + value;
      if (tile.bias) value += load(tile.bias + v.value * lanes);
      store(c, value);
    });
  });
}

MicroKernel kernel_of_rows(const Tile& tile) {
  const bool packed = is_packed(tile);
  return with_rows<int(tile_rows)>(tile.rows, [&](auto rows) -> MicroKernel {
    return packed ? kernel<rows.value, true> : kernel<rows.value, false>;
  });
}

void edge_kernel(const Tile& tile) { through_buffer(tile, kernel_of_rows(tile)); }

}  // namespace

MicroKernel find_micro_kernel(const Tile& tile) {
  return tile.columns == tile_columns ? kernel_of_rows(tile) : edge_kernel;
}

void micro_kernel(const Tile& tile) { find_micro_kernel(tile)(tile); }

}  // namespace firesteel::FIRESTEEL_ISA::gemm
#endif
