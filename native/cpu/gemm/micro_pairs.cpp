// The 12 x 32 micro-kernel of bfloat16 for processors with AVX-512 BF16 (Zen 4, Cooper Lake, Sapphire Rapids): what
// stands for a float in a packed panel is a pair of bfloat16, two steps of depth, and one instruction multiplies
// sixteen pairs and adds both products: twice the multiply-adds of an instruction of float32. The sums are float32; the
// processor takes denormals for zeros and adds a pair's products before the sum takes them.
#include "micro.h"

#if defined(FIRESTEEL_MICRO_AVX512)
#include <immintrin.h>

// The function alone is compiled for those processors. Where AVX-512 is emulated nothing may be.
#if defined(FIRESTEEL_EMULATES_AVX512)
#define FIRESTEEL_BFLOAT16_TARGET
#else
#define FIRESTEEL_BFLOAT16_TARGET __attribute__((target("avx512bf16")))
#endif

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

constexpr int rows = int(tile_rows), vectors = 2, lanes = 16;
static_assert(vectors * lanes == tile_columns);

FIRESTEEL_BFLOAT16_TARGET void kernel(const Tile& tile) {
  const float* a = tile.a;
  const float* b = tile.b;
  __m512 sum[rows][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_setzero_ps();

  for (int64_t d = 0; d < tile.depth; d++, a += tile_rows, b += tile_columns) {
    __builtin_prefetch(a + 12 * tile_rows);
    const __m512bh left = (__m512bh)_mm512_loadu_ps(b), right = (__m512bh)_mm512_loadu_ps(b + lanes);
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
      const __m512bh element = (__m512bh)_mm512_set1_ps(a[i]);
      sum[i][0] = _mm512_dpbf16_ps(sum[i][0], element, left);
      sum[i][1] = _mm512_dpbf16_ps(sum[i][1], element, right);
    }
  }

#pragma GCC unroll 12
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      float* c = tile.c + i * tile.ldc + v * lanes;
      __m512 value = sum[i][v];
      if (tile.accumulate) value = _mm512_add_ps(_mm512_loadu_ps(c), value);
      if (tile.bias) value = _mm512_add_ps(value, _mm512_loadu_ps(tile.bias + v * lanes));
      _mm512_storeu_ps(c, value);
    }
}

}  // namespace

bool multiplies_pairs() {
#if defined(FIRESTEEL_EMULATES_AVX512)
  return true;
#else
  return __builtin_cpu_supports("avx512bf16");
#endif
}

// Panels are padded with zeros, so that a tile smaller than the kernel's differs only in what is kept of it.
void pairs_kernel(const Tile& tile) {
  tile.rows == tile_rows&& tile.columns == tile_columns ? kernel(tile) : through_buffer(tile, kernel);
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
#endif
