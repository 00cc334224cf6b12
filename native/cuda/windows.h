// The arguments of the kernels of convolution and pooling, from the host (conv.cpp, pool.cpp) to the device (conv.cu,
// pool.cu). Planes of H x W have P x Q windows of R x S taps.
#pragma once
#include <stdint.h>

#include "divisor.h"

namespace firesteel::cuda {

struct Windows {
  int32_t R, S;
  int32_t stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
};

// The matrix of patches: an element for each tap of each window of each plane.
struct Patches {
  float* image;    // [images, channels, H, W]
  float* patches;  // gathered [channels, R, S, images, P, Q], added [images, channels, R, S, P, Q]
  int64_t count;   // of what is written
  int32_t channels;
  Windows windows;
  Divisor images, H, W, P, Q, R, S;
};

// Of the results of a convolution [images, channels, plane]: bias and ReLU.
struct Finish {
  float* out;
  const float* bias;
  int64_t count;
  Divisor channels, plane;
  bool relu;
};

struct Pool {
  float* out;  // dx of backward passes
  int32_t* indices;
  const float* x;  // dy of backward passes
  int64_t planes;
  int32_t H, W, P, Q;
  Windows windows;
  bool adaptive, counts_padding;
  int32_t divisor;  // 0: the elements of the window that count
};

}  // namespace firesteel::cuda
