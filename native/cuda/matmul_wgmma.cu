// Matrix products of bfloat16 on Hopper, whose factors' neighbours lie along the depth: tiles of 128x128 or 128x256.
// One warpgroup brings pieces of both factors by bulk copies into a ring of stages, and two warpgroups multiply 64 rows
// each. For each stage, one barrier tells that it is full, and another that nobody reads it any more.
#include "product_tile.h"
#include "warpgroups.h"
#include "wide_product.h"

using namespace firesteel::cuda;

namespace {

#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Goes round the stages. The parity is that of the phase in which the barriers of this round's stage are.
struct Ring {
  int stage = 0, parity = 0;
  DEVICE void next() {
    stage = stage == wide_stages - 1 ? 0 : stage + 1;
    if (stage == 0) parity ^= 1;
  }
};

template <int columns>
DEVICE void bring(const WideProduct& job, const Part& part, WideStages<columns>& shared) {
  Ring ring;
  for (int32_t k = part.first; k < part.end; k += wide_deep, ring.next()) {
    WideStage<columns>& stage = shared.of[ring.stage];
    uint64_t* full = &shared.full[ring.stage];
    // In the first round the phase before the first one counts as over.
    wait_phase(&shared.empty[ring.stage], ring.parity ^ 1);
    expect_bytes(full, static_cast<int>(sizeof stage));
    copy_tile(stage.a, &job.a, full, k, part.row);
    copy_tile(stage.b, &job.b, full, k, part.column);
  }
}

template <int columns>
DEVICE void use(const Part& part, int row, WideStages<columns>& shared, float (&sums)[columns / 2]) {
  Ring ring;
#pragma unroll 1
  for (int32_t k = part.first; k < part.end; k += wide_deep, ring.next()) {
    const WideStage<columns>& stage = shared.of[ring.stage];
    wait_phase(&shared.full[ring.stage], ring.parity);
    begin_products();
#pragma unroll
    for (int step = 0; step < wide_deep; step += 16)
      add_products(sums, operand_at(stage.a + row * wide_deep + step), operand_at(stage.b + step));
    commit_products();
    wait_products<0>();
    if (threadIdx.x % 32 == 0) arrive(&shared.empty[ring.stage]);
  }
}

template <int columns>
DEVICE void write(const Product& job, const Part& part, int row, const float (&sums)[columns / 2]) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32 % 4);
  const int32_t first = part.row + row + 16 * warp + lane / 4, column = part.column + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < columns / 8; j++) {
    const Sums<2> bias = bias_from<2>(job, column + 8 * j);
#pragma unroll
    for (int h = 0; h < 2; h++)
      write_sums(job, part, first + 8 * h, column + 8 * j, Sums<2>{{sums[4 * j + 2 * h], sums[4 * j + 2 * h + 1]}},
                 bias);
  }
}

template <int columns>
DEVICE void multiply(const WideProduct& job) {
  DYNAMIC_SHARED(WideStages<columns>, shared);
  const Part part = part_of(job.product, wide_rows, columns);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < wide_stages; stage++) {
      start_barrier(&shared.full[stage], 1);
      // One lane of each warp that multiplies arrives.
      start_barrier(&shared.empty[stage], 8);
    }
    publish_barriers();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    give_registers<40>();
    if (threadIdx.x == 0) bring(job, part, shared);
  } else {
    take_registers<232>();
    const int row = static_cast<int>(threadIdx.x / 128 - 1) * 64;
    float sums[columns / 2] = {};
    use(part, row, shared, sums);
    write<columns>(job.product, part, row, sums);
  }
}

#else

template <int columns>
DEVICE void multiply(const WideProduct&) {
  __trap();
}

#endif

}  // namespace

KERNEL_OF_WARPGROUPS(matmul_wgmma_128, const __grid_constant__ WideProduct job) { multiply<128>(job); }
KERNEL_OF_WARPGROUPS(matmul_wgmma_256, const __grid_constant__ WideProduct job) { multiply<256>(job); }
