// Pooling over windows of planes. In forward passes, and in the gradient of averages, a thread computes a result: it
// reads its window, or the windows that cover it, in order. In the gradient of maxima a thread handles a plane and adds
// in the order of windows, because only the forward pass knows the places of maxima.
#include "gpu.h"
#include "windows.h"

using namespace firesteel::cuda;

namespace {

struct Span {
  int32_t first, end, step;
};

DEVICE int32_t at_least(int32_t a, int32_t b) { return a > b ? a : b; }
DEVICE int32_t at_most(int32_t a, int32_t b) { return a < b ? a : b; }

// The rows or columns of window p of `count` that lie inside [0, size).
DEVICE Span span(bool adaptive, int32_t p, int32_t count, int32_t size, int32_t taps, int32_t stride, int32_t padding,
                 int32_t dilation) {
  if (adaptive) {
    const int64_t end = (int64_t(p + 1) * size + count - 1) / count;
    return {static_cast<int32_t>(int64_t(p) * size / count), static_cast<int32_t>(end), 1};
  }
  const int32_t from = p * stride - padding;
  const int32_t outside = from < 0 ? (-from + dilation - 1) / dilation : 0;
  return {from + outside * dilation, at_most(from + (taps - 1) * dilation + 1, size), dilation};
}

DEVICE void maxima(const Pool& job) {
  const Windows& w = job.windows;
  const int64_t count = job.planes * job.P * job.Q;
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < count; n += int64_t(gridDim.x) * 256) {
    const int64_t row = n / job.Q, plane = row / job.P;
    const auto q = static_cast<int32_t>(n - row * job.Q), p = static_cast<int32_t>(row - plane * job.P);
    const Span down = span(job.adaptive, p, job.P, job.H, w.R, w.stride_h, w.padding_h, w.dilation_h);
    const Span right = span(job.adaptive, q, job.Q, job.W, w.S, w.stride_w, w.padding_w, w.dilation_w);
    const float* x = job.x + plane * job.H * job.W;
    float best = -INFINITY;
    int32_t index = -1;
    for (int32_t y = down.first; y < down.end; y += down.step)
      for (int32_t z = right.first; z < right.end; z += right.step) {
        const float value = x[y * job.W + z];
        if (index >= 0 && !(value > best) && (value == value || best != best)) continue;
        best = value;
        index = y * job.W + z;
      }
    job.out[n] = best;
    job.indices[n] = index;
  }
}

// dx must be zeros at first.
DEVICE void maxima_slope(const Pool& job) {
  const int64_t windows = int64_t(job.P) * job.Q, size = int64_t(job.H) * job.W;
  for (int64_t plane = int64_t(blockIdx.x) * 256 + threadIdx.x; plane < job.planes; plane += int64_t(gridDim.x) * 256)
    for (int64_t n = plane * windows; n < (plane + 1) * windows; n++) {
      const int32_t index = job.indices[n];
      if (index >= 0 && index < size) job.out[plane * size + index] += job.x[n];
    }
}

// The divisor of the sum of window (p, q).
DEVICE float divisor_of(const Pool& job, int32_t p, int32_t q) {
  if (job.divisor != 0) return float(job.divisor);
  const Windows& w = job.windows;
  const int32_t top = p * w.stride_h - w.padding_h, left = q * w.stride_w - w.padding_w;
  const int32_t bottom = at_most(top + w.R, job.H + w.padding_h), right = at_most(left + w.S, job.W + w.padding_w);
  if (job.counts_padding) return float(bottom - top) * float(right - left);
  return float(at_most(bottom, job.H) - at_least(top, 0)) * float(at_most(right, job.W) - at_least(left, 0));
}

DEVICE void averages(const Pool& job) {
  const Windows& w = job.windows;
  const int64_t count = job.planes * job.P * job.Q;
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < count; n += int64_t(gridDim.x) * 256) {
    const int64_t row = n / job.Q, plane = row / job.P;
    const auto q = static_cast<int32_t>(n - row * job.Q), p = static_cast<int32_t>(row - plane * job.P);
    const Span down = span(false, p, job.P, job.H, w.R, w.stride_h, w.padding_h, 1);
    const Span right = span(false, q, job.Q, job.W, w.S, w.stride_w, w.padding_w, 1);
    const float* x = job.x + plane * job.H * job.W;
    float sum = 0;
    for (int32_t y = down.first; y < down.end; y++)
      for (int32_t z = right.first; z < right.end; z++) sum += x[y * job.W + z];
    job.out[n] = sum / divisor_of(job, p, q);
  }
}

// The windows that cover position `at`.
DEVICE Span covering(int32_t at, int32_t count, int32_t taps, int32_t stride, int32_t padding) {
  const int32_t last = (at + padding) / stride, before = at + padding - taps;
  return {before < 0 ? 0 : before / stride + 1, at_most(last + 1, count), 1};
}

DEVICE void averages_slope(const Pool& job) {
  const Windows& w = job.windows;
  const int64_t count = job.planes * job.H * job.W;
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < count; n += int64_t(gridDim.x) * 256) {
    const int64_t row = n / job.W, plane = row / job.H;
    const Span down = covering(static_cast<int32_t>(row - plane * job.H), job.P, w.R, w.stride_h, w.padding_h);
    const Span right = covering(static_cast<int32_t>(n - row * job.W), job.Q, w.S, w.stride_w, w.padding_w);
    float sum = 0;
    for (int32_t p = down.first; p < down.end; p++)
      for (int32_t q = right.first; q < right.end; q++)
        sum += job.x[(plane * job.P + p) * job.Q + q] / divisor_of(job, p, q);
    job.out[n] = sum;
  }
}

}  // namespace

KERNEL(pool_maxima, const __grid_constant__ Pool job) { maxima(job); }
KERNEL(pool_maxima_slope, const __grid_constant__ Pool job) { maxima_slope(job); }
KERNEL(pool_averages, const __grid_constant__ Pool job) { averages(job); }
KERNEL(pool_averages_slope, const __grid_constant__ Pool job) { averages_slope(job); }
