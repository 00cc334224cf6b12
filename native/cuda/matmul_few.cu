// Products of few rows, as in the generation of a text token by token. Each element of the right factor is read once
// and multiplied with all rows; its neighbours lie along the depth. A warp handles a column, or a part of the column's
// depth if there are few columns. Its lanes take 4 neighbours each, and decode them if they are in blocks. Reading the
// right factor takes nearly all of the time. A sum follows the order of the lanes, and then of the parts.
#include "blocks.h"
#include "product_tile.h"

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

// Elements [at, at + 4) of the right factor, according to its dtype.
template <class B>
struct Right {
  static DEVICE Numbers numbers(const void* data, int64_t at) { return numbers_at<B>(data, at); }
};
template <class T>
struct RightFloats {
  static DEVICE Numbers numbers(const void* data, int64_t at) {
    const Four<T> four = load<Four<T>>(static_cast<const T*>(data) + at);
    return {{widen(four.of[0]), widen(four.of[1]), widen(four.of[2]), widen(four.of[3])}};
  }
};
template <>
struct Right<float> : RightFloats<float> {};
template <>
struct Right<bfloat16> : RightFloats<bfloat16> {};

// A warp handles a column, or a part of its depth. The column's neighbours lie along the depth.
template <class A, class B>
DEVICE void multiply_few(const Product& job) {
  constexpr int32_t lanes = 32, warps = 256 / lanes;
  const uint32_t layer = job.first_layer + blockIdx.y;
  const uint32_t split = layer % job.splits, matrix = layer / job.splits;
  const int32_t first = static_cast<int32_t>(split) * job.depth_of_split;
  const int32_t end = job.depth - first < job.depth_of_split ? job.depth : first + job.depth_of_split;
  const int32_t lane = static_cast<int32_t>(threadIdx.x % lanes);
  const int32_t column = static_cast<int32_t>(blockIdx.x * warps + threadIdx.x / lanes);
  if (column >= job.columns) return;
  const A* a = matrix_of<A>(job, job.a, matrix);
  const int64_t b = offset_of(job, job.b, matrix) + column * job.b.line;
  float sums[few_rows] = {};
  for (int32_t k = first + 4 * lane; k < end; k += 4 * lanes) {
    const Numbers y = Right<B>::numbers(job.b.data, b + k);
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
    if (lane != 0) continue;
    const int64_t at = (int64_t(matrix) * job.rows + row) * job.columns + column;
    if (job.splits == 1)
      finish_sum(job, at, column, sums[row]);
    else
      job.parts[split * int64_t(job.matrices) * job.rows * job.columns + at] = sums[row];
  }
}

}  // namespace

#define FEW(name, B)                                                                                      \
  KERNEL(matmul_few_float32_##name, const __grid_constant__ Product job) { multiply_few<float, B>(job); } \
  KERNEL(matmul_few_bfloat16_##name, const __grid_constant__ Product job) { multiply_few<bfloat16, B>(job); }

FEW(float32, float)
FEW(bfloat16, bfloat16)
FEW(q8_0, Q8)
FEW(q4_0, Q4)
FEW(nf4, Nf4)
