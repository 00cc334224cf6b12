// The arguments of the kernels of convolution and pooling, from the host (conv.cpp, pool.cpp) to the device (conv.cu,
// pool.cu). A plane of H x W elements has P x Q windows of R x S taps.
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

struct Windows {
  int32_t R, S;
  int32_t stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
};

// The matrix of patches, which has an element for each tap of each window of each plane.
struct Patches {
  float* image;    // [images, channels, H, W]
  float* patches;  // to be gathered: [channels, R, S, images, P, Q]; to be added: [images, channels, R, S, P, Q]
  int64_t count;   // of the elements to write
  int32_t channels;
  Windows windows;
  Divisor images, H, W, P, Q, R, S;
};

// The arguments for the results of a convolution, [images, channels, plane]: bias and ReLU.
struct Finish {
  float* out;
  const float* bias;
  int64_t count;
  Divisor channels, plane;
  bool relu;
};

struct Pool {
  float* out;  // dx in backward passes
  int32_t* indices;
  const float* x;  // dy in backward passes
  int64_t planes;
  int32_t H, W, P, Q;
  Windows windows;
  bool adaptive, counts_padding;
  int32_t divisor;  // 0: the number of the window's elements that count
};

}  // namespace firesteel::cuda
