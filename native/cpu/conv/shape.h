// The shape of a convolution, checked once for the three kernels.
//
// Legend, used throughout the family: N images, G groups, C channels in and M channels out of a group, H x W the plane
// of x, R x S the kernel, P x Q the plane of the result; K = C R S is the depth of the forward product.
#pragma once
#include "../../core/kernel.h"
#include "../integers.h"

namespace firesteel::FIRESTEEL_ISA::conv {

struct Shape {
  int64_t N, G, C, M, H, W, R, S, P, Q;
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

struct Window {
  Integers stride, padding, dilation;
  int64_t groups;
};

// Fills `shape` from x [N, G C, H, W], weight [G M, C, R, S] and y [N, G M, P, Q]. Returns false, with the error
// recorded, if they contradict each other or the window.
bool read_shape(Context& context, const View& x, const View& weight, const View& y, const Window& window, Shape& shape);

}  // namespace firesteel::FIRESTEEL_ISA::conv
