// The 12 x 32 micro-kernel of bfloat16 for processors whose AVX-512 BF16 is fast (Zen 4, Zen 5). In a packed panel a
// pair of bfloat16, two steps of depth, takes the place of a float. One instruction multiplies sixteen pairs and adds
// both products, which is twice the multiply-adds of a float32 instruction. The sums are float32. The processor treats
// denormals as zeros, and adds a pair's products before it adds them to the sum. Elsewhere packing widens bfloat16.
#include "micro.h"

#if defined(FIRESTEEL_MICRO_AVX512)
#include <immintrin.h>

#include "../../core/processor.h"

// Only this function is compiled for those processors. It is left out if AVX-512 is emulated.
#if defined(FIRESTEEL_EMULATES_AVX512)
#define FIRESTEEL_BFLOAT16_TARGET
#else
#define FIRESTEEL_BFLOAT16_TARGET __attribute__((target("avx512bf16")))
#endif

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

constexpr int lanes = 16;
// The same number as in micro_avx512.cpp, in half as many steps of depth.
constexpr int64_t c_ahead = 64;

// These are loops instead of micro.h's repeat, because a lambda does not get its function's target.
template <int Rows, int Vectors, bool Masked>
FIRESTEEL_BFLOAT16_TARGET void kernel(const Tile& tile) {
  const __mmask16 mask = __mmask16((1u << (tile.columns - (Vectors - 1) * lanes)) - 1);
  const float* a = tile.a;
  const float* b = tile.b;
  __m512 sum[Rows][Vectors];
#pragma GCC unroll 12
  for (int i = 0; i < Rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; v++) sum[i][v] = _mm512_setzero_ps();

#pragma GCC unroll 4
  for (int64_t d = tile.depth; d > 0; d--, a += tile_rows, b += tile_columns) {
    __builtin_prefetch(a + 12 * tile_rows);
    if (d == c_ahead)
      for (int i = 0; i < Rows; i++)
        for (int v = 0; v < Vectors; v++) __builtin_prefetch(tile.c + i * tile.ldc + v * lanes, 1);
    __m512bh row_of_b[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; v++) row_of_b[v] = (__m512bh)_mm512_loadu_ps(b + v * lanes);
#pragma GCC unroll 12
    for (int i = 0; i < Rows; i++) {
      const __m512bh element = (__m512bh)_mm512_set1_ps(a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; v++) sum[i][v] = _mm512_dpbf16_ps(sum[i][v], element, row_of_b[v]);
    }
  }

#pragma GCC unroll 12
  for (int i = 0; i < Rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; v++) {
      float* c = tile.c + i * tile.ldc + v * lanes;
      __m512 value = sum[i][v];
      if (Masked && v == Vectors - 1) {
        if (tile.accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), value);
        if (tile.bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, tile.bias + v * lanes));
        _mm512_mask_storeu_ps(c, mask, value);
      } else {
        if (tile.accumulate) value = _mm512_add_ps(_mm512_loadu_ps(c), value);
        if (tile.bias) value = _mm512_add_ps(value, _mm512_loadu_ps(tile.bias + v * lanes));
        _mm512_storeu_ps(c, value);
      }
    }
}

}  // namespace

bool multiplies_pairs() {
#if defined(FIRESTEEL_EMULATES_AVX512)
  return true;
#else
  return this_processor().fast_bfloat16;
#endif
}

MicroKernel find_pairs_kernel(const Tile& tile) {
  return with_rows<int(tile_rows)>(tile.rows, [&](auto rows) -> MicroKernel {
    if (tile.columns == tile_columns) return kernel<rows.value, 2, false>;
    return tile.columns > lanes ? kernel<rows.value, 2, true> : kernel<rows.value, 1, true>;
  });
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
#endif
