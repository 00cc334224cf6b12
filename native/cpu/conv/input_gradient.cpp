// conv2d_input_gradient: dx = weight^T * dy, overwritten. 2 N G M K P Q operations, no more for strides: positions of x that
// are equal modulo the stride, a phase, read dy through the same taps, one step apart, so that each phase is a convolution
// of dy with stride 1 and a part of the kernel, flipped (product.h). Phases that no tap reaches are zero.
//
// Nothing is added into dx from two sides: each element is computed by one item, in a fixed order.
#include <string.h>

#include "../../generated/kernels.h"
#include "product.h"
#include "rooms.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA {

using namespace conv;

namespace {

// Along one axis, the positions residue, residue + stride, ... of x, and the taps through which they read dy.
struct Phase {
  int64_t residue, count;  // count of positions
  Axis axis;               // over dy
  const int64_t* taps;     // of the kernel, by index in axis.offsets
};

// The phases that a tap reaches, at most one for each tap: their number. tables holds 2 * taps integers.
int64_t find_phases(Phase* phases, int64_t* tables, int64_t length, int64_t taps, int64_t stride, int64_t pad, int64_t dilation,
                    int64_t source) {
  int64_t found = 0;
  for (int64_t first = 0; first < taps; first++) {
    // Tap t brings position i of x from position (i + pad - t * dilation) / stride of dy, where that is whole.
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

struct Part {
  Product product;
  const Phase *rows, *columns;
  const float* weights;  // packed, of all groups
  int64_t group_floats;
};

}  // namespace

void conv2d_input_gradient(Context& context, const View& dx, const View& dy, const View& weight, int64_t stride_h,
                           int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w,
                           int64_t groups) {
  Shape s;
  if (!read_shape(context, dx, weight, dy, {stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups}, s)) return;
  if (dx.count == 0) return;

  Phase* phases = static_cast<Phase*>(scratch(context, size_t(s.R + s.S) * sizeof(Phase)));
  int64_t* tables = static_cast<int64_t*>(scratch(context, size_t(2 * (s.R + s.S)) * sizeof(int64_t)));
  if (!phases || !tables) return;
  const int64_t row_phases = find_phases(phases, tables, s.H, s.R, stride_h, pad_h, dilation_h, s.P);
  const int64_t column_phases = find_phases(phases + s.R, tables + 2 * s.R, s.W, s.S, stride_w, pad_w, dilation_w, s.Q);
  const int64_t count = row_phases * column_phases;
  Part* parts = static_cast<Part*>(scratch(context, size_t(count) * sizeof(Part)));
  if (!parts) return;

  const int64_t taps = s.R * s.S;
  const bool whole = stride_h == 1 && stride_w == 1;
  int64_t blocks = 0, room_floats = 0, tile_floats = 0, positions = 0;
  for (int64_t i = 0; i < count; i++) {
    Part& part = parts[i];
    part = {};
    part.rows = phases + i / column_phases;
    part.columns = phases + s.R + i % column_phases;
    Product& p = part.product;
    p.channels = s.M;
    p.M = s.C;
    p.P = part.rows->count;
    p.Q = part.columns->count;
    p.rows = part.rows->axis;
    p.columns = part.columns->axis;
    if (!plan_product(context, p)) return;

    part.group_floats = packed_weights(p);
    float* packed = static_cast<float*>(scratch(context, size_t(s.G * part.group_floats) * sizeof(float)));
    int64_t* index = static_cast<int64_t*>(scratch(context, size_t(p.depth) * sizeof(int64_t)));
    if (!packed || !index) return;
    part.weights = packed;
    for (int64_t k = 0; k < p.depth; k++) {
      const int64_t tap = k % (p.rows.taps * p.columns.taps);
      index[k] = k / (p.rows.taps * p.columns.taps) * s.C * taps + part.rows->taps[tap / p.columns.taps] * s.S +
                 part.columns->taps[tap % p.columns.taps];
    }
    const Parts rows = cut_rows(s.C, larger(1, pack_chunk / p.depth));
    const Batch packing = batch(s.G * rows.count, rows.size * p.depth, pack_chunk);
    parallel(context, packing.chunks, [&](int64_t chunk) {
      for (int64_t item = first_item(packing, chunk); item < first_item(packing, chunk + 1); item++) {
        const int64_t group = item / rows.count, m = item % rows.count * rows.size;
        pack_weights(p, packed + group * part.group_floats, pointer<const float>(weight) + group * s.M * s.C * taps, taps,
                     index, nullptr, m, smaller(s.C, m + rows.size));
      }
    });
    blocks = larger(blocks, blocks_of(p));
    room_floats = larger(room_floats, p.room_floats);
    positions = larger(positions, p.block_rows * p.block_columns);
    if (!whole) tile_floats = larger(tile_floats, s.C * p.block_rows * p.block_columns);
  }
  room_floats = round_up(room_floats, 16);

  // Phases that no tap reaches stay as this leaves them.
  const int64_t plane_x = s.H * s.W, plane_y = s.P * s.Q;
  if (row_phases < smaller(stride_h, s.H) || column_phases < smaller(stride_w, s.W)) {
    const Batch clearing = batch(s.N * s.G * s.C, plane_x, pack_chunk);
    parallel(context, clearing.chunks, [&](int64_t chunk) {
      const int64_t first = first_item(clearing, chunk), last = first_item(clearing, chunk + 1);
      memset(pointer<float>(dx) + first * plane_x, 0, size_t((last - first) * plane_x) * sizeof(float));
    });
  }
  if (count == 0) return;

  // An item is a block in all phases: they share the cache lines of dx.
  const Parts rows = cut_rows(s.C, rows_of_part(s.C, s.N * s.G * blocks));
  const Batch work =
      batch(s.N * s.G * blocks * rows.count, rows.size * s.M * taps * positions, multiply_chunk);
  Rooms rooms;
  if (!make_rooms(context, room_floats + tile_floats, work.chunks, rooms)) return;
  parallel(context, work.chunks, [&](int64_t chunk) {
    int64_t room_number;
    float* room = enter_room(rooms, room_number);
    float* tile = room + room_floats;
    for (int64_t item = first_item(work, chunk); item < first_item(work, chunk + 1); item++) {
      const int64_t m = item % rows.count * rows.size, last = smaller(s.C, m + rows.size);
      const int64_t image_group = item / rows.count / blocks, number = item / rows.count % blocks;
      const float* source = pointer<const float>(dy) + image_group * s.M * plane_y;
      float* to = pointer<float>(dx) + (image_group * s.C + m) * plane_x;
      for (int64_t i = 0; i < count; i++) {
        const Product& p = parts[i].product;
        if (number >= blocks_of(p)) continue;
        const Block block = block_at(p, number);
        const float* weights = parts[i].weights + image_group % s.G * parts[i].group_floats;
        if (whole) {
          multiply_block(p, block, source, weights, m, last, to + block.row * p.Q + block.column, plane_x, room);
          continue;
        }
        const int64_t ldc = block.rows * block.columns;
        multiply_block(p, block, source, weights, m, last, tile, ldc, room);
        // The plan may have laid all rows of a phase behind each other (in_place): count positions, not rows.
        const int64_t width = parts[i].columns->count;
        for (int64_t c = 0; c < last - m; c++) {
          int64_t row = (block.row * p.Q + block.column) / width, column = (block.row * p.Q + block.column) % width;
          for (int64_t done = 0; done < ldc; row++, column = 0) {
            const float* from = tile + c * ldc + done;
            float* line = to + c * plane_x + (row * stride_h + parts[i].rows->residue) * s.W + parts[i].columns->residue +
                          column * stride_w;
            const int64_t length = smaller(width - column, ldc - done);
            for (int64_t q = 0; q < length; q++) line[q * stride_w] = from[q];
            done += length;
          }
        }
      }
    }
    leave_room(rooms, room_number);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
