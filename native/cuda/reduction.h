// The arguments of a reduction, from the host (reduce.cpp) to the device (reduce.cu). x's dimensions form two groups:
// those that the result keeps, and those that are summed over. Each group has fewer than 2^31 elements.
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

constexpr int reduction_dims = 8;

struct Axes {
  uint32_t count;
  int32_t dims;
  Divisor divisors[reduction_dims];  // from the innermost dimension on
  int64_t strides[reduction_dims];   // of x, in elements
};

struct Reduction {
  void* out;  // dense
  const void* x;
  Axes kept, reduced;
  double scale;  // the factor of sums
  bool half_out;
  uint64_t* wrong;  // the slot for a sum that int32 cannot hold
};

}  // namespace firesteel::cuda
