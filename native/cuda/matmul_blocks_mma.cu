// Matrix products of bfloat16 with blocks on tensor cores, from Ampere on, in the tiles of product_mma.h. A block's
// number is decoded as it is loaded, and split into two bfloat16, high and low, each of which is multiplied. Together
// they lose at most 2^-17 of the number, while rounding the result costs 2^-9; q4_0 loses nothing. The next piece is on
// its way while one is multiplied: a's by asynchronous copies and b's through registers.
#include "blocks.h"
#include "product_mma.h"

using namespace firesteel::cuda;

namespace {

constexpr int deep = mma_deep<bfloat16>;

struct Stage {
  MatrixPiece<bfloat16> a, high, low;
};
struct Stages {
  Stage of[2];
};

struct alignas(16) Chunk {
  uint32_t of[chunk<bfloat16> / 2];
};

// The part of two floats that bfloat16 does not hold. It is 0 if the float is infinite as bfloat16.
DEVICE uint32_t rests_of(float x, float y, uint32_t halves) {
  const float rest_x = x - float_of(halves << 16), rest_y = y - float_of(halves & 0xffff0000u);
  return halves_of(fabsf(rest_x) < INFINITY ? rest_x : 0.0f, fabsf(rest_y) < INFINITY ? rest_y : 0.0f);
}

// This thread's part in bringing the right factor into shared memory. Neighbours of a chunk lie in one block.
template <class Format, bool along_depth>
struct BlockLoader {
  using Mine = Chunks<bfloat16, along_depth>;
  int64_t at;     // of the first chunk's first element
  int32_t lines;  // that are left, from the first chunk's on
  Packed held[Mine::count][2];

  DEVICE BlockLoader(const Product& job, const Factor& factor, int64_t matrix, int32_t first_line, int32_t all_lines,
                     int32_t first) {
    const int32_t line = first_line + Mine::line();
    lines = all_lines - line;
    at = offset_of(job, factor, matrix) + line * factor.line + (first + Mine::depth()) * factor.depth;
  }

  // `left` is the depth that is left, from the piece's first on. Goes on to the next piece.
  DEVICE void fetch(const Factor& factor, int32_t left) {
    left -= Mine::depth();
#pragma unroll
    for (int i = 0; i < Mine::count; i++) {
      const bool there = Mine::there(lines, left, i);
      const int64_t first = at + Mine::offset(factor, i);
#pragma unroll
      for (int h = 0; h < 2; h++) {
        held[i][h] = {};
        if (there) held[i][h] = packed_at<Format>(factor.data, first + 4 * h);
      }
    }
    at += deep * factor.depth;
  }

  DEVICE void put(Stage& stage) const {
#pragma unroll
    for (int i = 0; i < Mine::count; i++) {
      Chunk high, low;
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const Numbers four = Format::unpack(held[i][h]);
#pragma unroll
        for (int q = 0; q < 2; q++) {
          const float x = four.of[2 * q], y = four.of[2 * q + 1];
          high.of[2 * h + q] = halves_of(x, y);
          low.of[2 * h + q] = rests_of(x, y, high.of[2 * h + q]);
        }
      }
      store(stage.high.of + Mine::place_of(i), high);
      store(stage.low.of + Mine::place_of(i), low);
    }
  }
};

template <class Format, bool along_depth>
DEVICE void multiply(const Product& job) {
  if constexpr (!has_matrix_products) return;
  SHARED(Stages, shared);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const Part part = part_of(job, mma_tile);
  if (part.empty) return;
  Loader<bfloat16, true> a(job, job.a, part.matrix, part.row, job.rows, part.first);
  BlockLoader<Format, along_depth> b(job, job.b, part.matrix, part.column, job.columns, part.first);
  int32_t left = part.end - part.first;
  a.copy(job.a, shared.of[0].a, left);
  commit_copies();
  b.fetch(job.b, left);
  b.put(shared.of[0]);
  wait_copies<0>();
  __syncthreads();
  WarpSums sums = {};
  int now = 0;
#pragma unroll 1
  for (; left > 0; left -= deep, now ^= 1) {
    const bool more = left > deep;
    if (more) {
      a.copy(job.a, shared.of[now ^ 1].a, left - deep);
      commit_copies();
      b.fetch(job.b, left - deep);
    }
    const Stage& stage = shared.of[now];
// The loop is not unrolled, because both steps together would need too many registers.
#pragma unroll 1
    for (int k = 0; k < deep; k += mma_step<bfloat16>)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        uint32_t high[4], low[4];
        load_b<along_depth>(high, stage.high, warp_right() + 16 * j, k, lane);
        load_b<along_depth>(low, stage.low, warp_right() + 16 * j, k, lane);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          uint32_t x[4];
          load_a<true>(x, stage.a, warp_down() + 16 * i, k, lane);
#pragma unroll
          for (int h = 0; h < 2; h++) {
            add_product(sums.of[i][2 * j + h], x, low[2 * h], low[2 * h + 1]);
            add_product(sums.of[i][2 * j + h], x, high[2 * h], high[2 * h + 1]);
          }
        }
      }
    if (more) b.put(shared.of[now ^ 1]);
    wait_copies<0>();
    __syncthreads();
  }
  write_warp(job, part, sums);
}

}  // namespace

// The letter is the direction of neighbours in blocks: d along the depth, l along the lines.
#define BLOCKS(name, Format)                                                                                 \
  KERNEL_BY_TWO(matmul_mma_##name##_d, const __grid_constant__ Product job) { multiply<Format, true>(job); } \
  KERNEL_BY_TWO(matmul_mma_##name##_l, const __grid_constant__ Product job) { multiply<Format, false>(job); }

BLOCKS(q8_0, Q8)
BLOCKS(q4_0, Q4)
BLOCKS(nf4, Nf4)
