// Matrix products whose right factor is stored in blocks, which are decoded where they are loaded. Many rows take tiles
// of 64x64 by multiply-adds, as in matmul.cu. Few rows, as when a text is written token by token, take a warp for each
// column: its lanes read 128 numbers of it at a time, each of them once, and multiply them with all rows.
#include "blocks.h"
#include "multiply_add.h"

namespace firesteel::cuda {

// Four neighbours lie in one block, all there or all beyond the end.
template <class Format, int tile>
struct BlockCarrier {
  using At = Places<tile>;
  int64_t at;     // the element
  int32_t lines;  // left, from the first of these 4 on
  float held[4];

  DEVICE BlockCarrier(const Product& job, const Factor& factor, int64_t matrix, int32_t first_line, int32_t all_lines,
                      int32_t first) {
    const bool along_depth = At::goes_along_depth(factor);
    const int32_t line = first_line + At::line_in_piece(along_depth);
    lines = all_lines - line;
    at = offset_of(job, factor, matrix) + line * factor.line + (first + At::depth_in_piece(along_depth)) * factor.depth;
  }

  DEVICE void fetch(const Factor& factor, int32_t left) {
    left -= At::depth_in_piece(At::goes_along_depth(factor));
    Numbers numbers = {};
    if (lines > 0 && left > 0) numbers = numbers_at<Format>(factor.data, at);
#pragma unroll
    for (int q = 0; q < 4; q++) held[q] = numbers.of[q];
    at += deep<tile> * factor.depth;
  }

  DEVICE void put(const Factor& factor, Piece<tile>& piece) const { At::put(factor, piece, held); }
};

template <int tile>
struct Carrier<Q8, tile> : BlockCarrier<Q8, tile> {
  using BlockCarrier<Q8, tile>::BlockCarrier;
};
template <int tile>
struct Carrier<Q4, tile> : BlockCarrier<Q4, tile> {
  using BlockCarrier<Q4, tile>::BlockCarrier;
};
template <int tile>
struct Carrier<Nf4, tile> : BlockCarrier<Nf4, tile> {
  using BlockCarrier<Nf4, tile>::BlockCarrier;
};

}  // namespace firesteel::cuda

using namespace firesteel::cuda;

namespace {

template <class A>
DEVICE Numbers left_at(const Product& job, const A* from) {
  Numbers numbers;
  if (job.a.vectors && job.a.line != 1) {
    const Four<A> four = load<Four<A>>(from);
#pragma unroll
    for (int q = 0; q < 4; q++) numbers.of[q] = widen(four.of[q]);
  } else {
#pragma unroll
    for (int q = 0; q < 4; q++) numbers.of[q] = widen(from[q * job.a.depth]);
  }
  return numbers;
}

// A warp has a column, of blocks along the depth.
template <class A, class Format>
DEVICE void multiply_few(const Product& job) {
  constexpr int32_t lanes = 32, warps = 256 / lanes;
  const uint32_t matrix = job.first_layer + blockIdx.y;
  const int32_t lane = static_cast<int32_t>(threadIdx.x % lanes);
  const int32_t column = static_cast<int32_t>(blockIdx.x * warps + threadIdx.x / lanes);
  if (column >= job.columns) return;
  const A* a = matrix_of<A>(job, job.a, matrix);
  const int64_t b = offset_of(job, job.b, matrix) + column * job.b.line;
  float sums[few_rows] = {};
  for (int32_t k = 4 * lane; k < job.depth; k += 4 * lanes) {
    const Numbers y = numbers_at<Format>(job.b.data, b + k);
#pragma unroll
    for (int32_t row = 0; row < few_rows; row++) {
      if (row >= job.rows) break;
      const Numbers x = left_at(job, a + row * job.a.line + k * job.a.depth);
#pragma unroll
      for (int q = 0; q < 4; q++) sums[row] = multiply_add(x.of[q], y.of[q], sums[row]);
    }
  }
#pragma unroll
  for (int32_t row = 0; row < few_rows; row++) {
    if (row >= job.rows) break;
    for (int step = lanes / 2; step > 0; step /= 2) sums[row] += __shfl_xor_sync(~0u, sums[row], step);
    if (lane == 0) finish_sum(job, (int64_t(matrix) * job.rows + row) * job.columns + column, column, sums[row]);
  }
}

}  // namespace

#define BLOCKS(name, Format)                                                                                         \
  KERNEL_BY_TWO(matmul_64_float32_##name, const __grid_constant__ Product job) { multiply<float, Format, 64>(job); } \
  KERNEL_BY_TWO(matmul_64_bfloat16_##name, const __grid_constant__ Product job) {                                    \
    multiply<bfloat16, Format, 64>(job);                                                                             \
  }                                                                                                                  \
  KERNEL(matmul_few_float32_##name, const __grid_constant__ Product job) { multiply_few<float, Format>(job); }       \
  KERNEL(matmul_few_bfloat16_##name, const __grid_constant__ Product job) { multiply_few<bfloat16, Format>(job); }

BLOCKS(q8_0, Q8)
BLOCKS(q4_0, Q4)
BLOCKS(nf4, Nf4)
