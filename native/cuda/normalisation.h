// The arguments of the kernels of normalisation, from the host (norm.cpp) to the device (norm.cu). x is `rows` rows of
// `columns` elements that are normalised together, or [images, channels, length] for the kernels of channels.
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

// The number of rows over which dw and db are summed first.
constexpr int rows_of_part = 64;

struct Normalisation {
  float *out, *mean, *rstd;  // mean is null for RMS norm
  const float *x, *dy, *weight, *bias;
  float *dweight, *dbias;  // null if not wanted
  float* parts;            // [2, parts, columns]: of dweight, of dbias
  float *running_mean, *running_var;
  int64_t rows;
  int32_t columns;
  // The number of neighbours that share a weight, and the number of groups of channels: row r has the weights of group
  // r % groups.
  Divisor length;
  int32_t groups;
  int32_t images, channels;
  double eps, momentum;
  bool training;
};

}  // namespace firesteel::cuda
