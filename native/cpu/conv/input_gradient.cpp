// conv2d_input_gradient: dx = weight^T * dy, overwritten. 2 N G M K P Q operations, and strides need no more. A phase
// is the positions of x that are equal modulo the stride. They read dy through the same taps, one step apart, so each
// phase is a convolution of dy with stride 1 and a part of the kernel, flipped (product.h). Phases that no tap reaches
// are zero.
//
// No two items add to the same place of dx: one item computes each element, in a fixed order.
#include <string.h>

#include "../../generated/kernels.h"
#include "../rooms.h"
#include "product.h"
#include "winograd.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA {

using namespace conv;

namespace {

// A phase along one axis: the positions residue, residue + stride, ... of x, and the taps through which they read dy.
struct Phase {
  int64_t residue, count;  // count of positions
  Axis axis;               // over dy
  const int64_t* taps;     // of the kernel, by index in axis.offsets
};

// Finds the phases that a tap reaches, at most one for each tap, and returns their number. `tables` holds 2 * taps
// integers.
int64_t find_phases(Phase* phases, int64_t* tables, int64_t length, int64_t taps, int64_t stride, int64_t pad,
                    int64_t dilation, int64_t source) {
  int64_t found = 0;
  for (int64_t first = 0; first < taps; first++) {
    // Tap t brings position i of x from position (i + pad - t * dilation) / stride of dy, if that is an integer.
    const int64_t residue = ((first * dilation - pad) % stride + stride) % stride;
    bool known = residue >= length;
    for (int64_t f = 0; f < found; f++) known |= phases[f].residue == residue;
    if (known) continue;
    int64_t *offsets = tables, *index = tables + taps, count = 0;
    for (int64_t t = first; t < taps; t++) {
      const int64_t distance = residue + pad - t * dilation;
      if (distance % stride != 0) continue;
      offsets[count] = distance / stride;
      index[count++] = t;
    }
    phases[found++] = {residue, ceil_div(length - residue, stride), {source, 1, count, offsets}, index};
    tables += count;
  }
  return found;
}

// One phase of rows with one of columns.
struct Part {
  const Phase *rows, *columns;
  float* weights;  // packed, of all groups
  int64_t group_floats;
};

void pack_part(Context& context, const Part& part, const Product& p, const float* weight, const Shape& s) {
  const int64_t taps = p.rows.taps * p.columns.taps;
  int64_t* index = scratch_of<int64_t>(context, p.depth);
  for (int64_t k = 0; k < p.depth; k++)
    index[k] = (k / taps * s.C * s.R + part.rows->taps[k % taps / p.columns.taps]) * s.S +
               part.columns->taps[k % p.columns.taps];
  const Parts rows = cut_rows(s.C, max(1, pack_chunk / p.depth));
  const Chunks work = full_chunks(s.G * rows.count, rows.size * p.depth, pack_chunk);
  for_items(context, work, [&](int64_t item) {
    const int64_t group = item / rows.count, c = item % rows.count * rows.size;
    pack_weights(p, part.weights + group * part.group_floats, weight + group * s.M * s.C * s.R * s.S, s.R * s.S, index,
                 nullptr, c, min(s.C, c + rows.size));
  });
}

void clear(Context& context, float* dx, int64_t planes, int64_t plane) {
  const Chunks work = full_chunks(planes, plane, pack_chunk);
  for_chunks(context, work, [&](int64_t first, int64_t end) {
    memset(dx + first * plane, 0, size_t((end - first) * plane) * sizeof(float));
  });
}

// Copies a block of a phase to its places in dx: `count` positions, from number `first` on, of each of `channels`.
void spread(float* dx, const float* tile, const Part& part, const Shape& s, int64_t channels, int64_t first,
            int64_t count) {
  const int64_t width = part.columns->count;
  for (int64_t c = 0; c < channels; c++, dx += s.H * s.W) {
    int64_t row = first / width, column = first % width;
    for (int64_t left = count; left > 0; row++, column = 0) {
      const int64_t length = min(width - column, left);
      float* to = dx + (row * s.stride_h + part.rows->residue) * s.W + column * s.stride_w + part.columns->residue;
      for (int64_t q = 0; q < length; q++) to[q * s.stride_w] = tile[q];
      tile += length;
      left -= length;
    }
  }
}

// The same for a block in two phases of columns, the even and the odd ones, at stride 2. Together they fill whole
// stretches of dx.
void spread_pair(float* dx, const float* even, const float* odd, const Part& part, const Shape& s, int64_t channels,
                 const Block& even_block, const Block& odd_block) {
  const int64_t rows = even_block.rows, pairs = min(even_block.columns, odd_block.columns);
  for (int64_t c = 0; c < channels; c++, dx += s.H * s.W)
    for (int64_t r = 0; r < rows; r++, even += even_block.columns, odd += odd_block.columns) {
      float* to = dx + ((even_block.row + r) * s.stride_h + part.rows->residue) * s.W + 2 * even_block.column;
      for (int64_t q = 0; q < pairs; q++) {
        to[2 * q] = even[q];
        to[2 * q + 1] = odd[q];
      }
      if (even_block.columns > pairs) to[2 * pairs] = even[pairs];
    }
}

}  // namespace

void conv2d_input_gradient(Context& context, const View& dx, const View& dy, const View& weight, Integers stride,
                           Integers padding, Integers dilation, int64_t groups) {
  Shape s;
  if (!read_shape(context, dx, weight, dy, {stride, padding, dilation, groups}, s)) return;
  if (dx.count == 0) return;
  if (winograd_product_pays(s, s.M, s.C, s.H, s.W))  // a convolution of dy with the flipped kernel
    return winograd_product(context,
                            {s.N, s.G, s.M, s.C, s.P, s.Q, s.H, s.W, s.pad_h - 2, s.pad_w - 2,
                             pointer<const float>(weight), 9, s.C * 9, s.M * s.C * 9, true, nullptr, false},
                            pointer<const float>(dy), pointer<float>(dx));

  Phase* phases = scratch_of<Phase>(context, s.R + s.S);
  int64_t* tables = scratch_of<int64_t>(context, 2 * (s.R + s.S));
  const int64_t row_phases = find_phases(phases, tables, s.H, s.R, s.stride_h, s.pad_h, s.dilation_h, s.P);
  const int64_t column_phases =
      find_phases(phases + s.R, tables + 2 * s.R, s.W, s.S, s.stride_w, s.pad_w, s.dilation_w, s.Q);
  const int64_t count = row_phases * column_phases;
  Part* parts = scratch_of<Part>(context, count);
  Product* products = scratch_of<Product>(context, count);
  const bool whole = s.stride_h == 1 && s.stride_w == 1;  // one phase, which is dx as it lies
  for (int64_t i = 0; i < count; i++) {
    Product& p = products[i] = {};
    parts[i].rows = phases + i / column_phases;
    parts[i].columns = phases + s.R + i % column_phases;
    p.channels = s.M;
    p.M = s.C;
    p.P = parts[i].rows->count;
    p.Q = parts[i].columns->count;
    p.rows = parts[i].rows->axis;
    p.columns = parts[i].columns->axis;
  }
  // If filling the tile is much of the work, dy is copied once for all phases.
  const bool together = s.C * count <= product_blocks::most_shared_rows && can_share_tiles(products, count);
  if (together) plan_products(context, products, count);
  int64_t blocks = 0, room_floats = 0, positions = 0;
  for (int64_t i = 0; i < count; i++) {
    Product& p = products[i];
    if (!together) plan_products(context, &p, 1);
    parts[i].group_floats = packed_weights(p);
    parts[i].weights = scratch_of<float>(context, s.G * parts[i].group_floats);
    pack_part(context, parts[i], p, pointer<const float>(weight), s);
    blocks = max(blocks, blocks_of(p));
    room_floats = max(room_floats, round_up(p.room_floats, 16));
    positions = max(positions, p.block_rows * p.block_columns);
  }
  const float** packed = scratch_of<const float*>(context, s.G * count);
  for (int64_t i = 0; i < s.G * count; i++)
    packed[i] = parts[i % count].weights + i / count * parts[i % count].group_floats;
  if (row_phases < min(s.stride_h, s.H) || column_phases < min(s.stride_w, s.W))
    clear(context, pointer<float>(dx), s.N * s.G * s.C, s.H * s.W);
  if (count == 0) return;

  // An item is a block in all phases, because the phases share the cache lines of dx.
  const int64_t plane_x = s.H * s.W, plane_y = s.P * s.Q;
  const Parts rows = cut_rows(s.C, rows_of_part(s.C, s.N * s.G * blocks));
  const Chunks work =
      full_chunks(s.N * s.G * blocks * rows.count, rows.size * s.M * s.R * s.S * positions, multiply_chunk);
  const int64_t tile_floats = whole ? 0 : rows.size * positions, tiles = together ? count : 1;
  const Rooms rooms = make_rooms(context, room_floats + tiles * tile_floats, work);
  for_items(context, work, rooms, [&](int64_t item, float* room) {
    float* tile = room + room_floats;
    const int64_t c = item % rows.count * rows.size, last = min(s.C, c + rows.size);
    const int64_t image_group = item / rows.count / blocks, number = item / rows.count % blocks;
    const float* source = pointer<const float>(dy) + image_group * s.M * plane_y;
    float* to = pointer<float>(dx) + (image_group * s.C + c) * plane_x;
    const float* const* weights = packed + image_group % s.G * count;
    if (together) multiply_blocks(products, count, number, source, weights, c, last, tile, tile_floats, room);
    for (int64_t i = 0; i < count; i++) {
      const Product& p = products[i];
      float* result = together ? tile + i * tile_floats : tile;
      if (number >= blocks_of(p)) continue;
      const Block block = block_at(p, number);
      if (block.rows < 1 || block.columns < 1) continue;
      const int64_t first = block.row * p.Q + block.column, size = block.rows * block.columns;
      if (!together)
        multiply_block(p, block, source, weights[i], c, last, whole ? to + first : result, whole ? plane_x : size,
                       room);
      if (whole) continue;
      const Block next = i + 1 < count ? block_at(products[i + 1], number) : Block{};
      if (together && s.stride_w == 2 && next.columns > 0 && parts[i].rows == parts[i + 1].rows) {
        const bool even = parts[i].columns->residue == 0;
        spread_pair(to, even ? result : result + tile_floats, even ? result + tile_floats : result, parts[i], s,
                    last - c, even ? block : next, even ? next : block);
        i++;
      } else {
        spread(to, result, parts[i], s, last - c, first, size);
      }
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
