// The common part of matrix products on tensor cores (matmul_mma.cu, matmul_blocks_mma.cu). A block of 8 warps has a
// tile of 128x128, each warp 64x32. Pieces are 64 bytes long along the depth: 32 bfloat16, or 16 float32, which are
// rounded to tf32 on their way into registers. In a piece, a factor's neighbours lie as they do in memory, and matrices
// are turned on the way into registers. Rows of shared memory are swizzled, so that rows that are read together meet
// every bank once.
#pragma once
#include "product_tile.h"

namespace firesteel::cuda {

constexpr int mma_tile = large_tile;
// The number of elements of a piece along the depth, of a copy, and of an instruction along the depth.
template <class T>
constexpr int mma_deep = 64 / sizeof(T);
template <class T>
constexpr int chunk = 16 / sizeof(T);
template <class T>
constexpr int mma_step = 32 / sizeof(T);

// A piece of 128 lines of a factor.
template <class T>
struct alignas(128) MatrixPiece {
  T of[mma_tile * mma_deep<T>];
};

// The place in a piece of chunk c of line r, or of depth r if neighbours lie along lines.
template <class T, bool along_depth>
DEVICE int place(int r, int c) {
  if (along_depth) return r * mma_deep<T> + (c ^ (r >> 1 & 3)) * chunk<T>;
  return r * mma_tile + (c ^ (sizeof(T) == 2 ? r & 7 : (r & 3) << 1)) * chunk<T>;
}

// The chunks of a piece that a thread brings: two, in the same column.
template <class T, bool along_depth>
struct Chunks {
  static constexpr int across = (along_depth ? mma_deep<T> : mma_tile) / chunk<T>;  // chunks of a row of shared memory
  static constexpr int between = 256 / across;  // rows from one of a thread's chunks to the other
  static constexpr int count = 2;

  static DEVICE int row() { return static_cast<int>(threadIdx.x) / across; }
  static DEVICE int column() { return static_cast<int>(threadIdx.x) % across; }
  static DEVICE int32_t line() { return along_depth ? row() : column() * chunk<T>; }
  static DEVICE int32_t depth() { return along_depth ? column() * chunk<T> : row(); }
  static DEVICE int place_of(int i) { return place<T, along_depth>(row() + i * between, column()); }
  // The distance from the first chunk, in elements.
  static DEVICE int64_t offset(const Factor& factor, int i) {
    return i * between * (along_depth ? factor.line : factor.depth);
  }
  // Whether chunk i exists if this many lines and this much depth are left from the first chunk on.
  static DEVICE bool there(int32_t lines, int32_t left, int i) {
    return along_depth ? left > 0 && lines > i * between : lines > 0 && left > i * between;
  }
};

// This thread's part in bringing one factor into shared memory. It reads strides anew each time, because they lie in
// constant memory and registers are scarce.
template <class T, bool along_depth>
struct Loader {
  using Mine = Chunks<T, along_depth>;
  const T* from;
  int32_t lines;  // that are left, from the first chunk's on

  DEVICE Loader(const Product& job, const Factor& factor, int64_t matrix, int32_t first_line, int32_t all_lines,
                int32_t first) {
    const int32_t line = first_line + Mine::line();
    lines = all_lines - line;
    from = matrix_of<T>(job, factor, matrix) + line * factor.line + (first + Mine::depth()) * factor.depth;
  }

  // `left` is the depth that is left, from the piece's first on. Goes on to the next piece.
  DEVICE void copy(const Factor& factor, MatrixPiece<T>& to, int32_t left) {
    left -= Mine::depth();
#pragma unroll
    for (int i = 0; i < Mine::count; i++)
      copy16(to.of + Mine::place_of(i), from + Mine::offset(factor, i), Mine::there(lines, left, i));
    from += mma_deep<T> * factor.depth;
  }
};

// The bits that are multiplied: pairs of bfloat16, or floats rounded to tf32.
template <class T>
struct Cores;
template <>
struct Cores<bfloat16> {
  static DEVICE uint32_t element(uint32_t bits) { return bits; }
  static DEVICE void add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { add_product(c, a, b0, b1); }
};
template <>
struct Cores<float> {
  static DEVICE uint32_t element(uint32_t bits) { return tf32_of(float_of(bits)); }
  static DEVICE void add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    add_product_tf32(c, a, b0, b1);
  }
};

// An element of floats whose neighbours lie along lines: line lane / 4 and depth lane % 4 beyond (line, k). No
// instruction turns matrices of floats.
DEVICE uint32_t turned_element(const MatrixPiece<float>& piece, int line, int k, int lane) {
  const int l = line + lane / 4, d = k + lane % 4;
  return bits_of(load<float>(piece.of + place<float, false>(d, l / chunk<float>) + l % chunk<float>));
}

// The 16 lines from `line` on, in the step of the depth from `k` on, as a's four matrices.
template <bool along_depth, class T>
DEVICE void load_a(uint32_t (&r)[4], const MatrixPiece<T>& piece, int line, int k, int lane) {
  constexpr int c = chunk<T>;
  if constexpr (along_depth) {
    load_matrices<false>(r, piece.of + place<T, true>(line + (lane & 15), k / c + (lane >> 4)));
  } else if constexpr (sizeof(T) == 2) {
    load_matrices<true>(r, piece.of + place<T, false>(k + (lane & 7) + (lane >> 4) * 8, line / c + (lane >> 3 & 1)));
  } else {
#pragma unroll
    for (int m = 0; m < 4; m++) r[m] = turned_element(piece, line + m % 2 * 8, k + m / 2 * 4, lane);
  }
#pragma unroll
  for (int m = 0; m < 4; m++) r[m] = Cores<T>::element(r[m]);
}

// The same, as two times b's two matrices.
template <bool along_depth, class T>
DEVICE void load_b(uint32_t (&r)[4], const MatrixPiece<T>& piece, int line, int k, int lane) {
  constexpr int c = chunk<T>;
  if constexpr (along_depth) {
    load_matrices<false>(r, piece.of + place<T, true>(line + (lane & 7) + (lane >> 4) * 8, k / c + (lane >> 3 & 1)));
  } else if constexpr (sizeof(T) == 2) {
    load_matrices<true>(r, piece.of + place<T, false>(k + (lane & 15), line / c + (lane >> 4)));
  } else {
#pragma unroll
    for (int m = 0; m < 4; m++) r[m] = turned_element(piece, line + m / 2 * 8, k + m % 2 * 4, lane);
  }
#pragma unroll
  for (int m = 0; m < 4; m++) r[m] = Cores<T>::element(r[m]);
}

// The sums of a warp: 4 times 4 products of 16x8.
struct WarpSums {
  float of[4][4][4];
};

// The place in the tile at which the warp's sums begin.
DEVICE int warp_down() { return static_cast<int>(threadIdx.x) / 32 % 2 * 64; }
DEVICE int warp_right() { return static_cast<int>(threadIdx.x) / 64 * 32; }

DEVICE void write_warp(const Product& job, const Part& part, const WarpSums& sums) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int32_t row = part.row + warp_down() + lane / 4, column = part.column + warp_right() + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const Sums<2> bias = bias_from<2>(job, column + 8 * j);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int h = 0; h < 2; h++)
        write_sums(job, part, row + 16 * i + 8 * h, column + 8 * j,
                   Sums<2>{{sums.of[i][j][2 * h], sums.of[i][j][2 * h + 1]}}, bias);
  }
}

}  // namespace firesteel::cuda
