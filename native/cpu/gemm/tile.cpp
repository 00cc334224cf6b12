// A tile of C on one thread. Loops, from the outside: blocks of KC in depth; panels of B, which stay in the first-level
// cache; panels of A, which come from the second level again and again; the micro-kernel. C is read and written once
// per block of depth.
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

// One block of depth of an operand, cut into panels: packed, or in place.
struct Left {
  const float* data;
  int64_t row, depth, panel;  // strides between rows, steps of depth, panels
  bool pairs = false;
};

struct Right {
  const float* data;
  int64_t depth;
};

Left packed_left(const float* data, int64_t depth, bool pairs) {
  return {data, 1, tile_rows, tile_rows * depth, pairs};
}

// In place only float32.
Left left_in_place(Matrix a, int64_t row, int64_t k) {
  const float* data = static_cast<const float*>(part_of(a, row, k).data);
  return {data, a.row_stride, a.column_stride, tile_rows * a.row_stride};
}

Right packed_right(const float* data) { return {data, tile_columns}; }

// In place only float32, where columns are consecutive, and for whole panels.
Right right_in_place(Matrix b, int64_t k, int64_t column) {
  return {static_cast<const float*>(part_of(b, k, column).data), b.row_stride};
}

// Rows of a panel of B that are wanted next: asked for bit by bit, into the second level, while the multiply-adds go
// on. They lie far apart, where no hardware looks ahead.
struct Ahead {
  const char* data;
  int64_t stride, bytes;  // between rows, of a row
  int64_t rows;
};

Ahead panel_ahead(Matrix b, int64_t k, int64_t depth, int64_t column, int64_t width) {
  if (b.dtype >= first_block_dtype) return {};  // so few bytes that the cache lines come in time
  const int64_t element = b.dtype == DType::bfloat16 ? 2 : 4, steps = b.pairs == Pairs::none ? 1 : 2;
  const char* data = static_cast<const char*>(part_of(b, k, column).data);
  if (b.column_stride == 1) return {data, b.row_stride * element / steps, width * element, depth * steps};
  if (b.row_stride == steps) return {data, b.column_stride * element, depth * steps * element, width};
  return {};
}

Ahead packed_ahead(const float* panel, int64_t depth) {
  const int64_t bytes = tile_columns * sizeof(float);
  return {reinterpret_cast<const char*>(panel), bytes, bytes, depth};
}

void ask_for(Ahead& ahead, int64_t rows) {
  rows = min(rows, ahead.rows);
  for (int64_t i = 0; i < rows; i++, ahead.data += ahead.stride)
    for (int64_t line = 0; line < ahead.bytes; line += 64) __builtin_prefetch(ahead.data + line, 0, 2);
  ahead.rows -= rows;
}

void multiply_panel(Left a, Right b, int64_t rows, int64_t columns, int64_t depth, float* c, int64_t ldc,
                    Epilogue epilogue, Ahead ahead) {
  const int64_t rows_a_tile = ceil_div(ahead.rows * tile_rows, rows);
  Tile tile = {a.data,        a.row,  a.depth, b.data, b.depth, c, ldc, tile_rows, columns, depth, epilogue.accumulate,
               epilogue.bias, a.pairs};
  const MicroKernel kernel = find_micro_kernel(tile);
  int64_t i = 0;
  for (; i + tile_rows <= rows; i += tile_rows) {
    ask_for(ahead, rows_a_tile);
    kernel(tile);
    tile.a += a.panel;
    tile.c += tile_rows * ldc;
  }
  if (i == rows) return;
  tile.rows = rows - i;
  micro_kernel(tile);
}

}  // namespace

void multiply_tile(const Product& p, int64_t i, int64_t rows, int64_t j, int64_t columns, float* c, int64_t ldc) {
  alignas(64) float room[block_depth * tile_columns];
  const bool in_place = p.b.column_stride == 1 && p.b.dtype == DType::float32 && rows <= few_rows;
  for (int64_t k0 = 0; k0 < p.k; k0 += block_depth) {
    const int64_t depth = min(block_depth, p.k - k0);
    const Left left = p.packed_a ? packed_left(p.packed_a + k0 * round_up(p.m, tile_rows) + i * depth, depth,
                                               p.a.pairs != Pairs::none)
                                 : left_in_place(p.a, i, k0);
    for (int64_t column = j; column < j + columns; column += tile_columns) {
      const int64_t width = min(tile_columns, j + columns - column);
      Right right;
      Ahead ahead = {};
      if (p.packed_b) {
        const float* panel = p.packed_b + k0 * round_up(p.n, tile_columns) + column * depth;
        right = packed_right(panel);
        if (column + tile_columns < j + columns) ahead = packed_ahead(panel + tile_columns * depth, depth);
      } else if (in_place && width == tile_columns) {
        right = right_in_place(p.b, k0, column);
      } else {
        pack_b_block(room, p.b, k0, depth, column, width);
        right = packed_right(room);
        const int64_t next = column + tile_columns;
        if (next < j + columns)
          ahead = panel_ahead(p.b, k0, depth, next, min(tile_columns, j + columns - next));
        else if (k0 + depth < p.k)
          ahead = panel_ahead(p.b, k0 + depth, min(block_depth, p.k - k0 - depth), j, min(tile_columns, columns));
      }
      multiply_panel(left, right, rows, width, depth, c + column - j, ldc,
                     block_epilogue(at_column(p.epilogue, column), k0, p.k), ahead);
    }
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
