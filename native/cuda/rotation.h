// The arguments of the kernel of rotary embeddings, from the host (attention.cpp) to the device (rotary.cu).
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

constexpr int rotary_dims = 7;

struct Rotation {
  void* out;  // dense
  const void* x;
  const float *cosines, *sines;  // [tables, pairs]
  int64_t rows, rows_of_batch;
  int32_t times, features, pairs;
  bool of_batches;  // whether each row of the batch has its own tables
  bool neighbours;
  float sign;
  int32_t dims;  // of the rows' dimensions, from the innermost on
  Divisor divisors[rotary_dims];
  int64_t strides[rotary_dims], step;
};

}  // namespace firesteel::cuda
