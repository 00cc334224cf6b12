// The parts of convolution beside its matrix products. They gather patches of images side by side, add patches'
// gradients to an image (in the order of taps, without atomic additions), and apply bias and ReLU. They are bound by
// memory. Each thread has an element.
#include "index.h"
#include "windows.h"

using namespace firesteel::cuda;

namespace {

// Splits the last of the positions off `index`, which counts all of them.
DEVICE int32_t take(uint32_t* index, const Divisor& by) {
  const uint32_t rest = divide(*index, by);
  const auto position = static_cast<int32_t>(*index - rest * by.size);
  *index = rest;
  return position;
}

DEVICE void gather(const Patches& job) {
  const Windows& w = job.windows;
  const auto H = static_cast<int32_t>(job.H.size), W = static_cast<int32_t>(job.W.size);
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < job.count; n += int64_t(gridDim.x) * 256) {
    uint32_t rest = static_cast<uint32_t>(n);
    const int32_t q = take(&rest, job.Q), p = take(&rest, job.P);
    const int32_t image = take(&rest, job.images), s = take(&rest, job.S), r = take(&rest, job.R);
    const int64_t plane = int64_t(image) * job.channels + rest;
    const int32_t y = p * w.stride_h - w.padding_h + r * w.dilation_h;
    const int32_t x = q * w.stride_w - w.padding_w + s * w.dilation_w;
    const bool inside = y >= 0 && y < H && x >= 0 && x < W;
    job.patches[n] = inside ? job.image[(plane * H + y) * W + x] : 0.0f;
  }
}

// The position of the window whose tap at `offset` lies at `at`, or -1 if there is none.
DEVICE int32_t window_at(int32_t at, int32_t padding, int32_t offset, int32_t stride, uint32_t count) {
  const int32_t from = at + padding - offset;
  if (from < 0 || from % stride != 0) return -1;
  return from / stride < static_cast<int32_t>(count) ? from / stride : -1;
}

DEVICE void add(const Patches& job) {
  const Windows& w = job.windows;
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < job.count; n += int64_t(gridDim.x) * 256) {
    uint32_t rest = static_cast<uint32_t>(n);
    const int32_t x = take(&rest, job.W), y = take(&rest, job.H);
    const int64_t plane = rest;
    float sum = 0;
    for (int32_t r = 0; r < w.R; r++) {
      const int32_t p = window_at(y, w.padding_h, r * w.dilation_h, w.stride_h, job.P.size);
      if (p < 0) continue;
      const int64_t first = (plane * w.R + r) * w.S;
#pragma unroll 1
      for (int32_t s = 0; s < w.S; s++) {
        const int32_t q = window_at(x, w.padding_w, s * w.dilation_w, w.stride_w, job.Q.size);
        if (q >= 0) sum += job.patches[((first + s) * job.P.size + p) * job.Q.size + q];
      }
    }
    job.image[n] = sum;
  }
}

DEVICE void finish(const Finish& job) {
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < job.count; n += int64_t(gridDim.x) * 256) {
    const uint32_t row = divide(static_cast<uint32_t>(n), job.plane);
    const uint32_t channel = row - divide(row, job.channels) * job.channels.size;
    float value = job.out[n];
    if (job.bias) value += job.bias[channel];
    job.out[n] = job.relu && value < 0 ? 0.0f : value;
  }
}

}  // namespace

KERNEL(conv_gather, const __grid_constant__ Patches job) { gather(job); }
KERNEL(conv_add, const __grid_constant__ Patches job) { add(job); }
KERNEL(conv_finish, const __grid_constant__ Finish job) { finish(job); }
