// Products of a vector and a matrix. Private to native/cpu/gemm.
#pragma once
#include "pack.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

// y[j * y_stride] = (accumulate ? itself : 0) + sum over d of x(d) b(d, j) + bias[j * bias_stride], on all
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

}  // namespace firesteel::FIRESTEEL_ISA::gemm
