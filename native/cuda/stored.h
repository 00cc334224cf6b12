// The arguments of the kernels that turn numbers into blocks and blocks into numbers, from the host (blocks.cpp) to the
// device (blocks.cu).
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

struct Stored {
  void* to;
  const void* from;
  int64_t count;  // of numbers
};

}  // namespace firesteel::cuda
