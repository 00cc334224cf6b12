// The arguments of elementwise kernels, from the host (elementwise.cpp) to the device (elementwise.cu): fewer than 2^31
// elements, in groups of 4 if memory allows.
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

constexpr int job_dims = 8;
// The result, and up to three inputs.
constexpr int job_operands = 4;
constexpr int group_size = 4;

struct Job {
  void* data[job_operands];
  // Whether elements are grouped. Each operand's innermost stride is then 1 (4 elements are read at once) or 0 (its bit
  // of `splat` is set). `count` and the innermost size count groups. The `rest` elements behind the last group belong
  // to a job with 1 dimension.
  bool grouped;
  uint32_t splat;
  uint32_t count, rest;
  int32_t dims;                             // at least 1
  Divisor divisors[job_dims];               // from the innermost dimension on
  int64_t strides[job_operands][job_dims];  // in elements
  float numbers[2];                         // the kernel's options
  int32_t integers[2];                      // the same for int32
  uint64_t* wrong;                          // the slot for a divisor of 0
};

// Numbers at equal distances.
struct Ramp {
  void* out;
  int64_t count;
  double start, step;
};

}  // namespace firesteel::cuda
