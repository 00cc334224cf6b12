// The micro-kernel: one tile of C, held in registers over a block of depth. Private to native/cpu/gemm.
//
// The tile is tile_rows x tile_columns: large enough that the loads of A and B (rows + columns) hide behind the
// multiply-adds (rows x columns), and small enough that accumulators, one row of B and a broadcast of A fit the register
// file (K. Goto, R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008; F. Van Zee, R. van de Geijn,
// "BLIS", 2015). A panel of B, block_depth x tile_columns, stays in the first-level cache while panels of A pass by.
#pragma once
#include "gemm.h"

#if defined(__AVX512F__)
#define FIRESTEEL_MICRO_AVX512
#elif defined(__AVX2__) && defined(__FMA__)
#define FIRESTEEL_MICRO_AVX2
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define FIRESTEEL_MICRO_NEON
#else
#define FIRESTEEL_MICRO_BASE
#endif

namespace firesteel::FIRESTEEL_ISA::gemm {

// block_depth fixes the order of summation (each block is summed in registers, the blocks one after another in C), hence
// the bits: it changes with the instruction set and with nothing else.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t tile_rows = 12, tile_columns = 32, block_depth = 256;
#elif defined(FIRESTEEL_MICRO_AVX2)
constexpr int64_t tile_rows = 6, tile_columns = 16, block_depth = 256;
#elif defined(FIRESTEEL_MICRO_NEON)
constexpr int64_t tile_rows = 8, tile_columns = 12, block_depth = 256;
#else
constexpr int64_t tile_rows = 4, tile_columns = 8, block_depth = 256;
#endif

// Element (i, d) of A is a[i * a_row + d * a_depth], element (d, j) of B is b[d * b_depth + j], both packed or in place.
// Memory beyond `rows` and `columns` is neither read in an unpacked operand nor written in C.
struct Tile {
  const float* a;
  int64_t a_row, a_depth;
  const float* b;
  int64_t b_depth;
  float* c;
  int64_t ldc;
  int64_t rows, columns, depth;  // 1 <= rows <= tile_rows, 1 <= columns <= tile_columns
  bool accumulate;               // c += instead of c =
  const float* bias;             // of the tile's first column, or null
};

void micro_kernel(const Tile& tile);

// Calls body(Index<0>), ... body(Index<N - 1>), unrolled by the front end: arrays of vectors that are indexed by constants
// become registers, which a loop that the optimiser unrolls later does not ensure.
template <int I>
struct Index {
  static constexpr int value = I;
};

template <int N, class F>
__attribute__((always_inline)) static inline void repeat(const F& body) {
  if constexpr (N > 0) {
    repeat<N - 1>(body);
    body(Index<N - 1>());
  }
}
#define FIRESTEEL_UNROLLED __attribute__((always_inline))

}  // namespace firesteel::FIRESTEEL_ISA::gemm
