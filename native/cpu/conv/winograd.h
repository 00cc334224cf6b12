// Convolutions of 3 x 3 taps, stride 1, by Winograd's minimal filtering F(4 x 4, 3 x 3): a tile of 4 x 4 results takes
// 36 multiplications a channel instead of 144 (A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks",
// CVPR 2016). With d a tile of 6 x 6 of the source, g a filter of 3 x 3:
//
//   result = A^T [ (G g G^T) * (B^T d B) ] A           * element by element, summed over the channels
//
// so that for each of the 36 elements the sum is a product of matrices, [tiles, channels] x [channels, M]. The gradient
// of the weight is the same bilinear form seen from g: G^T [ (A dy A^T) * (B^T d B) ] G, summed over the tiles.
//
// The polynomials are interpolated at 0, +-3/4, +-3/2 and infinity. The usual points 0, +-1, +-2 give constants in A
// with a ratio of up to 8 to 1, and errors that are four to five times as large. Here all constants of A and B are
// exact in float32, and the maximum error is 2 to 3 times that of the direct sum (B. Barabasz et al., "Error Analysis
// and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2020, on the choice of points).
// Compared with a direct sum in many parallel partial sums the error is ten times as large: 4e-6 of the largest result.
//
// The size of that error follows everything that a tile holds, not what a result reads. One infinity, or one element a
// million times as large as the others, would spoil results that do not read it. So the direct sum (winograd_direct.h)
// takes a tile if its energy is not finite, or more than 256 times the energy of the elements that one of its results
// reads (winograd_range.h). All tiles are left to it if a filter is not finite. The gradient of the weight sums over
// tiles, so such tiles are taken out of its operands, and added at the end. The rule is a function of the data and the
// shape, so that bits do not depend on threads. No result's error exceeds about eight times that of even data.
//
// Tiles are numbered across all images, so that narrow planes and single rows of tiles fill the products as well as
// large planes do. A tile at a border reads zeros beyond it, and writes nothing there.
#pragma once
#include "shape.h"

namespace firesteel::FIRESTEEL_ISA::conv {

// One convolution of a source [N, G channels, H, W] to [N, G M, P, Q]. Result (p, q) reads the 3 x 3 elements of the
// source from (p + offset_h, q + offset_w) on.
struct WinogradProduct {
  int64_t N, G, channels, M, H, W, P, Q, offset_h, offset_w;
  // The filter of result row m and channel c of a group: 9 elements at weights + m * row_stride + c * channel_stride,
  // read backwards if `flipped`. Groups are group_stride apart.
  const float* weights;
  int64_t row_stride, channel_stride, group_stride;
  bool flipped;
  const float* bias;  // [G M] or null
  bool relu;
};

// Whether the algorithm applies and costs less than the direct sum: a function of the shape alone (winograd_cost.cpp).
bool winograd_product_pays(const Shape& s, int64_t channels, int64_t M, int64_t P, int64_t Q);
bool winograd_weight_gradient_pays(const Shape& s);

// Both overwrite their result.
void winograd_product(Context& context, const WinogradProduct& product, const float* source, float* result);
void winograd_weight_gradient(Context& context, const Shape& s, float* dweight, const float* dy, const float* x);

}  // namespace firesteel::FIRESTEEL_ISA::conv
