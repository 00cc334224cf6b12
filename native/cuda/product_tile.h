// What the kernels of matrix products share: which tile a block has, where its matrices lie, and how sums become
// results.
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
  int32_t split;
};

DEVICE Part part_of(const Product& job, int tile) {
  const uint32_t layer = job.first_layer + blockIdx.y;
  // Tiles go down 8 rows of tiles before they go right, so that blocks that run together share what they read.
  constexpr uint32_t tall = 8;
  const uint32_t rows = (job.rows + tile - 1) / tile, columns = (job.columns + tile - 1) / tile;
  const uint32_t band = blockIdx.x / (tall * columns), within = blockIdx.x - band * tall * columns;
  const uint32_t height = rows - band * tall < tall ? rows - band * tall : tall;
  Part part;
  part.row = static_cast<int32_t>(band * tall + within % height) * tile;
  part.column = static_cast<int32_t>(within / height) * tile;
  part.split = static_cast<int32_t>(layer % job.splits);
  part.matrix = layer / job.splits;
  part.first = part.split * job.depth_of_split;
  part.end = job.depth - part.first < job.depth_of_split ? job.depth : part.first + job.depth_of_split;
  return part;
}

template <class T>
DEVICE const T* matrix_of(const Product& job, const Factor& factor, int64_t matrix) {
  const T* data = static_cast<const T*>(factor.data);
  uint32_t index = static_cast<uint32_t>(matrix);
  for (int d = 0; d < job.dims; d++) {
    const uint32_t rest = divide(index, job.divisors[d]);
    data += int64_t(index - rest * job.divisors[d].size) * factor.batch[d];
    index = rest;
  }
  return data;
}

// The sum with its bias and what was there before.
DEVICE float completed(const Product& job, int64_t at, int32_t column, float sum) {
  if (job.bias)
    sum += job.half_bias ? widen(static_cast<const bfloat16*>(job.bias)[column])
                         : static_cast<const float*>(job.bias)[column];
  return job.accumulates ? static_cast<const float*>(job.out)[at] + sum : sum;
}

DEVICE void finish_sum(const Product& job, int64_t at, int32_t column, float sum) {
  const float value = completed(job, at, column, sum);
  if (job.half_out)
    static_cast<bfloat16*>(job.out)[at] = narrow<bfloat16>(value);
  else
    static_cast<float*>(job.out)[at] = value;
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

template <int count>
DEVICE void write_sums(const Product& job, const Part& part, int32_t row, int32_t column, Sums<count> sums) {
  if (row >= job.rows) return;
  const int64_t at = (part.matrix * job.rows + row) * job.columns + column;
  if (job.whole_rows && column < job.columns) {
    if (job.splits > 1) {
      store(job.parts + int64_t(part.split) * job.matrices * job.rows * job.columns + at, sums);
    } else {
#pragma unroll
      for (int q = 0; q < count; q++) sums.of[q] = completed(job, at + q, column + q, sums.of[q]);
      if (job.half_out) {
        Halves<count> halves;
#pragma unroll
        for (int q = 0; q < count; q++) halves.of[q] = narrow<bfloat16>(sums.of[q]);
        store(static_cast<bfloat16*>(job.out) + at, halves);
      } else {
        store(static_cast<float*>(job.out) + at, sums);
      }
    }
    return;
  }
#pragma unroll
  for (int q = 0; q < count; q++) {
    if (column + q >= job.columns) break;
    if (job.splits > 1)
      job.parts[int64_t(part.split) * job.matrices * job.rows * job.columns + at + q] = sums.of[q];
    else
      finish_sum(job, at + q, column + q, sums.of[q]);
  }
}

}  // namespace firesteel::cuda
