// The sizes by which a sequence is cut. They stand in a header so that tests find them. Its products use gemm's sizes.
#pragma once
#include "product.h"

namespace firesteel::FIRESTEEL_ISA::recurrent {

// The largest packed recurrent weights, in bytes, that are assumed to stay in the cache of a core, and in a cache that
// cores share.
constexpr int64_t core_cache_bytes = 512 << 10, shared_cache_bytes = 4 << 20;
// Rows of a block if the weights come from farther away.
constexpr int64_t far_rows = 64;
// The least multiply-adds that are worth a tile of their own, and the least packed floats that are worth handing to
// another thread.
constexpr int64_t tile_work = 1 << 18;
constexpr int64_t chunk_floats = 64 << 10;
// The rows (steps x rows of a block) whose input part is computed at once.
constexpr int64_t input_rows = 8 * MR;
// The rows (steps x batch) of the large multiplications of backward, which determine the memory of the gates'
// gradients.
constexpr int64_t rows_at_once = 512;
// The least rows of a block for which the gradient of the input is computed along with that of the state.
constexpr int64_t rows_beside = MR / 2;

}  // namespace firesteel::FIRESTEEL_ISA::recurrent
