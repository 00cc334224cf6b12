// The common part of the kernels of matrix products: the tile of a block, the places of its matrices, and the steps
// from sums to results.
#pragma once
#include "index.h"
#include "product.h"
#include "scalar.h"

namespace firesteel::cuda {

template <class T>
struct alignas(4 * sizeof(T)) Four {
  T of[4];
};

// A block's part of the work: the first line of each factor, and the range of the depth.
struct Part {
  int64_t matrix;
  int32_t row, column, first, end;
  uint32_t result;  // the number of the matrix of out, or of parts
  bool empty;       // whether there is nothing to write
};

DEVICE int32_t live_rows(const Product& job) {
  return job.live.count && !job.live.of_depth ? *job.live.count - job.live.before : job.rows;
}

// A tile has `lines` rows and `across` columns.
DEVICE Part part_of(const Product& job, int lines, int across) {
  const uint32_t layer = job.first_layer + blockIdx.y;
  // Tiles go down 8 rows of tiles before they go right, because blocks that run together then share what they read.
  constexpr uint32_t tall = 8;
  const uint32_t rows = (job.rows + lines - 1) / lines, columns = (job.columns + across - 1) / across;
  const uint32_t band = blockIdx.x / (tall * columns), within = blockIdx.x - band * tall * columns;
  const uint32_t height = rows - band * tall < tall ? rows - band * tall : tall;
  Part part;
  part.row = static_cast<int32_t>(band * tall + within % height) * lines;
  part.column = static_cast<int32_t>(within / height) * across;
  const uint32_t split = layer % job.splits, matrix = layer / job.splits;
  part.matrix = matrix;
  part.result = split * job.matrices + matrix;
  part.first = static_cast<int32_t>(split) * job.depth_of_split;
  part.end = job.depth - part.first < job.depth_of_split ? job.depth : part.first + job.depth_of_split;
  if (job.live.count && job.live.of_depth) {
    const int32_t depth = *job.live.count - job.live.before;
    if (part.end > depth) part.end = depth;
  }
  part.empty = part.row >= live_rows(job);
  return part;
}
DEVICE Part part_of(const Product& job, int tile) { return part_of(job, tile, tile); }

// The place at which the factor's matrix begins, in elements.
DEVICE int64_t offset_of(const Product& job, const Factor& factor, int64_t matrix) {
  int64_t offset = 0;
  uint32_t index = static_cast<uint32_t>(matrix);
  for (int d = 0; d < job.dims; d++) {
    const uint32_t rest = divide(index, job.divisors[d]);
    offset += int64_t(index - rest * job.divisors[d].size) * factor.batch[d];
    index = rest;
  }
  return offset;
}

template <class T>
DEVICE const T* matrix_of(const Product& job, const Factor& factor, int64_t matrix) {
  return static_cast<const T*>(factor.data) + offset_of(job, factor, matrix);
}

DEVICE float bias_at(const Product& job, int32_t column) {
  return job.half_bias ? widen(static_cast<const bfloat16*>(job.bias)[column])
                       : static_cast<const float*>(job.bias)[column];
}

DEVICE void finish_sum(const Product& job, int64_t at, int32_t column, float sum) {
  if (job.bias) sum += bias_at(job, column);
  if (job.accumulates) sum = static_cast<const float*>(job.out)[at] + sum;
  if (job.half_out)
    static_cast<bfloat16*>(job.out)[at] = narrow<bfloat16>(sum);
  else
    static_cast<float*>(job.out)[at] = sum;
}

// `count` neighbouring sums of a row: 4, or 2.
template <int count>
struct alignas(4 * count) Sums {
  float of[count];
};
template <int count>
struct alignas(2 * count) Halves {
  bfloat16 of[count];
};

// The numbers to add to sums from `column` on. Without a bias they are -0, which leaves every number unchanged.
template <int count>
DEVICE Sums<count> bias_from(const Product& job, int32_t column) {
  Sums<count> bias;
#pragma unroll
  for (int q = 0; q < count; q++)
    bias.of[q] = job.bias && job.splits == 1 && column + q < job.columns ? bias_at(job, column + q) : -0.0f;
  return bias;
}

// It is kept short, because kernels contain it many times, once for each of a thread's rows.
template <int count>
DEVICE void write_sums(const Product& job, const Part& part, int32_t row, int32_t column, Sums<count> sums,
                       const Sums<count>& bias) {
  if (row >= job.rows || column >= job.columns) return;
  const bool partial = job.splits > 1;
  const int64_t at = (int64_t(part.result) * job.rows + row) * job.columns + column;
  float* out = (partial ? job.parts : static_cast<float*>(job.out)) + at;
  const int32_t there = job.columns - column;
#pragma unroll
  for (int q = 0; q < count; q++) {
    sums.of[q] += bias.of[q];
    if (job.accumulates && !partial && q < there) sums.of[q] = out[q] + sums.of[q];
  }
  if (job.half_out && !partial) {
    bfloat16* half_out = static_cast<bfloat16*>(job.out) + at;
    Halves<count> halves;
#pragma unroll
    for (int q = 0; q < count; q++) halves.of[q] = narrow<bfloat16>(sums.of[q]);
    if (job.whole_rows) return store(half_out, halves);
#pragma unroll
    for (int q = 0; q < count; q++)
      if (q < there) half_out[q] = halves.of[q];
    return;
  }
  if (job.whole_rows) return store(out, sums);
#pragma unroll
  for (int q = 0; q < count; q++)
    if (q < there) out[q] = sums.of[q];
}

}  // namespace firesteel::cuda
