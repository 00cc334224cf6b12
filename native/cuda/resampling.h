// The arguments of the kernels of interpolation, from the host (interpolate.cpp) to the device (interpolate.cu).
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

// The terms of an axis's results: `ends` says where each result's terms end, and positions follow. Without a table,
// each result is the element at its position.
struct Taps {
  const int32_t* ends;
  const float* weights;
  int32_t results, terms, size;
};

struct Resampling {
  void* out;
  const void* x;
  int64_t count;
  Taps rows, columns;
};

}  // namespace firesteel::cuda
