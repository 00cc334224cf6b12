// The products of a recurrence's steps: a state [rows, depth], small and new each step, times weights [depth, columns]
// that stay the same for the whole sequence.
//
// Legend: MR and NR as in gemm. Weights lie in panels of NR columns, each [depth][NR] over the whole depth (zero
// padded). A state lies in panels of rows, each [depth / lanes][rows of the panel][lanes]: so packing copies registers
// and transposes nothing. Its rows are cut into as few panels of at most MR rows as possible, all about equal. A panel
// of 2 rows would take as long as one of 4 or 5, because it would wait for its own sums.
//
// A panel of weights is read once for each panel of rows, in order, from whichever cache has it. These are 4 NR bytes
// for MR NR multiply-adds; even the last-level cache can deliver them in order.
#pragma once
#include "../gemm/gemm.h"
#include "../integers.h"
#include "../simd/vector.h"

// This comes after vector.h, which includes the intrinsics in a way that avoids a false warning of g++ 12 for AVX-512.
#include "../gemm/micro.h"

namespace firesteel::FIRESTEEL_ISA::recurrent {

using simd::lanes;
using simd::Vec;

constexpr int64_t MR = gemm::tile_rows, NR = gemm::tile_columns;

static inline int64_t blocks(int64_t size, int64_t block) { return (size + block - 1) / block; }

// Part `index` of `parts` about equal ones.
struct Share {
  int64_t first, count;
};

static inline Share share_of(int64_t size, int64_t parts, int64_t index) {
  const int64_t least = size / parts, larger = size % parts;
  return {index * least + min(index, larger), least + (index < larger)};
}

// Floats of a state, in whole cache lines.
static inline int64_t state_size(int64_t rows, int64_t depth) { return round_up(rows * round_up(depth, lanes), 16); }

struct Piece {
  int64_t row, rows, column, columns;
};

// Packs a piece of a state [rows, depth]. `from` points at its first element, and rows are `stride` apart.
void pack_state(float* state, int64_t rows, int64_t depth, Piece piece, const float* from, int64_t stride);

// Floats of packed weights.
static inline int64_t weights_size(int64_t depth, int64_t columns) { return depth * round_up(columns, NR); }

void pack_weights(float* to, gemm::Matrix weights, int64_t depth, int64_t columns);

// C [rows, columns] (row stride ldc) = or += state weights + bias[column] (bias may be null). The weights at `next` are
// prefetched, because they are multiplied next; null if they are near.
void multiply(int64_t rows, int64_t columns, int64_t depth, const float* state, const float* weights, float* c,
              int64_t ldc, bool accumulate, const float* bias, const float* next);

// Up to a register of floats.
static inline Vec load(const float* from, int64_t count) {
  return count >= lanes ? simd::load(from) : simd::load_partial(from, int(count));
}

static inline void store(float* to, Vec value, int64_t count) {
  if (count >= lanes)
    simd::store(to, value);
  else
    simd::store_partial(to, value, int(count));
}

}  // namespace firesteel::FIRESTEEL_ISA::recurrent
