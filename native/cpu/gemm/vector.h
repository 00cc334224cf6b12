// Products of a vector and a matrix. Private to native/cpu/gemm.
#pragma once
#include "pack.h"
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

// y[j * y_stride] = (accumulate ? y[j * y_stride] : 0) + sum over d of x(d) b(d, j) + bias[j * bias_stride], on all
// threads. One of b's strides must be 1; bias may be null.
struct VectorProduct {
  int64_t n, k;
  Matrix x;  // [1, k]
  Matrix b;  // [k, n]
  float* y;
  int64_t y_stride;
  bool accumulate;
  const float* bias;
  int64_t bias_stride;
};

void multiply_vector(Context& context, const VectorProduct& product);

// Whether B [k, n] is of q8_0 or q4_0 and each column is whole blocks.
bool has_whole_columns(Matrix b, int64_t n, int64_t k);

// C = A B, on all threads, for at most most_decoded_rows rows and a B whose columns are whole blocks.
void multiply_decoded(Context& context, const Product& product);

}  // namespace firesteel::FIRESTEEL_ISA::gemm
