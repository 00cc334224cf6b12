// A tile of scores as both passes of attention hold it: transposed, [keys][NR queries].
//
// So the product of K, as left operand, with a panel of NR queries writes it in just the order in which the next
// product reads a right operand, and scores are never repacked. And a vector holds one key of several queries: maximum
// and sum over keys, and what belongs to a query, need no work across lanes.
//
// Scores are in units of ln 2: queries are packed with scale / ln 2, so that weights are powers of two, which cost half
// of what powers of e do.
#pragma once
#include "problem.h"

namespace firesteel::FIRESTEEL_ISA::attention {

constexpr float ln_2 = 0.693147181f;
using simd::log2_e;

// Queries [i, i + queries) of a head and keys [j, j + n), and room for what masks and dropout need: 2 * most_keys * NR
// floats.
struct Part {
  int64_t batch, head, i, queries, j, n;
  float* room;
};
constexpr int64_t part_room = 2 * most_keys * NR;

// NR queries' features from query i on, [D][NR], with zeros for queries beyond the last.
static inline void pack_queries(const Problem& p, float* to, Matrix q, int64_t i) {
  pack_right(to, p.D * NR, transposed(from_row(q, i)), p.D, smaller(NR, p.Tq - i), p.D);
  scale_all(to, p.D * NR, p.scale * log2_e);
}

// Rows of n numbers, by query, as a tile.
template <class Row>
static inline const float* tile_of_rows(const Part& part, const Row& row) {
  float *rows = part.room, *to = rows + most_keys * NR;
  for (int64_t c = 0; c < part.queries; c++) row(c, rows + c * most_keys);
  pack_right(to, part.n * NR, {rows, 1, most_keys}, part.n, part.queries, part.n);
  return to;
}

// A key that takes no part stays out of it even if its score is infinite or NaN.
FIRESTEEL_INLINE Vec masked(Vec score, Vec added) {
  return simd::select(added == simd::set(-INFINITY), added, simd::fma(added, simd::set(log2_e), score));
}

// Adds its mask to each query's column.
static inline void mask_tile(const Problem& p, const Part& part, float* tile) {
  const float* added = tile_of_rows(
      part, [&](int64_t c, float* to) { mask_row(p, part.batch, part.head, part.i + c, part.j, part.n, to); });
  for (int64_t e = 0; e < part.n * NR; e += simd::lanes)
    simd::store(tile + e, masked(simd::load(tile + e), simd::load(added + e)));
}

// Adds the mask that all queries share.
static inline void mask_keys(float* tile, const float* row, int64_t n) {
  for (int64_t r = 0; r < n; r++)
    for (int64_t c = 0; row[r] != 0 && c < NR; c += simd::lanes)
      simd::store(tile + r * NR + c, masked(simd::load(tile + r * NR + c), simd::set(row[r])));
}

// The tile of the factors of dropout.
static inline const float* dropout_tile(const Problem& p, const Part& part) {
  return tile_of_rows(
      part, [&](int64_t c, float* to) { dropout_row(p, part.batch, part.head, part.i + c, part.j, part.n, to); });
}

// Sets what belongs to keys that lie after their query.
static inline void set_later_keys(const Part& part, float* tile, float value) {
  const int64_t ahead = part.i - part.j;
  for (int64_t r = ahead >= 0 ? ahead + 1 : 0; r < part.n; r++)
    for (int64_t c = 0; c < NR && ahead + c < r; c++) tile[r * NR + c] = value;
}

// Rows [i, i + rows) of an output, and their features, from [features][NR].
static inline void write_transposed(Rows to, int64_t i, int64_t rows, const float* from, int64_t features,
                                    float factor) {
  float block[NR * NR];
  for (int64_t d = 0; d < features; d += NR) {
    const int64_t width = smaller(NR, features - d);
    pack_right(block, NR * NR, {from + d * NR, 1, NR}, rows, width, rows);
    scale_all(block, rows * NR, factor);
    for (int64_t r = 0; r < rows; r++) write_row(to, i + r, d, block + r * NR, width);
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::attention
