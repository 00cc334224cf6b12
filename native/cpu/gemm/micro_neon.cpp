// The 8 x 12 micro-kernel for NEON (64-bit ARM): 24 accumulators, three vectors of B, and A as lanes of two vectors,
// which the multiply-add takes directly. A step of depth is 24 fused multiply-adds against 5 loads.
#include "micro.h"

#if defined(FIRESTEEL_MICRO_NEON)
#include <arm_neon.h>

namespace firesteel::FIRESTEEL_ISA::gemm {

extern const int64_t MR = tile_rows, NR = tile_columns, KC = block_depth;

namespace {

constexpr int lanes = 4;
constexpr int vectors = int(tile_columns) / lanes;

// One step of depth: sum[i][v] += A[i] * B[v], A from a whole packed panel or row by row.
template <int Rows, bool Packed>
FIRESTEEL_UNROLLED inline void step(float32x4_t (&sum)[Rows][vectors], const float* a, int64_t a_row, const float* b) {
  float32x4_t row_of_b[vectors];
  repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED { row_of_b[v.value] = vld1q_f32(b + v.value * lanes); });
  if constexpr (Packed && Rows == tile_rows) {
    const float32x4_t upper = vld1q_f32(a), lower = vld1q_f32(a + lanes);
    repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
      repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED {
        sum[i.value][v.value] =
            vfmaq_laneq_f32(sum[i.value][v.value], row_of_b[v.value], i.value < lanes ? upper : lower, i.value % lanes);
      });
    });
  } else {
    repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
      const float32x4_t element = vld1q_dup_f32(a + i.value * a_row);
      repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED {
        sum[i.value][v.value] = vfmaq_f32(sum[i.value][v.value], row_of_b[v.value], element);
      });
    });
  }
}

template <int Rows, bool Packed>
void kernel(const Tile& tile) {
  const int64_t a_row = Packed ? 1 : tile.a_row;
  const int64_t a_depth = Packed ? tile_rows : tile.a_depth;
  const int64_t b_depth = Packed ? tile_columns : tile.b_depth;
  const float* a = tile.a;
  const float* b = tile.b;

  float32x4_t sum[Rows][vectors];
  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    __builtin_prefetch(tile.c + i.value * tile.ldc, 1);
    repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED { sum[i.value][v.value] = vdupq_n_f32(0); });
  });
  int64_t d = tile.depth;
  for (; d >= 4; d -= 4) {
    if (Packed) {
      __builtin_prefetch(a + 16 * tile_rows);
      __builtin_prefetch(a + 18 * tile_rows);
    }
    repeat<4>([&](auto u)
                  FIRESTEEL_UNROLLED { step<Rows, Packed>(sum, a + u.value * a_depth, a_row, b + u.value * b_depth); });
    a += 4 * a_depth;
    b += 4 * b_depth;
  }
  for (; d > 0; d--) {
    step<Rows, Packed>(sum, a, a_row, b);
    a += a_depth;
    b += b_depth;
  }

  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED {
      float* c = tile.c + i.value * tile.ldc + v.value * lanes;
      float32x4_t value = sum[i.value][v.value];
      if (tile.accumulate) value = vaddq_f32(vld1q_f32(c), value);
      if (tile.bias) value = vaddq_f32(value, vld1q_f32(tile.bias + v.value * lanes));
      vst1q_f32(c, value);
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
