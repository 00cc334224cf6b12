// The arguments of the kernels of sorting and searching, from the host (sort.cpp) to the device (sort.cu).
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

// The number of keys that a block sorts in shared memory.
constexpr int sort_chunk = 4096;

// Lines of x, whose elements are `inner` apart. The first `kept` of each line in order are wanted.
struct Sort {
  void* out;
  int32_t* indices;
  const void* x;
  uint64_t* keys;  // [lines, padded]
  int64_t lines, inner;
  int64_t count;               // of all keys
  int32_t size, kept, padded;  // of a line; padded is a power of two
  int32_t run, stride;         // of a step, which sorts runs and compares elements a stride apart
  bool descending;
};

struct Search {
  int32_t* out;
  const void *sorted, *values;
  int64_t count, values_of_row;
  int32_t size;
  bool right;
};

}  // namespace firesteel::cuda
