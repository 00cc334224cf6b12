#include "shape.h"

namespace firesteel::FIRESTEEL_ISA::conv {

namespace {

// The limit keeps every product of two of these numbers within 64 bits.
constexpr int64_t limit = int64_t(1) << 31;

bool within(int64_t value, int64_t low) { return value >= low && value < limit; }

bool fits(int64_t length, int64_t taps, int64_t stride, int64_t pad, int64_t dilation, int64_t result) {
  if (!within(length, 0) || !within(taps, 1) || !within(stride, 1) || !within(pad, 0) || !within(dilation, 1))
    return false;
  const int64_t room = length + 2 * pad - dilation * (taps - 1) - 1;
  return room >= 0 && result == room / stride + 1;
}

}  // namespace

bool read_shape(Context& context, const View& x, const View& weight, const View& y, const Window& window,
                Shape& shape) {
  if (!expect(context, x.ndim == 4 && weight.ndim == 4 && y.ndim == 4,
              "convolution: all tensors must have 4 dimensions") ||
      !expect(context, x.dtype == DType::float32 && weight.dtype == DType::float32 && y.dtype == DType::float32,
              "a convolution's tensors are float32"))
    return false;
  if (!expect(context, window.stride.size == 2 && window.padding.size == 2 && window.dilation.size == 2,
              "a convolution's window has 2 dimensions"))
    return false;
  const int64_t G = window.groups;
  const int64_t *stride = window.stride.items, *pad = window.padding.items, *dilation = window.dilation.items;
  if (!expect(context, G >= 1 && weight.sizes[1] >= 1 && weight.sizes[0] >= G && weight.sizes[0] % G == 0,
              "a convolution's weight does not divide into its groups") ||
      !expect(context, x.sizes[0] == y.sizes[0] && x.sizes[1] == G * weight.sizes[1] && y.sizes[1] == weight.sizes[0],
              "a convolution's images or channels differ") ||
      !expect(context,
              fits(x.sizes[2], weight.sizes[2], stride[0], pad[0], dilation[0], y.sizes[2]) &&
                  fits(x.sizes[3], weight.sizes[3], stride[1], pad[1], dilation[1], y.sizes[3]),
              "a convolution's planes do not follow from its window"))
    return false;
  shape = {x.sizes[0],      G,          weight.sizes[1], weight.sizes[0] / G, x.sizes[2], x.sizes[3], weight.sizes[2],
           weight.sizes[3], y.sizes[2], y.sizes[3],      stride[0],           stride[1],  pad[0],     pad[1],
           dilation[0],     dilation[1]};
  return true;
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
