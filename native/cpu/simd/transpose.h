// Rows as columns, a register of rows and four of their numbers at a time: quads of rows that are four apart are loaded
// side by side, and four such registers transposed within their quads.
#pragma once
#include "vector.h"

namespace firesteel::FIRESTEEL_ISA::simd {

// In each quad the elements w, x, y, z, of `a` from 0 on, of `b` from 100 on.
#define FIRESTEEL_PICK(index, quad) ((index) < 100 ? 4 * (quad) + (index) : lanes + 4 * (quad) + (index)-100)
#define FIRESTEEL_PICK_QUAD(q, w, x, y, z) \
  FIRESTEEL_PICK(w, q), FIRESTEEL_PICK(x, q), FIRESTEEL_PICK(y, q), FIRESTEEL_PICK(z, q)
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
#define FIRESTEEL_PICK_QUADS(...)                                                                                \
  FIRESTEEL_PICK_QUAD(0, __VA_ARGS__), FIRESTEEL_PICK_QUAD(1, __VA_ARGS__), FIRESTEEL_PICK_QUAD(2, __VA_ARGS__), \
      FIRESTEEL_PICK_QUAD(3, __VA_ARGS__)
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
#define FIRESTEEL_PICK_QUADS(...) FIRESTEEL_PICK_QUAD(0, __VA_ARGS__), FIRESTEEL_PICK_QUAD(1, __VA_ARGS__)
#else
#define FIRESTEEL_PICK_QUADS(...) FIRESTEEL_PICK_QUAD(0, __VA_ARGS__)
#endif
#define FIRESTEEL_SHUFFLE(a, b, ...) \
  Vec { __builtin_shufflevector(a.v, b.v, FIRESTEEL_PICK_QUADS(__VA_ARGS__)) }

// The quads at row(k), row(k + 4), ... side by side.
template <class Row>
FIRESTEEL_INLINE Vec load_quads(const Row& row, int k, int64_t column) {
  const auto quad_at = [&](int i) __attribute__((always_inline)) {
    Quad q;
    memcpy(&q, row(k + 4 * i) + column, sizeof q);
    return q;
  };
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  return {__builtin_shufflevector(__builtin_shufflevector(quad_at(0), quad_at(1), 0, 1, 2, 3, 4, 5, 6, 7),
                                  __builtin_shufflevector(quad_at(2), quad_at(3), 0, 1, 2, 3, 4, 5, 6, 7), 0, 1, 2, 3,
                                  4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return {__builtin_shufflevector(quad_at(0), quad_at(1), 0, 1, 2, 3, 4, 5, 6, 7)};
#else
  return {quad_at(0)};
#endif
}

// Numbers column to column + 3 of `lanes` rows, each number of all rows in one register. row(k) points at row k.
template <class Row>
FIRESTEEL_INLINE void load_transposed(const Row& row, int64_t column, Vec (&to)[4]) {
  const Vec a = load_quads(row, 0, column), b = load_quads(row, 1, column), c = load_quads(row, 2, column),
            d = load_quads(row, 3, column);
  const Vec ab_low = FIRESTEEL_SHUFFLE(a, b, 0, 100, 1, 101), ab_high = FIRESTEEL_SHUFFLE(a, b, 2, 102, 3, 103);
  const Vec cd_low = FIRESTEEL_SHUFFLE(c, d, 0, 100, 1, 101), cd_high = FIRESTEEL_SHUFFLE(c, d, 2, 102, 3, 103);
  to[0] = FIRESTEEL_SHUFFLE(ab_low, cd_low, 0, 1, 100, 101);
  to[1] = FIRESTEEL_SHUFFLE(ab_low, cd_low, 2, 3, 102, 103);
  to[2] = FIRESTEEL_SHUFFLE(ab_high, cd_high, 0, 1, 100, 101);
  to[3] = FIRESTEEL_SHUFFLE(ab_high, cd_high, 2, 3, 102, 103);
}

#undef FIRESTEEL_PICK
#undef FIRESTEEL_PICK_QUAD
#undef FIRESTEEL_PICK_QUADS
#undef FIRESTEEL_SHUFFLE

// to [columns][to_stride] = factor from^T, from [rows][columns]. `to` has whole registers; lanes beyond the last row
// repeat it, so that they hold nothing worse than it does. At least one row.
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
