// Matrix products by multiply-adds: out = a b (+ bias), or out += a b, of float32 and bfloat16 in any strides. A block
// of 256 threads handles a tile of 128x128 (8x8 sums for each thread) or of 64x64 (4x4). While one piece of the factors
// is multiplied, the next is on its way through registers. A multiply-add is 2 operations and, in a tile of 128, moves
// 1/8 byte of shared memory. Sums are float32, in an order that the shape alone decides.
#include "multiply_add.h"

using namespace firesteel::cuda;

namespace {

// Adds the parts of every sum, in order.
DEVICE void add_parts(const Product& job) {
  const int64_t count = int64_t(job.matrices) * job.rows * job.columns;
  const int32_t rows = live_rows(job);
  for (int64_t at = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; at < count; at += int64_t(gridDim.x) * blockDim.x) {
    if (rows < job.rows && at / job.columns % job.rows >= rows) continue;
    float sum = 0;
    for (int32_t split = 0; split < job.splits; split++) sum += job.parts[split * count + at];
    finish_sum(job, at, static_cast<int32_t>(at % job.columns), sum);
  }
}

}  // namespace

#define PRODUCT(name, A, B, tile) \
  KERNEL_BY_TWO(name, const __grid_constant__ Product job) { multiply<A, B, tile>(job); }

PRODUCT(matmul_128_float32_float32, float, float, large_tile)
PRODUCT(matmul_64_float32_float32, float, float, small_tile)
PRODUCT(matmul_128_float32_bfloat16, float, bfloat16, large_tile)
PRODUCT(matmul_64_float32_bfloat16, float, bfloat16, small_tile)
PRODUCT(matmul_128_bfloat16_float32, bfloat16, float, large_tile)
PRODUCT(matmul_64_bfloat16_float32, bfloat16, float, small_tile)
PRODUCT(matmul_128_bfloat16_bfloat16, bfloat16, bfloat16, large_tile)
PRODUCT(matmul_64_bfloat16_bfloat16, bfloat16, bfloat16, small_tile)

KERNEL(matmul_add_parts, const __grid_constant__ Product job) { add_parts(job); }
