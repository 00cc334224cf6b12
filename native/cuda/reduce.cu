// Sums: out = scale * sum(x) over any dimensions of any strides. Overwrites out. float32 is summed in float64, which is
// hidden behind the memory (one addition for 4 bytes) and needs no care with long sums; int32 wraps around. The order
// of additions is a function of the shape alone.
#include "gpu.h"
#include "index.h"
#include "reduction.h"

using firesteel::cuda::Axes;
using firesteel::cuda::Reduction;

namespace {

constexpr int warps = 8;

template <class Sum>
struct Partials {
  Sum of[warps];
};

DEVICE int64_t place(const Axes& axes, uint32_t index) {
  int64_t at = 0;
  for (int d = 0; d < axes.dims; d++) {
    const uint32_t rest = divide(index, axes.divisors[d]);
    at += (index - rest * axes.divisors[d].size) * axes.strides[d];
    index = rest;
  }
  return at;
}

DEVICE void finish(const Reduction& job, uint32_t output, double sum) {
  static_cast<float*>(job.out)[output] = float(sum * job.scale);
}
DEVICE void finish(const Reduction& job, uint32_t output, uint32_t sum) {
  static_cast<int32_t*>(job.out)[output] = int32_t(sum * uint32_t(job.integer_scale));
}

// A block for each output: thread t sums elements t, t + 256, ..., lanes and warps follow as a tree.
template <class T, class Sum>
DEVICE void sum_by_blocks(const Reduction& job) {
  SHARED(Partials<Sum>, partials);
  for (uint32_t output = blockIdx.x; output < job.kept.count; output += gridDim.x) {
    const T* x = static_cast<const T*>(job.x) + place(job.kept, output);
    Sum sum = 0;
    for (uint32_t i = threadIdx.x; i < job.reduced.count; i += blockDim.x) sum += Sum(x[place(job.reduced, i)]);
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(~0u, sum, lanes);
    if (threadIdx.x % 32 == 0) partials.of[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 1; w < warps; w++) sum += partials.of[w];
      finish(job, output, sum);
    }
    __syncthreads();
  }
}

// A thread for each output: where neighbouring outputs read neighbouring elements.
template <class T, class Sum>
DEVICE void sum_by_threads(const Reduction& job) {
  for (uint32_t output = blockIdx.x * blockDim.x + threadIdx.x; output < job.kept.count;
       output += gridDim.x * blockDim.x) {
    const T* x = static_cast<const T*>(job.x) + place(job.kept, output);
    Sum sum = 0;
    for (uint32_t i = 0; i < job.reduced.count; i++) sum += Sum(x[place(job.reduced, i)]);
    finish(job, output, sum);
  }
}

}  // namespace

KERNEL(sum_by_blocks_float32, const __grid_constant__ Reduction job) { sum_by_blocks<float, double>(job); }
KERNEL(sum_by_blocks_int32, const __grid_constant__ Reduction job) { sum_by_blocks<int32_t, uint32_t>(job); }
KERNEL(sum_by_threads_float32, const __grid_constant__ Reduction job) { sum_by_threads<float, double>(job); }
KERNEL(sum_by_threads_int32, const __grid_constant__ Reduction job) { sum_by_threads<int32_t, uint32_t>(job); }
