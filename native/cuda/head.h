// The arguments of the kernels of the fused head, from the host (loss_head.cpp) to the device (loss_head.cu): a group
// of the rows that count, and its logits.
#pragma once
#include <stdint.h>

#include "labels.h"

namespace firesteel::cuda {

struct Head {
  // Rows, classes, labels and statistics are those of all rows. `out` is dy, which holds the gradient of each row's
  // loss if each row has its own.
  Labels labels;
  int32_t* rows;     // the numbers of the rows that count, in order
  int32_t* count;    // the number of rows that count
  int32_t first;     // the group's first row, among these
  int32_t together;  // the number of rows that the group has room for
  float* logits;     // [together, classes]
  void* dlogits;     // [together, stride], float32 (then it is logits) or bfloat16; null if not wanted
  int64_t stride;
  float softcap;  // 0: none

  // Rows that are copied between [rows, width] and [together, width], or added up to [width].
  void* to;
  const void* from;
  int64_t width;
  bool begins;  // whether this is the first group, whose sums replace what is there
};

// Elements that are converted between float32 and bfloat16.
struct Converted {
  void* to;
  const void* from;
  int64_t count;
};

}  // namespace firesteel::cuda
