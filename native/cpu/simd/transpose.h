// Turns rows into columns, a register of rows and four of their numbers at a time. Quads of rows that are four apart
// are loaded side by side, and four such registers are transposed within their quads.
#pragma once
#include <string.h>

#include "vector.h"

namespace firesteel::FIRESTEEL_ISA::simd {

// Four registers as blocks of 4 x 4, a block in each quad: transposes every block.
FIRESTEEL_INLINE void transpose_quads(Vec (&v)[4]) {
  const NativeFloat a = v[0].v, b = v[1].v, c = v[2].v, d = v[3].v;
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
#define FIRESTEEL_LANES(i, j, k, l) \
  i, j, k, l, i + 4, j + 4, k + 4, l + 4, i + 8, j + 8, k + 8, l + 8, i + 12, j + 12, k + 12, l + 12
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
#define FIRESTEEL_LANES(i, j, k, l) i, j, k, l, i + 4, j + 4, k + 4, l + 4
#else
#define FIRESTEEL_LANES(i, j, k, l) i, j, k, l
#endif
  constexpr int n = lanes;  // where the second operand's lanes begin
  const NativeFloat ab_low = __builtin_shufflevector(a, b, FIRESTEEL_LANES(0, n, 1, n + 1));
  const NativeFloat ab_high = __builtin_shufflevector(a, b, FIRESTEEL_LANES(2, n + 2, 3, n + 3));
  const NativeFloat cd_low = __builtin_shufflevector(c, d, FIRESTEEL_LANES(0, n, 1, n + 1));
  const NativeFloat cd_high = __builtin_shufflevector(c, d, FIRESTEEL_LANES(2, n + 2, 3, n + 3));
  v[0].v = __builtin_shufflevector(ab_low, cd_low, FIRESTEEL_LANES(0, 1, n, n + 1));
  v[1].v = __builtin_shufflevector(ab_low, cd_low, FIRESTEEL_LANES(2, 3, n + 2, n + 3));
  v[2].v = __builtin_shufflevector(ab_high, cd_high, FIRESTEEL_LANES(0, 1, n, n + 1));
  v[3].v = __builtin_shufflevector(ab_high, cd_high, FIRESTEEL_LANES(2, 3, n + 2, n + 3));
#undef FIRESTEEL_LANES
}

// Quad q of the vector is four floats from from(q).
template <class From>
FIRESTEEL_INLINE Vec load_quads(const From& from) {
  Quad q[lanes / 4];
  for (int i = 0; i < lanes / 4; i++) memcpy(&q[i], from(i), 16);
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  const auto low = __builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7);
  const auto high = __builtin_shufflevector(q[2], q[3], 0, 1, 2, 3, 4, 5, 6, 7);
  return {__builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return {__builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7)};
#else
  return {q[0]};
#endif
}

// Loads numbers `column` to `column` + 3 of `lanes` rows, with each number of all rows in one register. row(k) points
// at row k.
template <class Row>
FIRESTEEL_INLINE void load_transposed(const Row& row, int64_t column, Vec (&to)[4]) {
  for (int i = 0; i < 4; i++)
    to[i] = load_quads([&](int q) __attribute__((always_inline)) { return row(i + 4 * q) + column; });
  transpose_quads(to);
}

// to [columns][to_stride] = factor from^T, from [rows][columns]. `to` has whole registers. Lanes beyond the last row
// repeat it, so that they hold nothing worse than that row. There is at least one row.
static inline void transpose(float* to, int64_t to_stride, const float* from, int64_t from_stride, int64_t rows,
                             int64_t columns, float factor) {
  const Vec factors = set(factor);
  for (int64_t first = 0; first < rows; first += lanes, to += lanes, from += lanes * from_stride) {
    const int64_t last = rows - first - 1;
    const auto whole = [&](const auto& row) __attribute__((always_inline)) {
      int64_t d = 0;
      for (; d + 4 <= columns; d += 4) {
        Vec block[4];
        load_transposed(row, d, block);
        for (int i = 0; i < 4; i++) store(to + (d + i) * to_stride, block[i] * factors);
      }
      for (; d < columns; d++)
        for (int k = 0; k < lanes; k++) to[d * to_stride + k] = row(k)[d] * factor;
    };
    if (last >= lanes - 1) {
      whole([&](int k) __attribute__((always_inline)) { return from + k * from_stride; });
    } else {
      const float* each[lanes];
      for (int k = 0; k < lanes; k++) each[k] = from + (k < last ? k : last) * from_stride;
      whole([&](int k) __attribute__((always_inline)) { return each[k]; });
    }
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
