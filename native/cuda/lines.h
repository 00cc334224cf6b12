// The arguments of kernels along one dimension: `count` lines of `size` elements. In every operand that is as large as
// x, element i of line l lies at (l / inner) size inner + l % inner + i inner.
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

struct Lines {
  void* out;
  const void *x, *y;
  int64_t count, inner;
  int32_t size;
  int32_t direction;  // of a running sum: 1, or -1 if it starts at the end
  uint64_t* wrong;    // the slot for a result that int32 cannot hold
};

}  // namespace firesteel::cuda
