// Computes a tile of C on one thread. The outermost loop is over blocks of KC in depth. The next is over panels of B,
// which stay in the first-level cache. The innermost is over panels of A, which come from the second level again and
// again, and calls the micro-kernel. C is read and written once per block of depth.
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

// One block of depth of an operand, cut into panels, either packed or in place.
struct Left {
  const float* data;
  int64_t row, depth, panel;  // strides between rows, steps of depth, panels
  bool pairs = false;
};

struct Right {
  const float* data;
  int64_t depth;
  bool in_place = false;
};

Left packed_left(const float* data, int64_t depth, Panels panels, bool pairs) {
  return {data, 1, panels.rows, panels.rows * depth, pairs};
}

// Only float32 can be read in place.
Left left_in_place(Matrix a, int64_t row, int64_t k, int64_t panel_rows) {
  const float* data = static_cast<const float*>(part_of(a, row, k).data);
  return {data, a.row_stride, a.column_stride, panel_rows * a.row_stride};
}

Right packed_right(const float* data, Panels panels) { return {data, panels.columns}; }

// Only float32 with consecutive columns can be read in place, and only in whole panels.
Right right_in_place(Matrix b, int64_t k, int64_t column) {
  return {static_cast<const float*>(part_of(b, k, column).data), b.row_stride, true};
}

constexpr int64_t line_bytes = 64;
// The number of panels of B before the end of a block of depth at which the next block of A is prefetched. It gives
// each line of that block a step of depth in which to be prefetched.
constexpr int64_t panels_ahead = 3;

// Rows that are needed next, such as those of a panel of B. They are prefetched bit by bit into the second level while
// the multiply-adds go on. They lie so far apart that no hardware prefetches them, or are the lines of a source to be
// packed.
struct Ahead {
  const char* data;
  int64_t stride, bytes;  // bytes between rows, and bytes of a row
  int64_t rows;
};

Ahead panel_ahead(Matrix b, int64_t k, int64_t depth, int64_t column, int64_t width) {
  if (b.dtype >= first_block_dtype) return {};  // blocks have so few bytes that the cache lines come in time
  const int64_t element = b.dtype == DType::bfloat16 ? 2 : 4, steps = b.pairs == Pairs::none ? 1 : 2;
  const char* data = static_cast<const char*>(part_of(b, k, column).data);
  if (b.column_stride == 1) return {data, b.row_stride * element / steps, width * element, depth * steps};
  if (b.row_stride == steps) return {data, b.column_stride * element, depth * steps * element, width};
  return {};
}

Ahead packed_ahead(const float* packed, int64_t floats) {
  return {reinterpret_cast<const char*>(packed), line_bytes, line_bytes, floats * int64_t(sizeof(float)) / line_bytes};
}

void ask_for(Ahead& ahead, int64_t rows) {
  rows = min(rows, ahead.rows);
  for (int64_t i = 0; i < rows; i++, ahead.data += ahead.stride)
    for (int64_t line = 0; line < ahead.bytes; line += line_bytes) __builtin_prefetch(ahead.data + line, 0, 2);
  ahead.rows -= rows;
}

// Gives the kernel of `tile` the lines to prefetch: those of the first of the two that is not finished.
void leave_to_kernel(Tile& tile, Ahead& first, Ahead& second) {
  Ahead& ahead = first.rows > 0 ? first : second;
  if (ahead.rows <= 0) {
    tile.ahead = reinterpret_cast<const char*>(tile.a);  // already in the cache
    tile.ahead_step = 0;
    return;
  }
  tile.ahead = ahead.data;
  tile.ahead_step = ahead.stride;
  ahead.data += tile.depth / asked_steps * ahead.stride;
  ahead.rows -= tile.depth / asked_steps;
}

// Multiplies a panel of B with panels of A. `right` is needed before the next panel of B. `left` is needed some panels
// later, and is prefetched only by the kernel itself.
void multiply_panel(Left a, Right b, int64_t panel_rows, int64_t rows, int64_t columns, int64_t depth, float* c,
                    int64_t ldc, Epilogue epilogue, Ahead right, Ahead& left) {
  // During a single tile, the lines of a whole panel would hold up its own.
  const int64_t rows_a_tile = rows > panel_rows ? ceil_div(right.rows * panel_rows, rows) : 0;
  Tile tile = {
      a.data,        a.row,   a.depth,   b.data, b.depth, c, ldc, panel_rows, columns, depth, epilogue.accumulate,
      epilogue.bias, a.pairs, b.in_place};
  const MicroKernel kernel = find_micro_kernel(tile);
  const bool by_kernel = asks_ahead(tile) && right.bytes <= line_bytes;
  int64_t i = 0;
  for (; i + panel_rows <= rows; i += panel_rows) {
    if (by_kernel)
      leave_to_kernel(tile, right, left);
    else
      ask_for(right, rows_a_tile);
    kernel(tile);
    tile.a += a.panel;
    tile.c += panel_rows * ldc;
  }
  if (i == rows) return;
  tile.rows = rows - i;
  micro_kernel(tile);
}

// The most rows of a tile that reads B in place.
int64_t most_rows_in_place(const Product& p, int64_t panel_rows) {
  using namespace tile_blocks;
  if (p.b.column_stride != 1 || p.b.dtype != DType::float32) return 0;
  if (p.packed_a || p.a.column_stride != 1) return panel_rows;
  if (p.b.row_stride % aliasing_stride == 0) return max(rows_aliasing, panel_rows);
  const bool whole_lines = (p.b.row_stride * int64_t(sizeof(float)) | int64_t(p.b.data)) % line_bytes == 0;
  return whole_lines ? rows_in_place : rows_across_lines;
}

// multiply_tile with panels known to the compiler, so that the room on the stack is no larger than they need.
template <int64_t PanelRows, int64_t PanelColumns>
void multiply_in_panels(const Product& p, int64_t i, int64_t rows, int64_t j, int64_t columns, float* c, int64_t ldc) {
  constexpr Panels cut = {PanelRows, PanelColumns};
  alignas(64) float room[block_depth * PanelColumns];
  // Panels of A in place are about equal, because a last one of a row or two would take the time of three or four.
  const int64_t panel_rows = p.packed_a ? PanelRows : ceil_div(rows, ceil_div(rows, PanelRows));
  const bool in_place = rows <= most_rows_in_place(p, PanelRows);
  const int64_t m_padded = round_up(p.m, PanelRows), n_padded = round_up(p.n, PanelColumns);
  for (int64_t k0 = 0; k0 < p.k; k0 += block_depth) {
    const int64_t depth = min(block_depth, p.k - k0), next_depth = min(block_depth, p.k - k0 - depth);
    const Left left = p.packed_a
                          ? packed_left(p.packed_a + k0 * m_padded + i * depth, depth, cut, p.a.pairs != Pairs::none)
                          : left_in_place(p.a, i, k0, panel_rows);
    Ahead next_left = {};
    const int64_t panels = ceil_div(columns, PanelColumns);
    const int64_t last_panels = j + max(panels - panels_ahead, 0) * PanelColumns;
    for (int64_t column = j; column < j + columns; column += PanelColumns) {
      const int64_t width = min(PanelColumns, j + columns - column), next = column + PanelColumns;
      if (column == last_panels && p.packed_a && next_depth > 0)
        next_left = packed_ahead(p.packed_a + (k0 + depth) * m_padded + i * next_depth, rows * next_depth);
      Right right;
      Ahead next_right = {};
      if (p.packed_b) {
        right = packed_right(p.packed_b + k0 * n_padded + column * depth, cut);
        if (next < j + columns)
          next_right = packed_ahead(p.packed_b + k0 * n_padded + next * depth, PanelColumns * depth);
        else if (next_depth > 0)
          next_right = packed_ahead(p.packed_b + (k0 + depth) * n_padded + j * next_depth, PanelColumns * next_depth);
      } else if (in_place && width == PanelColumns) {
        right = right_in_place(p.b, k0, column);
      } else {
        pack_b_block(room, p.b, k0, depth, column, width, cut);
        right = packed_right(room, cut);
        if (next < j + columns)
          next_right = panel_ahead(p.b, k0, depth, next, min(PanelColumns, j + columns - next));
        else if (next_depth > 0)
          next_right = panel_ahead(p.b, k0 + depth, next_depth, j, min(PanelColumns, columns));
      }
      multiply_panel(left, right, panel_rows, rows, width, depth, c + column - j, ldc,
                     block_epilogue(at_column(p.epilogue, column), k0, p.k), next_right, next_left);
    }
  }
}

}  // namespace

void multiply_tile(const Product& p, int64_t i, int64_t rows, int64_t j, int64_t columns, float* c, int64_t ldc) {
  if (p.panels.columns == wide_columns)
    multiply_in_panels<wide_rows, wide_columns>(p, i, rows, j, columns, c, ldc);
  else
    multiply_in_panels<tile_rows, tile_columns>(p, i, rows, j, columns, c, ldc);
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
