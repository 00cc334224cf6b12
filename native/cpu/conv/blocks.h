// The block sizes of the family's kernels, and the shapes at which they change their method. They stand in one place
// because native/tests/conv.cpp tests cases below, at and above each of them; the cases follow when a number changes.
#pragma once
#include <numeric>

#include "../gemm/micro.h"
#include "shape.h"
#include "winograd_tile.h"

namespace firesteel::FIRESTEEL_ISA::conv {

// Sizes by which work is cut (work.h).

// The least work of a chunk: elements to pack, and multiply-adds.
constexpr int64_t pack_chunk = int64_t(1) << 14;
constexpr int64_t multiply_chunk = int64_t(1) << 18;
// The number of chunks that keeps many threads busy to the end.
constexpr int64_t enough_chunks = 32;
// Rows in parts are a multiple of this, so that they are whole panels, usual or wide.
constexpr int64_t whole_rows = std::lcm(gemm::tile_rows, gemm::wide_rows);
// The least number of rows in a part of the result. Each part packs the patches anew.
constexpr int64_t least_part_rows = 4 * gemm::tile_rows;
// Floats of packed rows that stay in the second-level cache. The larger number is for processors with AVX-512, which
// have a megabyte of it.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t most_kept = int64_t(128) << 10, kept_part = int64_t(72) << 10;
#else
constexpr int64_t most_kept = int64_t(56) << 10, kept_part = int64_t(36) << 10;
#endif

// The implicit product (product.cpp), and how the gradient of the input uses it.
namespace product_blocks {
// The most rows of a result for which packing does not pay.
constexpr int64_t few_rows = 4;
// From this many rows on, multiplying a panel takes as long as fetching the elements of the next.
constexpr int64_t many_rows = 16 * gemm::tile_rows;
// Positions of a block. A packed block of patches of depth block_depth takes half the second-level cache.
constexpr int64_t block_positions = 256, wide_block_positions = 6 * gemm::wide_columns;
// Panels are wide unless that adds more than this share to the positions that are computed, full panels or not. The
// kernel of wide panels saves up to a tenth where loads are slow.
constexpr int64_t wide_share = 24;
// The unpacked product reads its tile from the first-level cache once for each tap. A smaller depth makes room for more
// rows of positions, which share more of the rows they read.
constexpr int64_t few_depth = 64, few_floats = 6144;
// Rows of all phases' results that are kept for a block if its tile is filled once for all phases.
constexpr int64_t most_shared_rows = 256;
}  // namespace product_blocks

// The number of rows of results that the sweep (sweep.cpp) computes together.
constexpr int64_t sweep_rows = 4;

// The gradient of the weight (weight_gradient.cpp).
namespace weight_blocks {
// Columns that use a packed block of dy, and its rows, which stay in the second-level cache meanwhile.
constexpr int64_t wanted_columns = 512, wanted_rows = 256;
// The most channels out of a group for which the depthwise kernel is used. The sweep (sweep.h) takes any number.
constexpr int64_t few_rows = 4;
// The most positions of a block. At this number a panel of both operands fills three quarters of the first-level cache.
constexpr int64_t most_depth = gemm::block_depth * 9 / 8;
// Panels of columns that stay packed while blocks of rows (kept_rows) pass by.
constexpr int64_t kept_panels = 256 / gemm::tile_columns;
// A slice is so deep that writing and adding its sums is little work beside its product. But there must be some items.
constexpr int64_t blocks_of_slice = 4, least_items = 8;
// The number of slices of depth of the depthwise kernel, and the most positions of a block.
constexpr int64_t most_plane_slices = 64, most_plane_depth = 4 * 1024;
// Room for partial sums, in floats.
constexpr int64_t most_partial = int64_t(1) << 23;

// Channels of a block.
static inline int64_t channels_of_block(int64_t taps) {
  return round_up(ceil_div(wanted_columns, taps), gemm::tile_columns);
}
}  // namespace weight_blocks

// The product of Winograd's algorithm (winograd_product.cpp).
namespace winograd_blocks {
// Floats of a block of tiles, transformed, and of its products, which stay in the second-level cache. The filters
// stream by, so some tiles should use them.
constexpr int64_t block_floats = 96 * 1024;
constexpr int64_t least_tiles = 2 * gemm::tile_columns, most_tiles = 8 * gemm::tile_columns;
// The least rows of a part of M. Each part transforms the tiles anew.
constexpr int64_t part_rows = 8 * gemm::tile_rows;
// Tiles that the direct sum (winograd_direct.cpp) takes at a time, which fill about a block of depth.
constexpr int64_t direct_tiles = 16;
}  // namespace winograd_blocks

// The gradient of the weight by Winograd's algorithm (winograd_weight.cpp).
namespace winograd_weight_blocks {
// The tiles of a strip, which is a piece of a row of tiles. A strip of a panel's channels stays in the first-level
// cache.
constexpr int64_t strip_tiles = 8;
// The floats of a slab, which the last-level cache keeps from its transformation to its multiplication.
constexpr int64_t slab_floats = int64_t(3) << 20;
// The floats of a block's operands and of its slice's sums, which stay in the second-level cache (processors with
// AVX-512 have a megabyte of it); the least tiles of a block, because fewer would read and write the sums too often;
// and the number of slices.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t block_floats = int64_t(208) << 10;
#else
constexpr int64_t block_floats = int64_t(96) << 10;
#endif
constexpr int64_t least_block = 32, most_slices = 16;
// Rows of an item, whose panels stay in the second-level cache.
constexpr int64_t part_rows = 16 * gemm::tile_rows;

// Floats of a tile's operands and of an element's sums.
static inline int64_t tile_floats(int64_t M, int64_t C) {
  return winograd_elements * (round_up(M, gemm::tile_rows) + round_up(C, gemm::tile_columns));
}
static inline int64_t sum_floats(int64_t M, int64_t C) { return off_page(M * round_up(C, gemm::tile_columns)); }

// The number of tiles that leave room for the sums in the second-level cache.
static inline int64_t block_tiles(int64_t M, int64_t C) {
  return min((block_floats - winograd_elements * sum_floats(M, C)) / tile_floats(M, C), gemm::block_depth);
}
static inline bool few_channels(int64_t M, int64_t C) { return block_tiles(M, C) >= least_block; }

// The most tiles that one thread, or all threads, transform at a time.
static inline int64_t slab_tiles(int64_t M, int64_t C) {
  return few_channels(M, C) ? block_tiles(M, C) / strip_tiles * strip_tiles
                            : max(1, slab_floats / (tile_floats(M, C) * gemm::block_depth)) * gemm::block_depth;
}
}  // namespace winograd_weight_blocks

}  // namespace firesteel::FIRESTEEL_ISA::conv
