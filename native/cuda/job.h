// The arguments of elementwise kernels, from the host (elementwise.cpp) to the device (elementwise.cu): at most 2^31 -
// 1 elements, cut into groups of 4 if memory allows.
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
  // Grouped: an operand's innermost stride is 1, and it is read 4 elements at
  // once, or 0 (its bit of `splat` is set). `count` then counts groups, the
  // innermost size too, and `rest` elements follow the last group, of a job
  // with 1 dimension.
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

// Numbers in equal steps.
struct Ramp {
  void* out;
  int64_t count;
  double start, step;
};

}  // namespace firesteel::cuda
