// The arguments of the kernels that make blocks of numbers and numbers of blocks, from the host (blocks.cpp) to the
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
