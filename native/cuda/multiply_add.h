// The body of matrix products by multiply-adds, for the factors of matmul.cu and matmul_blocks.cu.
#pragma once
#include "product_tile.h"

namespace firesteel::cuda {

// The lines and the depth of a piece are such that every thread brings 4 elements of each factor.
template <int tile>
constexpr int deep = 1024 / tile;

template <int tile>
struct alignas(16) Piece {
  float of[deep<tile>][tile + 4];
};
// Pieces of a and b, two each, because one is filled while the other is multiplied.
template <int tile>
struct alignas(16) Pieces {
  Piece<tile> a[2], b[2];
};

// The places of 4 neighbours of a factor that this thread brings into shared memory.
template <int tile>
struct Places {
  static DEVICE bool goes_along_depth(const Factor& factor) { return factor.line != 1; }
  static DEVICE int32_t line_in_piece(bool along_depth) {
    constexpr int32_t groups = along_depth_groups, across = tile / 4;
    const int32_t t = static_cast<int32_t>(threadIdx.x);
    return along_depth ? t / groups : t % across * 4;
  }
  static DEVICE int32_t depth_in_piece(bool along_depth) {
    constexpr int32_t groups = along_depth_groups, across = tile / 4;
    const int32_t t = static_cast<int32_t>(threadIdx.x);
    return along_depth ? t % groups * 4 : t / across;
  }

  static DEVICE void put(const Factor& factor, Piece<tile>& piece, const float (&held)[4]) {
    const bool along_depth = goes_along_depth(factor);
    const int32_t line = line_in_piece(along_depth), depth = depth_in_piece(along_depth);
    if (along_depth) {
#pragma unroll
      for (int q = 0; q < 4; q++) piece.of[depth + q][line] = held[q];
    } else {
      store(&piece.of[depth][line], Sums<4>{{held[0], held[1], held[2], held[3]}});
    }
  }

 private:
  static constexpr int32_t along_depth_groups = deep<tile> / 4;
};

// Brings one factor into shared memory. It reads the job's fields anew each time, because they lie in constant memory
// and registers are scarce.
template <class T, int tile>
struct Carrier {
  using At = Places<tile>;
  const T* from;
  int32_t lines;  // that are left, from the first of these 4 on
  float held[4];

  DEVICE Carrier(const Product& job, const Factor& factor, int64_t matrix, int32_t first_line, int32_t all_lines,
                 int32_t first) {
    const bool along_depth = At::goes_along_depth(factor);
    const int32_t line = first_line + At::line_in_piece(along_depth);
    lines = all_lines - line;
    from = matrix_of<T>(job, factor, matrix) + line * factor.line +
           (first + At::depth_in_piece(along_depth)) * factor.depth;
  }

  // `left` is the depth that is left, from the piece's first on. Goes on to the next piece.
  DEVICE void fetch(const Factor& factor, int32_t left) {
    const bool along_depth = At::goes_along_depth(factor);
    left -= At::depth_in_piece(along_depth);
    const int32_t across = along_depth ? lines : left, along = along_depth ? left : lines;
    if (factor.vectors && across > 0 && along > 3) {
      const Four<T> four = load<Four<T>>(from);
#pragma unroll
      for (int q = 0; q < 4; q++) held[q] = widen(four.of[q]);
    } else {
      const int64_t step = along_depth ? factor.depth : 1;
      const T* at = from;
#pragma unroll
      for (int q = 0; q < 4; q++, at += step) held[q] = across > 0 && along > q ? widen(*at) : 0.0f;
    }
    from += deep<tile> * factor.depth;
  }

  DEVICE void put(const Factor& factor, Piece<tile>& piece) const { At::put(factor, piece, held); }
};

template <class A, class B, int tile>
DEVICE void multiply(const Product& job) {
  constexpr int each = tile / 16, quads = each / 4;
  SHARED(Pieces<tile>, pieces);
  const int32_t down = static_cast<int32_t>(threadIdx.x / 16) * 4, right = static_cast<int32_t>(threadIdx.x % 16) * 4;
  const Part part = part_of(job, tile);
  if (part.empty) return;
  Carrier<A, tile> a(job, job.a, part.matrix, part.row, job.rows, part.first);
  Carrier<B, tile> b(job, job.b, part.matrix, part.column, job.columns, part.first);
  float sums[each][each] = {};
  int32_t left = part.end - part.first;
  a.fetch(job.a, left);
  b.fetch(job.b, left);
  a.put(job.a, pieces.a[0]);
  b.put(job.b, pieces.b[0]);
  __syncthreads();
  int now = 0;
  for (; left > 0; left -= deep<tile>, now ^= 1) {
    const bool more = left > deep<tile>;
    if (more) {
      a.fetch(job.a, left - deep<tile>);
      b.fetch(job.b, left - deep<tile>);
    }
// The large tile's 8 steps are unrolled only in part, because they would need too many registers.
#pragma unroll 4
    for (int d = 0; d < deep<tile>; d++) {
      float x[each], y[each];
#pragma unroll
      for (int h = 0; h < quads; h++) {
        const Sums<4> four_x = load<Sums<4>>(&pieces.a[now].of[d][down + 64 * h]);
        const Sums<4> four_y = load<Sums<4>>(&pieces.b[now].of[d][right + 64 * h]);
#pragma unroll
        for (int q = 0; q < 4; q++) {
          x[4 * h + q] = four_x.of[q];
          y[4 * h + q] = four_y.of[q];
        }
      }
#pragma unroll
      for (int i = 0; i < each; i++)
#pragma unroll
        for (int j = 0; j < each; j++) sums[i][j] = multiply_add(x[i], y[j], sums[i][j]);
    }
    if (more) {
      a.put(job.a, pieces.a[now ^ 1]);
      b.put(job.b, pieces.b[now ^ 1]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int h = 0; h < quads; h++) {
    const int32_t column = part.column + right + 64 * h;
    const Sums<4> bias = bias_from<4>(job, column);
#pragma unroll
    for (int i = 0; i < each; i++) {
      const float* of = &sums[i][4 * h];
      write_sums(job, part, part.row + down + i % 4 + 64 * (i / 4), column, Sums<4>{{of[0], of[1], of[2], of[3]}},
                 bias);
    }
  }
}

}  // namespace firesteel::cuda
