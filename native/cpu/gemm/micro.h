// The micro-kernel: one tile of C, held in registers over a block of depth. Private to native/cpu/gemm.
//
// The tile is tile_rows x tile_columns. It is large enough that the loads of A and B (rows + columns) hide behind the
// multiply-adds (rows x columns), and small enough that accumulators, one row of B and a broadcast of A fit the
// register file (K. Goto, R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008; F. Van Zee, R.
// van de Geijn, "BLIS", 2015). A panel of B, block_depth x tile_columns, stays in the first-level cache while panels of
// A pass by.
#pragma once
#include <string.h>

#include "../simd/isa.h"
#include "gemm.h"

#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
#define FIRESTEEL_MICRO_AVX512
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
#define FIRESTEEL_MICRO_AVX2
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
#define FIRESTEEL_MICRO_NEON
#else
#define FIRESTEEL_MICRO_BASE
#endif

namespace firesteel::FIRESTEEL_ISA::gemm {

// block_depth fixes the order of summation, because each block is summed in registers, and the blocks one after another
// in C. So it fixes the bits. It depends on the instruction set and on nothing else.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t tile_rows = 12, tile_columns = 32, block_depth = 256;
#elif defined(FIRESTEEL_MICRO_AVX2)
constexpr int64_t tile_rows = 6, tile_columns = 16, block_depth = 384;
#elif defined(FIRESTEEL_MICRO_NEON)
constexpr int64_t tile_rows = 8, tile_columns = 12, block_depth = 256;
#else
constexpr int64_t tile_rows = 4, tile_columns = 8, block_depth = 256;
#endif

// The tile of large products of float32. On AVX-512 it loads 11 vectors for 24 multiply-adds, whereas the other tile
// loads 14: Ice Lake starts two multiply-adds of 512 bits a cycle, but hardly more than one load. Its panels of B are
// twice as wide as many layers, so the other families keep to the other tile. Bits are the same, because block_depth
// is.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t wide_rows = 8, wide_columns = 48;
#else
constexpr int64_t wide_rows = tile_rows, wide_columns = tile_columns;
#endif

// How operands are cut: the rows of a panel of A, and the columns of a panel of B.
struct Panels {
  int64_t rows, columns;
};
constexpr Panels narrow = {tile_rows, tile_columns}, wide = {wide_rows, wide_columns};

// Element (i, d) of A is a[i * a_row + d * a_depth], element (d, j) of B is b[d * b_depth + j], packed or in place. B
// is readable for all of the panel's columns; what stands beyond `columns` has no effect. Nothing beyond `rows` and
// `columns` is read of A and bias, or read or written in C.
struct Tile {
  const float* a;
  int64_t a_row, a_depth;
  const float* b;
  int64_t b_depth;
  float* c;
  int64_t ldc;
  int64_t rows, columns, depth;  // from 1 to tile_rows and tile_columns, or to wide_rows and wide_columns
  bool accumulate;               // c += instead of c =
  const float* bias;             // of the tile's first column, or null
  bool pairs = false;            // of bfloat16, packed, in place of floats of A and B
  bool fetches = false;          // B is in place, and a kernel with loads to spare prefetches its next rows
  // The lines that a kernel with asks_ahead prefetches: one for each asked_steps of depth, ahead_step bytes apart.
  const char* ahead = nullptr;
  int64_t ahead_step = 0;
};

void micro_kernel(const Tile& tile);

// The kernel that micro_kernel calls. Tiles that differ only in a, b, c and bias share it.
using MicroKernel = void (*)(const Tile& tile);
MicroKernel find_micro_kernel(const Tile& tile);

// Whether the tile's kernel prefetches lines while it multiplies. A burst of prefetches between two tiles would hold up
// the lines that the next tile waits for, because a core awaits no more than a dozen at a time.
constexpr int64_t asked_steps = 4;
static inline bool asks_ahead(const Tile& tile) {
  return wide_columns > tile_columns && tile.columns == wide_columns && tile.rows == wide_rows && tile.a_row == 1 &&
         tile.a_depth == wide_rows && tile.b_depth == wide_columns;
}

// Whether this processor multiplies pairs of bfloat16 faster than floats, and the kernel for it.
#if defined(FIRESTEEL_MICRO_AVX512)
bool multiplies_pairs();
MicroKernel find_pairs_kernel(const Tile& tile);
#else
static inline bool multiplies_pairs() { return false; }
#endif

// Calls body(Index<0>), ... body(Index<N - 1>). The front end unrolls this. Arrays of vectors that are indexed by
// constants become registers, which is not certain if the optimiser unrolls a loop later.
#define FIRESTEEL_UNROLLED __attribute__((always_inline))

template <int I>
struct Index {
  static constexpr int value = I;
};

// A choice that is known only at run time, for bodies that take an Index too.
struct Decided {
  bool value;
};

template <int N, class F>
FIRESTEEL_UNROLLED static inline void repeat(const F& body) {
  if constexpr (N > 0) {
    repeat<N - 1>(body);
    body(Index<N - 1>());
  }
}

// A pointer or a number that the optimiser takes as it is. It would otherwise keep an address for each row and step of
// a tile in place. There are too many for the registers, and loading them again takes a fifth of the time.
template <class T>
FIRESTEEL_UNROLLED static inline T opaque(T value) {
  asm("" : "+r"(value));
  return value;
}

// The number of steps of depth by which rows of B in place are prefetched. This is early enough for the third-level
// cache. It is also late enough: rows a power of two apart share a set of the first level, and are not evicted before
// use.
constexpr int64_t steps_fetched = 8;

// The elements of A, in place, at a step of depth. An address reaches four rows from one pointer.
template <int Rows>
struct Column {
  const char* rows[(Rows + 3) / 4];
  int64_t row, three_rows;  // bytes from a row to the next, and to the third after it
};

template <int Rows>
FIRESTEEL_UNROLLED static inline Column<Rows> first_column(const Tile& tile) {
  Column<Rows> column;
  column.row = opaque(tile.a_row * int64_t(sizeof(float)));
  column.three_rows = opaque(3 * column.row);
  repeat<(Rows + 3) / 4>([&](auto group) FIRESTEEL_UNROLLED {
    column.rows[group.value] = opaque(reinterpret_cast<const char*>(tile.a) + 4 * group.value * column.row);
  });
  return column;
}

template <int Rows>
FIRESTEEL_UNROLLED static inline void next_column(Column<Rows>& column, int64_t bytes) {
  repeat<(Rows + 3) / 4>(
      [&](auto group) FIRESTEEL_UNROLLED { column.rows[group.value] = opaque(column.rows[group.value] + bytes); });
}

template <int I, int Rows>
FIRESTEEL_UNROLLED static inline const float* element_of(const Column<Rows>& column) {
  const char* row = column.rows[I / 4];
  return reinterpret_cast<const float*>(I % 4 == 3 ? row + column.three_rows : row + I % 4 * column.row);
}

// The place of a kernel in its block of depth.
template <int Rows>
struct Place {
  const float *a, *b;   // a only if packed
  Column<Rows> column;  // only in place
  int64_t a_depth, b_depth;
  int64_t fetched;  // from B to what is prefetched, which is what is read if nothing is fetched
};

template <int Rows>
FIRESTEEL_UNROLLED static inline Place<Rows> first_place(const Tile& tile) {
  const int64_t b_depth = opaque(tile.b_depth);
  return {tile.a,
          tile.b,
          first_column<Rows>(tile),
          opaque(tile.a_depth * int64_t(sizeof(float))),
          b_depth,
          opaque(tile.fetches ? steps_fetched * b_depth : 0)};
}

// sum += a * b, in the register of the sum. Without this, gcc 12 gives many results another register and moves them
// back. That costs a tenth of the time on a processor that starts two multiply-adds a cycle.
#if defined(FIRESTEEL_MICRO_AVX2) || (defined(FIRESTEEL_MICRO_AVX512) && !defined(FIRESTEEL_EMULATES_AVX512))
template <class Vector>
FIRESTEEL_UNROLLED static inline void add_product(Vector& sum, Vector a, Vector b) {
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
#elif defined(FIRESTEEL_MICRO_AVX512)
template <class Vector>
FIRESTEEL_UNROLLED static inline void add_product(Vector& sum, Vector a, Vector b) {
  sum = _mm512_fmadd_ps(a, b, sum);
}
#endif

// Returns body(Index<rows>) for 1 <= rows <= N known at run time.
template <int N, class F>
static inline auto with_rows(int64_t rows, const F& body) {
  if constexpr (N > 1)
    if (rows < N) return with_rows<N - 1>(rows, body);
  return body(Index<N>());
}

// Calls finish(adds_bias, accumulates) as the tile asks. Whole tiles decide once, not for each vector; tiles at edges
// decide for each vector, because there are many kernels of them to compile.
template <bool AtEdge, class F>
FIRESTEEL_UNROLLED static inline void finish_tile(const Tile& tile, const F& finish) {
  if constexpr (AtEdge)
    finish(Decided{tile.bias != nullptr}, Decided{tile.accumulate});
  else if (tile.bias)
    tile.accumulate ? finish(Index<1>(), Index<1>()) : finish(Index<1>(), Index<0>());
  else
    tile.accumulate ? finish(Index<0>(), Index<1>()) : finish(Index<0>(), Index<0>());
}

static inline bool is_packed(const Tile& tile) {
  return tile.a_row == 1 && tile.a_depth == tile_rows && tile.b_depth == tile_columns;
}

// A tile with fewer columns than tile_columns, by a kernel that writes whole rows. C and bias pass through buffers.
static inline void through_buffer(const Tile& tile, void (*kernel)(const Tile& tile)) {
  float c[tile_rows * tile_columns] = {}, bias[tile_columns] = {};
  const size_t row_bytes = size_t(tile.columns) * sizeof(float);
  Tile whole = tile;
  whole.columns = tile_columns;
  whole.c = c;
  whole.ldc = tile_columns;
  if (tile.bias) {
    memcpy(bias, tile.bias, row_bytes);
    whole.bias = bias;
  }
  if (tile.accumulate)
    for (int64_t i = 0; i < tile.rows; i++) memcpy(c + i * tile_columns, tile.c + i * tile.ldc, row_bytes);
  kernel(whole);
  for (int64_t i = 0; i < tile.rows; i++) memcpy(tile.c + i * tile.ldc, c + i * tile_columns, row_bytes);
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
