// Sums and maxima over contiguous floats. The families that reduce rows use them.
//
// A sum runs in float32 over blocks of 1024 elements, in four registers side by side, and in float64 over the blocks.
// So at most 256 / lanes additions of float32 follow one another, whatever the row's length. The length and the
// instruction set fix the order.
#pragma once
#include "vector.h"

namespace firesteel::FIRESTEEL_ISA::simd {

constexpr int64_t row_block = 1024;

FIRESTEEL_INLINE Vec load_some(const float* p, int64_t n) { return n == lanes ? load(p) : load_partial(p, n); }
FIRESTEEL_INLINE void store_some(float* p, Vec a, int64_t n) { n == lanes ? store(p, a) : store_partial(p, a, n); }

// The mask of the lanes below n.
FIRESTEEL_INLINE Mask lanes_below(int64_t n) {
  static const int32_t index[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load(index) < set_int(int32_t(n));
}
// The first n lanes of a, and `other` in the lanes from n on.
FIRESTEEL_INLINE Vec first_of(Vec a, int64_t n, Vec other) { return n == lanes ? a : select(lanes_below(n), a, other); }

// Calls body(i, count) over [0, n), where count is `lanes` except at the end. body is inlined twice, once with count
// known.
template <class F>
FIRESTEEL_INLINE void for_row(int64_t n, const F& body) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(i, int64_t(lanes));
  if (i < n) body(i, n - i);
}

// Computes K sums at once. add(i, count, sums) adds the terms of elements [i, i + count) to K registers, and adds
// nothing to lanes from `count` on.
template <int K, class F>
FIRESTEEL_INLINE void sum_row(int64_t n, double (&totals)[K], const F& add) {
  for (int k = 0; k < K; k++) totals[k] = 0;
  for (int64_t start = 0; start < n; start += row_block) {
    const int64_t end = n - start < row_block ? n : start + row_block;
    Vec sums[4][K];
    for (int way = 0; way < 4; way++)
      for (int k = 0; k < K; k++) sums[way][k] = zero();
    int64_t i = start;
    for (; i + 4 * lanes <= end; i += 4 * lanes)
      for (int way = 0; way < 4; way++) add(i + way * lanes, int64_t(lanes), sums[way]);
    for (; i + lanes <= end; i += lanes) add(i, int64_t(lanes), sums[0]);
    if (i < end) add(i, end - i, sums[1]);
    for (int k = 0; k < K; k++) totals[k] += double(reduce_add((sums[0][k] + sums[1][k]) + (sums[2][k] + sums[3][k])));
  }
}

// The number of rows that are summed side by side, each with `sums` sums. The next row then does not wait for the end
// of a sum (its lanes, a division, a root). Their partial sums take half of the registers.
constexpr int rows_together(int sums) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512 || FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
  return sums < 4 ? 4 / sums : 1;
#else
  return sums < 2 ? 2 / sums : 1;
#endif
}
constexpr int64_t short_row = 1024;
template <int rows>
struct RowCount {
  static constexpr int value = rows;
};
// Calls body(RowCount<Rows>(), row) for groups of `Rows` of the rows [first, last) of `size` elements, and
// body(RowCount<1>(), row) for the rows that are left. If rows are so long that each should have the caches to itself,
// all go one by one.
template <int Rows, class F>
FIRESTEEL_INLINE void for_row_groups(int64_t first, int64_t last, int64_t size, const F& body) {
  if (Rows == 1 || size <= short_row)
    for (; first + Rows <= last; first += Rows) body(RowCount<Rows>(), first);
  if constexpr (Rows > 1)
    for (; first < last; first++) body(RowCount<1>(), first);
}

// Prefetches the memory that follows `rows` rows while they are walked side by side, in its order. To be called for
// each row at each i.
template <int rows>
FIRESTEEL_INLINE void prefetch_rows(const float* next, int64_t i, int row) {
  __builtin_prefetch(next + rows * i + row * lanes);
}

// A sum in each lane, compensated after Kahan, for registers that run across the summed elements.
struct LaneSums {
  Vec sum = zero(), lost = zero();
};
FIRESTEEL_INLINE void add_to(LaneSums& sums, Vec term) {
  const Vec corrected = term - sums.lost, sum = sums.sum + corrected;
  sums.lost = (sum - sums.sum) - corrected;
  sums.sum = sum;
}

// The maximum of n >= 1 elements; NaN if any element is.
FIRESTEEL_INLINE float row_max(const float* x, int64_t n) {
  if (n < lanes) return reduce_max(first_of(load_partial(x, n), n, set(x[0])));
  Vec largest[4];
  for (int way = 0; way < 4; way++) largest[way] = load(x);
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
    for (int way = 0; way < 4; way++) largest[way] = max(largest[way], load(x + i + way * lanes));
  for (; i + lanes <= n; i += lanes) largest[0] = max(largest[0], load(x + i));
  largest[1] = max(largest[1], load(x + n - lanes));
  return reduce_max(max(max(largest[0], largest[1]), max(largest[2], largest[3])));
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
