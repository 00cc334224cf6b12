// The arguments of a matrix product, from the host (matmul.cpp) to the device (matmul.cu, matmul_mma.cu).
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

constexpr int product_dims = 6;

// A matrix of the batch: lines (rows of a, columns of b) of `depth` elements, which are multiplied with each other.
struct Factor {
  const void* data;
  int64_t line, depth;  // strides, in elements
  // Whether neighbours are read together: along lines if the stride of lines is 1, else along the depth.
  bool vectors;
  int64_t batch[product_dims];
};

// The number of a product's rows, or of its depth, that takes part, if only the GPU knows it: *count, less those
// `before`. Rows beyond it are not written, and the depth beyond it is not read. If count is null, all take part.
struct Live {
  const int32_t* count;
  int32_t before;
  bool of_depth;
};

struct Product {
  void* out;  // dense [matrices, rows, columns]
  Factor a, b;
  const void* bias;  // [columns], or null
  // If the depth is cut: the sums of each part, [splits, matrices, rows, columns], which a second kernel adds in order.
  float* parts;
  int32_t rows, columns, depth;
  int32_t splits, depth_of_split;
  uint32_t matrices;
  uint32_t first_layer;  // a layer is a split of a matrix; the grid's second dimension counts from here
  int32_t dims;
  Divisor divisors[product_dims];  // of the batch's dimensions, from the innermost on
  bool accumulates, half_out, half_bias;
  Live live;
  bool whole_rows;  // whether rows of out can be written 4 elements at a time
};

// The tiles of matmul.cu and matmul_mma.cu.
constexpr int large_tile = 128, small_tile = 64;
// The largest number of rows that matmul_few.cu multiplies.
constexpr int few_rows = 8;

}  // namespace firesteel::cuda
