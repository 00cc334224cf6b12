// Matrix products on tensor cores, from Ampere on, in the tiles of product_mma.h: of bfloat16, and of float32 if tf32
// is precise enough for the program. Pieces arrive by asynchronous copies, two ahead of the one that is multiplied.
#include "product_mma.h"

using namespace firesteel::cuda;

namespace {

constexpr int stages = 3;

template <class T>
struct Stage {
  MatrixPiece<T> a, b;
};
template <class T>
struct Stages {
  Stage<T> of[stages];
};

template <class T, bool a_along_depth, bool b_along_depth>
DEVICE void multiply(const Product& job) {
  if constexpr (!has_matrix_products) return;
  SHARED(Stages<T>, shared);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const Part part = part_of(job, mma_tile);
  if (part.empty) return;
  Loader<T, a_along_depth> a(job, job.a, part.matrix, part.row, job.rows, part.first);
  Loader<T, b_along_depth> b(job, job.b, part.matrix, part.column, job.columns, part.first);
  int32_t left = part.end - part.first, left_to_copy = left;
  int now = 0, next = 0;  // stages
  const auto copy = [&] {
    if (left_to_copy > 0) {
      a.copy(job.a, shared.of[next].a, left_to_copy);
      b.copy(job.b, shared.of[next].b, left_to_copy);
      left_to_copy -= mma_deep<T>;
    }
    // A group is committed even if there is nothing to copy, so that groups can be counted.
    commit_copies();
    next = next == stages - 1 ? 0 : next + 1;
  };
  WarpSums sums = {};
#pragma unroll
  for (int step = 0; step < stages - 1; step++) copy();
#pragma unroll 1
  for (; left > 0; left -= mma_deep<T>) {
    wait_copies<stages - 2>();
    // At this point all copies of the step have arrived, and nobody reads the stage that is filled next.
    __syncthreads();
    copy();
    const Stage<T>& stage = shared.of[now];
    now = now == stages - 1 ? 0 : now + 1;
// If floats of both factors are turned, two steps at once would need too many registers.
#pragma unroll(sizeof(T) == 4 && !a_along_depth && !b_along_depth ? 1 : 2)
    for (int k = 0; k < mma_deep<T>; k += mma_step<T>) {
      uint32_t y[2][4];
#pragma unroll
      for (int j = 0; j < 2; j++) load_b<b_along_depth>(y[j], stage.b, warp_right() + 16 * j, k, lane);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        uint32_t x[4];
        load_a<a_along_depth>(x, stage.a, warp_down() + 16 * i, k, lane);
#pragma unroll
        for (int j = 0; j < 4; j++) Cores<T>::add(sums.of[i][j], x, y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
      }
    }
  }
  write_warp(job, part, sums);
}

}  // namespace

// The letters are the directions of the factors' neighbours: d along the depth, l along the lines.
#define ORDERS(name, T)                                                                                         \
  KERNEL_BY_TWO(matmul_mma_##name##_dd, const __grid_constant__ Product job) { multiply<T, true, true>(job); }  \
  KERNEL_BY_TWO(matmul_mma_##name##_dl, const __grid_constant__ Product job) { multiply<T, true, false>(job); } \
  KERNEL_BY_TWO(matmul_mma_##name##_ld, const __grid_constant__ Product job) { multiply<T, false, true>(job); } \
  KERNEL_BY_TWO(matmul_mma_##name##_ll, const __grid_constant__ Product job) { multiply<T, false, false>(job); }

ORDERS(bfloat16, bfloat16)
ORDERS(tf32, float)
