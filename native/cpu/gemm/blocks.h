// The sizes by which matrix multiplication is cut, and the shapes at which it changes its method. They stand in one
// place because native/tests/gemm_blocks.cpp tests cases below, at and above each of them; the cases follow when a size
// changes. The tile of the micro-kernel and the depth of a block stand in micro.h. All are fixed constants, so that
// bits do not depend on the machine. Sizes count floats, and work counts multiply-adds.
#pragma once
#include "../integers.h"
#include "micro.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

// The most rows with which a row-major B is not used often enough to be packed.
constexpr int64_t few_rows = 4 * tile_rows;

// Tiles (tile.cpp): the most rows of a tile that reads B in place several times, once for each panel of rows. Both A
// and B must lie row by row. The micro-kernels for AVX-512 and AVX2 prefetch rows of B as they go. Others read B in
// place only once.
namespace tile_blocks {
#if defined(FIRESTEEL_MICRO_AVX512) || defined(FIRESTEEL_MICRO_AVX2)
constexpr int64_t rows_in_place = 8 * tile_rows;
constexpr int64_t rows_across_lines = 4 * tile_rows;  // if vectors of B lie across cache lines, which take two loads
constexpr int64_t rows_aliasing = 2 * wide_rows;      // if B's row stride is a multiple of aliasing_stride
#else
constexpr int64_t rows_in_place = tile_rows, rows_across_lines = tile_rows, rows_aliasing = tile_rows;
#endif
// Rows that are so many floats apart share few sets of the second-level cache. The cache then does not hold a panel of
// B until the next panel of rows uses it.
constexpr int64_t aliasing_stride = 2048;
}  // namespace tile_blocks

// The drivers (multiply.cpp).
namespace multiply_blocks {
constexpr int64_t chunk_work = int64_t(1) << 18;  // handing over a smaller chunk costs more than doing it
constexpr int64_t enough_chunks = 48;             // more do not balance better
constexpr int64_t enough_tiles = 16;              // fewer do not occupy the threads
// The number of parts of K is a multiple of this, for as many threads
constexpr int64_t even_parts = 4;
constexpr int64_t part_depth = 2 * block_depth;    // approximate depth of a part of K
constexpr int64_t parts_depth = 4 * block_depth;   // a smaller K is not cut into parts
constexpr int64_t part_step = 16;                  // the depth of a part is a multiple of it
constexpr int64_t few_columns = 2 * tile_columns;  // with at most this many, A is not used often enough to be packed
// The same if the rows of A are consecutive. Data that one thread packs for another pass between their caches, and the
// faster multiply-adds of AVX-512 leave less time for that.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t few_columns_of_rows = 24 * tile_columns;
#else
constexpr int64_t few_columns_of_rows = 8 * tile_columns;
#endif
// Steps of depth of A that are a multiple of so many floats apart share a set of the first-level cache, and evict one
// another before the rows beside use the same lines. Then more than one panel of B pays for packing.
constexpr int64_t aliasing_steps = 1024;
// The floats of A, of consecutive columns, that one thread may read in place. More come from the memory, which is slow
// at lines that are far apart.
constexpr int64_t near_in_place = int64_t(1) << 18;
constexpr int64_t tile_width = 16 * tile_columns;    // columns of a tile, whose C is used again by each block of depth
constexpr int64_t tile_to_round = int64_t(1) << 15;  // floats
constexpr int64_t narrow_width = 2 * tile_columns;   // with fewer columns, fetching a block of A does not pay
constexpr int64_t pack_panels = 16;                  // panels of A or B that a chunk packs
constexpr int64_t least_wide = 8 * wide_columns;     // the least columns for which panels are wide
// Rows of a tile whose block of A stays in the second-level cache, and rows of a tile that reads A in place and packs B
// for itself. That cache has half a megabyte or more on processors with AVX-512, and may have 256 KB on others. Panels
// of B and the next block of A need room in it too.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t block_of_a = 48 << 10, block_in_place = 72 << 10;
#else
constexpr int64_t block_of_a = 36 << 10, block_in_place = 72 << 10;
#endif
constexpr int64_t tile_height = block_of_a / block_depth / tile_rows * tile_rows;
constexpr int64_t in_place_height = block_in_place / block_depth / tile_rows * tile_rows;
// A tile with at most this many rows takes all of them, because their block of A still has the second-level cache to
// itself. Then only one thread uses a panel of B, and only once. So it packs the panel itself, and the panel does not
// pass through the memory that threads share.
constexpr int64_t whole_height = (108 << 10) / block_depth / tile_rows * tile_rows;
// The floats of A, and those of B, that are packed at a time. A shared last-level cache may keep them beside all other
// data that pass through it.
constexpr int64_t packed_limit = int64_t(1) << 20;
}  // namespace multiply_blocks

// Products of a vector and a matrix (vector.cpp).
namespace vector_blocks {
constexpr int64_t chunk_elements = int64_t(1) << 17;
// The same for consecutive columns, whose chunks do not affect the order of a sum. Each thread takes a few of them, so
// that all end together. A chunk is as long as that allows, because memory arrives slowly where one begins.
constexpr int64_t column_chunks = 4;  // of each thread
constexpr int64_t least_column_elements = int64_t(1) << 13, most_column_elements = int64_t(1) << 19;
inline int64_t chunk_columns(Context& context, int64_t n, int64_t k) {
  const int64_t share = ceil_div(n, column_chunks * thread_count(context));
  return max(min(max(share, least_column_elements / k), most_column_elements / k), 1);
}
constexpr int64_t widest_rows = 1024;      // sums of one chunk: 4 KB, so that eight rows also fit the first-level cache
constexpr int64_t deepest_columns = 4096;  // elements of x in one chunk: 16 KB
constexpr int64_t rows_at_once = 8;        // rows of B, if its rows are consecutive
constexpr int64_t columns_at_once = 4;     // columns of B, if its columns are consecutive
constexpr int64_t decoded_part = 512;      // elements of each of these, if B has blocks
// With at most this many rows, whole columns of blocks are multiplied as soon as they are decoded. More sums would not
// fit the registers.
constexpr int64_t most_decoded_rows = 4;
constexpr int64_t scales_at_once = 128;  // blocks of one column whose scales are widened together
constexpr int64_t decoded_bytes_ahead = 4096;
// Hardware does not prefetch beyond the end of a column, where the next columns begin. So the code prefetches the same
// place of the next columns, unless it is so far away that the first-level cache would lose it again.
constexpr int64_t bytes_ahead = 1024, most_bytes_ahead = 16384;
inline int64_t prefetched(int64_t next_columns) { return next_columns < most_bytes_ahead ? next_columns : bytes_ahead; }
constexpr int64_t line_bytes = 64;  // of a cache
}  // namespace vector_blocks

// Packing (pack.cpp).
namespace pack_blocks {
constexpr int64_t transposed_steps = 16;  // steps of depth transposed together: one cache line of each line
constexpr int64_t copied_lines = 64;      // lines copied side by side, in whole panels: a few cache lines of each row
constexpr int64_t paired_lines = 128;     // the same for pairs of bfloat16
constexpr int64_t decoded_lines = 96;     // the same for blocks
// Floats that are decoded from blocks at a time, which are 64 steps of depth of the widest panel.
constexpr int64_t decoded_elements = 64 * decoded_lines;
}  // namespace pack_blocks

}  // namespace firesteel::FIRESTEEL_ISA::gemm
