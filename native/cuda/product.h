// The arguments of a matrix product, from the host (matmul.cpp) to the device (matmul.cu, matmul_mma.cu).
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

constexpr int product_dims = 6;

// A matrix of the batch: lines (rows of a, columns of b) of `depth` elements that are multiplied with one another.
struct Factor {
  const void* data;
  int64_t line, depth;  // strides, in elements
  // Whether neighbours are read together: along lines if their stride is 1, else along the depth.
  bool vectors;
  int64_t batch[product_dims];
};

// How many of a product's rows, or of its depth, take part where only the GPU knows it: *count, less those `before`.
// Rows beyond are not written, and what lies beyond in the depth is not read. All take part where count is null.
struct Live {
  const int32_t* count;
  int32_t before;
  bool of_depth;
};

struct Product {
  void* out;  // dense [matrices, rows, columns]
  Factor a, b;
  const void* bias;  // [columns], or null
  // Where the depth is cut: sums of each part, [splits, matrices, rows, columns], which a second kernel adds in order.
  float* parts;
  int32_t rows, columns, depth;
  int32_t splits, depth_of_split;
  uint32_t matrices;
  uint32_t first_layer;  // a layer is a split of a matrix; the grid's second dimension counts them from here
  int32_t dims;
  Divisor divisors[product_dims];  // of the batch, from the innermost dimension on
  bool accumulates, half_out, half_bias;
  Live live;
  bool whole_rows;  // rows of out can be written 4 elements at a time
};

// Of the tiles in matmul.cu and matmul_mma.cu.
constexpr int large_tile = 128, small_tile = 64;
// Up to so many rows are multiplied by matmul_few.cu.
constexpr int few_rows = 8;

}  // namespace firesteel::cuda
