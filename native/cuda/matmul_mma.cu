// Matrix products of bfloat16 on tensor cores, from Ampere on: a block of 8 warps has a tile of 128x128, each warp
// 64x32; pieces of 32 along the depth come by asynchronous copies, two ahead of the one that is multiplied. Either
// factor may have its neighbours along the depth or along its lines: matrices are turned on their way into registers.
// Rows of shared memory are swizzled so that the 8 rows of a matrix meet all banks once.
#include "product_tile.h"

using namespace firesteel::cuda;

namespace {

constexpr int tile = large_tile, deep = 32, stages = 3;
constexpr int chunk = 8;  // elements of a copy

struct alignas(128) Stage {
  bfloat16 a[tile * deep], b[tile * deep];
};
struct alignas(128) Stages {
  Stage of[stages];
};

// Where chunk c of line (or, along lines, of depth) r lies in a piece.
template <bool along_depth>
DEVICE int place(int r, int c) {
  return along_depth ? r * deep + (c ^ (r >> 1 & 3)) * chunk : r * tile + (c ^ (r & 7)) * chunk;
}

// One factor's way into shared memory, as this thread goes it: two chunks of a piece. Strides are read anew each time,
// because they lie in constant memory and registers are scarce.
template <bool along_depth>
struct Loader {
  const bfloat16* from;
  int32_t lines;  // left, from the first chunk's on

  static constexpr int across = (along_depth ? deep : tile) / chunk;  // chunks of a row of shared memory
  static constexpr int between = 256 / across;                        // rows from one of the chunks to the other

  static DEVICE int row() { return static_cast<int>(threadIdx.x) / across; }
  static DEVICE int column() { return static_cast<int>(threadIdx.x) % across; }

  DEVICE Loader(const bfloat16* matrix, const Factor& factor, int32_t first_line, int32_t all_lines, int32_t first) {
    const int32_t line = first_line + (along_depth ? row() : column() * chunk);
    lines = all_lines - line;
    from = matrix + line * factor.line + (first + (along_depth ? column() * chunk : row())) * factor.depth;
  }

  // `left` is the depth from the piece's first on. Goes on to the next piece.
  DEVICE void copy(const Factor& factor, bfloat16* to, int32_t left) {
    left -= along_depth ? column() * chunk : row();
#pragma unroll
    for (int i = 0; i < tile * deep / chunk / 256; i++) {
      const bool there = along_depth ? left > 0 && lines > i * between : lines > 0 && left > i * between;
      copy16(to + place<along_depth>(row() + i * between, column()),
             from + i * between * (along_depth ? factor.line : factor.depth), there);
    }
    from += deep * factor.depth;
  }
};

// The 16 lines from `line` on, of the 16 of the depth from `k` on, as a's four matrices.
template <bool along_depth>
DEVICE void load_a(uint32_t (&r)[4], const bfloat16* piece, int line, int k, int lane) {
  if (along_depth)
    load_matrices<false>(r, piece + place<true>(line + (lane & 15), k / chunk + (lane >> 4)));
  else
    load_matrices<true>(r, piece + place<false>(k + (lane & 7) + (lane >> 4) * 8, line / chunk + (lane >> 3 & 1)));
}

// The same as two times b's two matrices.
template <bool along_depth>
DEVICE void load_b(uint32_t (&r)[4], const bfloat16* piece, int line, int k, int lane) {
  if (along_depth)
    load_matrices<false>(r, piece + place<true>(line + (lane & 7) + (lane >> 4) * 8, k / chunk + (lane >> 3 & 1)));
  else
    load_matrices<true>(r, piece + place<false>(k + (lane & 15), line / chunk + (lane >> 4)));
}

template <bool a_along_depth, bool b_along_depth>
DEVICE void multiply(const Product& job) {
  if constexpr (!has_matrix_products) return;
  SHARED(Stages, shared);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int down = warp % 2 * 64, right = warp / 2 * 32;
  const Part part = part_of(job, tile);
  if (part.empty) return;
  Loader<a_along_depth> a(matrix_of<bfloat16>(job, job.a, part.matrix), job.a, part.row, job.rows, part.first);
  Loader<b_along_depth> b(matrix_of<bfloat16>(job, job.b, part.matrix), job.b, part.column, job.columns, part.first);
  int32_t left = part.end - part.first, left_to_copy = left;
  int now = 0, next = 0;  // stages
  const auto copy = [&] {
    if (left_to_copy > 0) {
      a.copy(job.a, shared.of[next].a, left_to_copy);
      b.copy(job.b, shared.of[next].b, left_to_copy);
      left_to_copy -= deep;
    }
    // A group is committed even if there is nothing to copy, so that groups can be counted.
    commit_copies();
    next = next == stages - 1 ? 0 : next + 1;
  };
  float sums[4][4][4] = {};
#pragma unroll
  for (int step = 0; step < stages - 1; step++) copy();
#pragma unroll 1
  for (; left > 0; left -= deep) {
    wait_copies<stages - 2>();
    // Here all copies of the step have arrived, and nobody reads the stage that is filled next.
    __syncthreads();
    copy();
    const Stage& stage = shared.of[now];
    now = now == stages - 1 ? 0 : now + 1;
#pragma unroll
    for (int k = 0; k < deep; k += 16) {
      uint32_t y[2][4];
#pragma unroll
      for (int j = 0; j < 2; j++) load_b<b_along_depth>(y[j], stage.b, right + 16 * j, k, lane);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        uint32_t x[4];
        load_a<a_along_depth>(x, stage.a, down + 16 * i, k, lane);
#pragma unroll
        for (int j = 0; j < 4; j++) add_product(sums[i][j], x, y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
      }
    }
  }
  const int32_t row = part.row + down + lane / 4, column = part.column + right + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const Sums<2> bias = bias_from<2>(job, column + 8 * j);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int h = 0; h < 2; h++)
        write_sums(job, part, row + 16 * i + 8 * h, column + 8 * j, Sums<2>{{sums[i][j][2 * h], sums[i][j][2 * h + 1]}},
                   bias);
  }
}

}  // namespace

// By the factors' neighbours: d along the depth, l along the lines.
KERNEL_BY_TWO(matmul_mma_dd, const __grid_constant__ Product job) { multiply<true, true>(job); }
KERNEL_BY_TWO(matmul_mma_dl, const __grid_constant__ Product job) { multiply<true, false>(job); }
KERNEL_BY_TWO(matmul_mma_ld, const __grid_constant__ Product job) { multiply<false, true>(job); }
KERNEL_BY_TWO(matmul_mma_ll, const __grid_constant__ Product job) { multiply<false, false>(job); }
