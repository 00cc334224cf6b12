// The arguments of the kernels of cross entropy and of negative log likelihood, from the host (loss.cpp) to the device
// (loss.cu).
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

enum LossReduction : int32_t { reduce_none, reduce_mean, reduce_sum };

struct Labels {
  float *out, *statistics, *total;  // backward reads the last two; out is dy there
  void* dlogits;
  const void* logits;  // [rows, classes]
  const int32_t* target;
  const float* weight;  // null: 1 each
  double* losses;       // of rows
  uint64_t* wrong;      // the slot for a label that is out of range
  int64_t rows;
  int64_t inner;  // for negative log likelihood: logits are [N, classes, inner], and there are N inner rows
  int32_t classes, ignore_index;
  bool ignores;  // false if ignoreIndex is not an int32
  float smoothing;
  LossReduction reduction;
};

}  // namespace firesteel::cuda
