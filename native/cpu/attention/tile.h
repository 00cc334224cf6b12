// A tile of scores as both passes of attention hold it: transposed, with a row of NR queries for each key.
//
// A vector holds one key of several queries. So maximum and sum over keys, and everything else that belongs to a query,
// need no work across lanes. If the tile is a left operand, products read it by rows or by columns (micro.h); it is
// never repacked.
//
#pragma once
#include "problem.h"

namespace firesteel::FIRESTEEL_ISA::attention {

// Keys of a tile, in whole blocks of sums. A tile and as many rows of a panel of keys or values stay in the first-level
// cache together.
constexpr int64_t tile_keys = 120;
// Panels of queries that meet a tile of keys while it is in the second-level cache. In the backward pass their tiles
// lie side by side.
constexpr int64_t most_panels = (128 + NR - 1) / NR;
static_assert(tile_keys <= most_keys, "dropout_row's limit");

// Queries [i, i + queries) of a head and keys [j, j + n). `stride` is the distance from key to key of their tile.
// `room`, for masks and dropout, has 2 * most_keys * NR floats.
struct Part {
  int64_t batch, head, i, queries, j, n, stride;
  float* room;
  int64_t before = 0;  // keys of the tile before j, which no query of the part sees
};
constexpr int64_t part_room = 2 * most_keys * NR;

// The number of vectors of a tile's row that hold queries. The other vectors are never read.
static inline int64_t vectors_of(const Part& part) { return (part.queries + lanes - 1) / lanes; }

// Query `query` of the part sees the part's keys [keys_passed, keys_seen). Both bounds grow with the query.
static inline int64_t keys_seen(const Problem& p, const Part& part, int64_t query) {
  return p.causal ? max(0, min(part.n, p.offset + part.i + query + 1 - part.j)) : part.n;
}
static inline int64_t keys_passed(const Problem& p, const Part& part, int64_t query) {
  return p.window ? max(0, min(part.n, p.offset + part.i + query + 1 - p.window - part.j)) : 0;
}
// The number of keys up to the last one that any query of a vector sees.
static inline int64_t keys_of_vector(const Problem& p, const Part& part, int64_t v) {
  return keys_seen(p, part, min(part.queries, (v + 1) * lanes) - 1);
}

// Transposes the features of NR queries from query i on to [D][NR]. Columns beyond the last query repeat it or are not
// read.
static inline void transpose_queries(float* to, Floats rows, int64_t queries, int64_t features, float factor) {
  simd::transpose(to, NR, rows.data, rows.stride, min(NR, queries), features, factor);
}

// Computes the tile [n][NR] of inner products of the rows with columns. Vectors whose queries see none of the keys are
// skipped.
static inline void multiply_scores(const Problem& p, const Part& part, Floats rows, const float* columns,
                                   int64_t features, float* tile) {
  for (int64_t v = 0, r = 0; v < vectors_of(part); v++) {
    const int64_t seen = keys_of_vector(p, part, v);
    multiply(Left::rows, seen - r, vectors_of(part) - v,
             {features, rows.data + r * rows.stride, rows.stride, columns + v * lanes, NR,
              tile + r * part.stride + v * lanes, part.stride});
    r = seen;
  }
}

// Adds the weights times the rows of keys to C [queries]. A column of the tile holds the weights of one query. A block
// of queries multiplies the rows from the first key that its first query sees to the last key that its last query sees.
// So a query multiplies keys that it does not see by 0. If some rows are not finite, `singly` makes the blocks so small
// that no query does so.
static inline void multiply_weights(const Problem& p, const Part& part, const float* tile, Floats rows, int64_t width,
                                    float* c, Before before, const float* factors, bool singly) {
  for (int64_t d = 0, vectors; d < width; d += vectors * lanes) {
    vectors = next_vectors((width - d) / lanes);
    for (int64_t c0 = 0, count; c0 < part.queries; c0 += count) {
      count = singly ? 1 : min(block_rows(vectors), part.queries - c0);
      const int64_t from = keys_passed(p, part, c0), end = keys_seen(p, part, c0 + count - 1);
      multiply(Left::columns, count, vectors,
               {max(0, end - from), tile + from * part.stride + c0, part.stride, from_row(rows, from).data + d,
                rows.stride, c + c0 * width + d, width, before, factors + c0});
    }
  }
}

// Writes rows of n numbers, one for each query, as a tile [n][NR].
template <class Row>
static inline const float* tile_of_rows(const Part& part, const Row& row) {
  float *rows = part.room, *to = rows + most_keys * NR;
  for (int64_t c = 0; c < part.queries; c++) row(c, rows + c * most_keys);
  simd::transpose(to, NR, rows, most_keys, part.queries, part.n, 1);
  return to;
}

// Adds to each query's column its mask. A masked key's score becomes -infinity, unless it is NaN. So a number that is
// not finite in a masked key or value shows in the result, as in PyTorch.
static inline void mask_tile(const Problem& p, const Part& part, float* tile) {
  const float* added = tile_of_rows(
      part, [&](int64_t c, float* to) { mask_row(p, part.batch, part.head, part.i + c, part.j, part.n, to); });
  for (int64_t v = 0; v < vectors_of(part); v++)
    for (int64_t r = 0; r < keys_of_vector(p, part, v); r++) {
      float* at = tile + r * part.stride + v * lanes;
      simd::store(at, simd::load(at) + simd::load(added + r * NR + v * lanes));
    }
}

// Adds the mask that all queries share.
static inline void mask_keys(const Problem& p, const Part& part, float* tile, const float* row) {
  for (int64_t v = 0; v < vectors_of(part); v++)
    for (int64_t r = 0; r < keys_of_vector(p, part, v); r++) {
      float* at = tile + r * part.stride + v * lanes;
      if (row[r] != 0) simd::store(at, simd::load(at) + simd::set(row[r]));
    }
}

// The tile of dropout's factors.
static inline const float* dropout_tile(const Problem& p, const Part& part) {
  return tile_of_rows(
      part, [&](int64_t c, float* to) { dropout_row(p, part.batch, part.head, part.i + c, part.j, part.n, to); });
}

// Sets the elements of keys later than their query, if some queries of the vector see the key.
static inline void set_later_keys(const Problem& p, const Part& part, float* tile, float value) {
  for (int64_t v = 0; v < vectors_of(part); v++) {
    const int64_t ahead = p.offset + part.i + v * lanes - part.j;
    for (int64_t r = max(0, ahead + 1); r < keys_of_vector(p, part, v); r++) {
      float* at = tile + r * part.stride + v * lanes;
      simd::store(at, simd::select(simd::lanes_below(r - ahead), simd::set(value), simd::load(at)));
    }
  }
}

// Sets the elements of keys that a window has passed for some queries of the vector.
static inline void set_passed_keys(const Problem& p, const Part& part, float* tile, float value) {
  for (int64_t v = 0; v < vectors_of(part); v++) {
    const int64_t passed = keys_passed(p, part, min(part.queries, (v + 1) * lanes) - 1);
    // Queries of the vector up to r - ahead - 1 still see key r.
    const int64_t ahead = p.offset + part.i + v * lanes - p.window - part.j;
    for (int64_t r = 0; r < passed; r++) {
      float* at = tile + r * part.stride + v * lanes;
      simd::store(at, simd::select(simd::lanes_below(max(0, r - ahead)), simd::load(at), simd::set(value)));
    }
  }
}

// Sets the elements that the queries do not see, for keys that were multiplied with a whole vector.
static inline void set_unseen(const Problem& p, const Part& part, float* tile, float value) {
  if (p.causal) set_later_keys(p, part, tile, value);
  if (p.window) set_passed_keys(p, part, tile, value);
}

// Sets to zero the elements of keys that no query of the vector sees: on both sides of the seen ones, as many as a
// block of sums may read.
static inline void clear_unseen(const Problem& p, const Part& part, float* tile) {
  const int64_t end = min(tile_keys - part.before, part.n + most_rows);
  for (int64_t v = 0; v < vectors_of(part); v++) {
    for (int64_t r = -min(part.before, most_rows); r < 0; r++)
      simd::store(tile + r * part.stride + v * lanes, simd::zero());
    for (int64_t r = keys_of_vector(p, part, v); r < end; r++)
      simd::store(tile + r * part.stride + v * lanes, simd::zero());
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::attention
