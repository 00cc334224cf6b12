// The arguments of the kernels of random numbers, from the host (random.cpp) to the device (random.cu).
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

constexpr int random_dims = 8;

struct Random {
  void* out;  // dense
  int64_t count;
  uint64_t seed, offset;
  uint32_t stream;
  double a, b;     // low and high, mean and deviation, or the scale of the kept elements
  uint64_t bound;  // dropout drops words below it; for integers, their number
  // The x of dropout.
  const void* x;
  int32_t dims;
  Divisor divisors[random_dims];
  int64_t strides[random_dims];
};

}  // namespace firesteel::cuda
