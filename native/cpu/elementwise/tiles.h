// Copies between memory that is dense along one dimension and memory that is dense along another: transposes.
//
// Square tiles pass through a small buffer. So every cache line is read once and written once, as a whole, even if the
// distance between rows maps them to few sets of the cache.
#pragma once
#include "../../core/kernel.h"
#include "strided.h"

namespace firesteel::FIRESTEEL_ISA {

// Elements of a chunk of tiles, approximately.
constexpr int64_t tiled_elements = 32768;
constexpr int64_t tile = 32;
// The least rows and columns for which tiles pay, and the least elements for which a transposed input is copied first.
constexpr int64_t least_side = 8;
constexpr int64_t large_transpose = 8192;

// One dimension, seen from both sides.
struct TileAxis {
  int64_t size, to, from;  // strides
};

// Copies one tile: to[r][c] = from[c][r], where rows of `to` and of `from` are dense.
template <class T>
static inline void copy_tile(T* to, int64_t to_stride, const T* from, int64_t from_stride, int64_t rows,
                             int64_t columns) {
  T room[tile][tile];
  for (int64_t c = 0; c < columns; c++) memcpy(room[c], from + c * from_stride, static_cast<size_t>(rows) * sizeof(T));
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) to[r * to_stride + c] = room[c][r];
}

// dst = src, of equal shapes and dtypes. Tiles lie in the two dimensions that are dense on one side, and the others are
// walked. Returns false, having done nothing, if there are no such two, or if the rows are too short for tiles to pay.
template <class T>
static bool copy_in_tiles(Context& context, const View& dst, const View& src) {
  TileAxis axes[max_dims];
  int n = 0, to_row = -1, from_row = -1;
  for (int d = 0; d < dst.ndim; d++) {
    const TileAxis axis = {dst.sizes[d], dst.strides[d], src.strides[d]};
    if (axis.size == 1) continue;
    if (n > 0 && axes[n - 1].to == axis.to * axis.size && axes[n - 1].from == axis.from * axis.size)
      axes[n - 1] = {axes[n - 1].size * axis.size, axis.to, axis.from};
    else
      axes[n++] = axis;
  }
  for (int d = 0; d < n; d++) {
    if (axes[d].to == 1) to_row = d;
    if (axes[d].from == 1) from_row = d;
  }
  if (to_row < 0 || from_row < 0 || to_row == from_row) return false;
  const TileAxis columns = axes[to_row], rows = axes[from_row];
  if (columns.size < least_side || rows.size < least_side) return false;

  const int64_t down = ceil_div(rows.size, tile);
  int64_t planes = 1;
  for (int d = 0; d < n; d++)
    if (d != to_row && d != from_row) planes *= axes[d].size;
  // A unit is a band of tiles across one plane.
  const int64_t units = planes * down, per_unit = columns.size * min(rows.size, tile);
  const int64_t units_a_chunk = dst.count <= 2 * tiled_elements ? units : 1 + tiled_elements / per_unit;
  parallel(context, ceil_div(units, units_a_chunk), [&](int64_t chunk) {
    int64_t end = (chunk + 1) * units_a_chunk;
    if (end > units) end = units;
    for (int64_t unit = chunk * units_a_chunk; unit < end; unit++) {
      T* to = pointer<T>(dst);
      const T* from = pointer<const T>(src);
      int64_t plane = unit / down;
      for (int d = n - 1; d >= 0; d--) {
        if (d == to_row || d == from_row) continue;
        to += plane % axes[d].size * axes[d].to;
        from += plane % axes[d].size * axes[d].from;
        plane /= axes[d].size;
      }
      const int64_t r = unit % down * tile, height = min(rows.size - r, tile);
      for (int64_t c = 0; c < columns.size; c += tile) {
        const int64_t width = min(columns.size - c, tile);
        copy_tile(to + r * rows.to + c, rows.to, from + r + c * columns.from, columns.from, height, width);
      }
    }
  });
  return true;
}

// A reader of a view. A large transposed view is first copied to dense memory, in tiles, because gathering it block by
// block would read each cache line many times.
template <class T>
static Reader<T> open_reader(Context& context, const View& view, int slot) {
  Reader<T> r = make_reader<T>(view, slot);
  if (r.layout != Layout::rows || view.count < large_transpose || r.strides[r.ndim - 1] == 1 ||
      r.strides[r.ndim - 1] == 0)
    return r;
  bool transposed = false;
  for (int d = 0; d < r.ndim; d++) transposed = transposed || r.strides[d] == 1;
  if (!transposed) return r;
  View dense = view;
  int64_t stride = 1;
  for (int d = view.ndim - 1; d >= 0; d--) {
    dense.strides[d] = stride;
    stride *= view.sizes[d];
  }
  dense.data = scratch(context, static_cast<size_t>(view.count) * sizeof(T));
  return copy_in_tiles<T>(context, dense, view) ? make_reader<T>(dense, slot) : r;
}

}  // namespace firesteel::FIRESTEEL_ISA
