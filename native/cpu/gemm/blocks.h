// The sizes by which matrix multiplication is cut, and the shapes from which on it goes another way. They stand in one
// place because native/tests/gemm_blocks.cpp makes its cases of them, below, at and above each: a changed size moves
// its cases along. The tile of the micro-kernel and the depth of a block stand in micro.h. Fixed constants, so that
// bits do not depend on the machine. Sizes count floats, work counts multiply-adds.
#pragma once
#include "micro.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

// With at most so many rows a row-major B is not used often enough to be packed.
constexpr int64_t few_rows = 4 * tile_rows;

// The drivers (multiply.cpp).
namespace multiply_blocks {
constexpr int64_t chunk_work = int64_t(1) << 18;   // a chunk smaller than this costs more to hand over than to do
constexpr int64_t enough_chunks = 48;              // more do not balance better
constexpr int64_t enough_tiles = 16;               // fewer do not occupy the threads
constexpr int64_t even_parts = 4;                  // parts of K come in as many, for as many threads
constexpr int64_t part_depth = 2 * block_depth;    // of a part of K, about
constexpr int64_t parts_depth = 4 * block_depth;   // a smaller K is not cut into parts
constexpr int64_t part_step = 16;                  // the depth of a part is a multiple of it
constexpr int64_t few_columns = 2 * tile_columns;  // up to here A is not used often enough to be packed
// The same where the rows of A are consecutive. What one thread packs for another passes between their caches, and the
// faster multiply-adds of AVX-512 leave less time for that.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t few_columns_of_rows = 24 * tile_columns;
#else
constexpr int64_t few_columns_of_rows = 8 * tile_columns;
#endif
constexpr int64_t tile_width = 16 * tile_columns;    // columns of a tile: its C is seen again for each block of depth
constexpr int64_t tile_to_round = int64_t(1) << 15;  // floats
constexpr int64_t narrow_width = 2 * tile_columns;   // fewer columns do not pay for bringing in a block of A
constexpr int64_t pack_panels = 16;                  // of A or B that a chunk packs
constexpr int64_t least_wide = 8 * wide_columns;     // columns from which on panels are wide
// Rows of a tile whose block of A stays in the second-level cache, and of a tile that reads A in place and packs B for
// itself. That cache has half a megabyte or more on processors with AVX-512, and may have 256 KB on others; panels of B
// and the next block of A want room in it too.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t block_of_a = 48 << 10, block_in_place = 72 << 10;
#else
constexpr int64_t block_of_a = 36 << 10, block_in_place = 72 << 10;
#endif
constexpr int64_t tile_height = block_of_a / block_depth / tile_rows * tile_rows;
constexpr int64_t in_place_height = block_in_place / block_depth / tile_rows * tile_rows;
// With at most so many rows a tile has all of them, because their block of A still has the second-level cache to
// itself. One thread then uses a panel of B, and uses it once, so it packs the panel itself, which saves the way
// through the memory that threads share.
constexpr int64_t whole_height = (108 << 10) / block_depth / tile_rows * tile_rows;
// The floats of A, and those of B, that are packed at a time: a shared last-level cache may keep them beside all else
// that passes through it.
constexpr int64_t packed_limit = int64_t(1) << 20;
}  // namespace multiply_blocks

// Products of a vector and a matrix (vector.cpp).
namespace vector_blocks {
constexpr int64_t chunk_elements = int64_t(1) << 17;
constexpr int64_t widest_rows = 1024;      // sums of one chunk: 4 KB, beside which eight rows fit the first-level cache
constexpr int64_t deepest_columns = 4096;  // x of one chunk: 16 KB
constexpr int64_t rows_at_once = 8;        // of B, where its rows are consecutive
constexpr int64_t columns_at_once = 4;     // of B, where its columns are
constexpr int64_t decoded_part = 512;      // elements of each of these, where B is blocks
// With at most so many rows whole columns of blocks are multiplied where they are decoded; more sums would not fit the
// registers.
constexpr int64_t most_decoded_rows = 4;
constexpr int64_t scales_at_once = 32;  // blocks of these columns whose scales are widened together
}  // namespace vector_blocks

// Packing (pack.cpp).
namespace pack_blocks {
constexpr int64_t transposed_steps = 16;  // of depth, transposed together: a cache line of each line
constexpr int64_t copied_lines = 64;      // side by side, in whole panels: a few cache lines of each row
constexpr int64_t paired_lines = 128;     // the same of pairs of bfloat16
constexpr int64_t decoded_lines = 96;     // the same of blocks
// Floats that are decoded of blocks at a time: 64 steps of depth of the widest panel.
constexpr int64_t decoded_elements = 64 * decoded_lines;
}  // namespace pack_blocks

}  // namespace firesteel::FIRESTEEL_ISA::gemm
