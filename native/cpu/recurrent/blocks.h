// The sizes by which a sequence is cut. They stand in a header so that tests find them. Those of its products are
// gemm's.
#pragma once
#include "product.h"

namespace firesteel::FIRESTEEL_ISA::recurrent {

// The sizes up to which packed recurrent weights are assumed to stay in the cache of a core, and in a cache that cores
// share.
constexpr int64_t core_cache_bytes = 512 << 10, shared_cache_bytes = 4 << 20;
// Rows of a block whose weights come from farther away.
constexpr int64_t far_rows = 64;
// Multiply-adds below which a tile is not worth a ticket of its own, and floats packed below which a chunk is not worth
// handing to another thread.
constexpr int64_t tile_work = 1 << 18;
constexpr int64_t chunk_floats = 64 << 10;
// The rows (steps x rows of a block) for which the input's part is computed at once.
constexpr int64_t input_rows = 8 * MR;
// Rows (steps x batch) of the large multiplications of backward, and so of the memory that the gates' gradients need.
constexpr int64_t rows_at_once = 512;
// Rows of a block from which on the gradient of the input is made beside that of the state.
constexpr int64_t rows_beside = MR / 2;

}  // namespace firesteel::FIRESTEEL_ISA::recurrent
