// conv2d_weight_gradient: dweight = dy * patches(x)^T, overwritten. 2 N G M K P Q operations.
//
// The product's depth is the positions of all images, and its columns are (tap, channel). A block of depth is a block
// of positions of one image. The part of x that it reads is laid out once with the channels innermost (tile.h). All
// taps of a position are then runs of channels, so panels are packed by copying although the product needs x
// transposed. Depth is cut into slices by the shape alone, which are summed in order, so bits do not depend on threads.
//
// Groups of one channel in (depthwise layers, and images of one colour) are dot products of shifted planes. Their
// vectors run along a row instead.
#include <string.h>

#include "../../generated/kernels.h"
#include "../rooms.h"
#include "../simd/vector.h"
#include "product.h"
#include "sweep.h"
#include "winograd.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA {

using namespace conv;
using namespace conv::weight_blocks;
using gemm::tile_columns;
using gemm::tile_rows;

namespace {

constexpr int lanes = simd::lanes;
struct Plan {
  bool in_place;  // the columns are the channels of x as they lie
  Axis rows, columns;
  Span row_span, column_span;
  int64_t P, Q, block_rows, block_columns, blocks_of_columns, blocks;  // of one image
  int64_t channels, channel_blocks;                                    // of a tile, of which the last may fill less
  int64_t row_advance, column_advance;                                 // floats of a tile between positions
  int64_t tile_floats;
  int64_t slices, depth_blocks;  // depth_blocks: of all images
  Parts parts;                   // of the channels out
  int64_t* offsets;              // [taps] the place of a tap in a tile, without the channel
};

struct Piece {
  int64_t from, lane, end;
};

// Packs columns [first, first + count) of a tile's patches for a block of positions.
void pack_columns(float* to, const float* tile, const Plan& plan, const Block& block, int64_t channels, int64_t first,
                  int64_t count) {
  Piece pieces[tile_columns];
  int64_t number = 0;
  for (int64_t lane = 0; lane < count; lane++) {
    const int64_t column = first + lane, from = plan.offsets[column / channels] + column % channels;
    if (number && pieces[number - 1].from + lane - pieces[number - 1].lane == from)
      pieces[number - 1].end = lane + 1;
    else
      pieces[number++] = {from, lane, lane + 1};
  }
  for (int64_t row = 0; row < block.rows; row++) {
    const float* position = tile + row * plan.row_advance;
    if (number == 1 && count == tile_columns) {
      position += pieces[0].from;
      for (int64_t q = 0; q < block.columns; q++, position += plan.column_advance, to += tile_columns)
        for (int64_t i = 0; i < tile_columns; i += lanes) simd::store(to + i, simd::load(position + i));
      continue;
    }
    for (int64_t q = 0; q < block.columns; q++, position += plan.column_advance, to += tile_columns)
      for (int64_t piece = 0; piece < number; piece++) {
        const float* from = position + pieces[piece].from;
        for (int64_t i = pieces[piece].lane; i < pieces[piece].end; i += lanes, from += lanes)
          simd::store(to + i, simd::load(from));
      }
  }
}

// Sums of dy times x for Taps taps over a block of positions of one plane.
template <int Taps>
void correlate(double* sums, const float* dy, int64_t pitch, const float* tile, const int64_t* offsets,
               int64_t row_advance, const Block& block) {
  simd::Vec sum[Taps];
  for (int t = 0; t < Taps; t++) sum[t] = simd::zero();
  for (int64_t row = 0; row < block.rows; row++, dy += pitch, tile += row_advance) {
    int64_t q = 0;
    for (; q + lanes <= block.columns; q += lanes) {
      const simd::Vec gradient = simd::load(dy + q);
      for (int t = 0; t < Taps; t++) sum[t] = simd::fma(gradient, simd::load(tile + offsets[t] + q), sum[t]);
    }
    if (const int rest = int(block.columns - q)) {
      const simd::Vec gradient = simd::load_partial(dy + q, rest);
      for (int t = 0; t < Taps; t++)
        sum[t] = simd::fma(gradient, simd::load_partial(tile + offsets[t] + q, rest), sum[t]);
    }
  }
  for (int t = 0; t < Taps; t++) sums[t] += double(simd::reduce_add(sum[t]));
}

// Blocks of about `wanted` positions of a plane P x Q.
void cut_plane(Plan& plan, int64_t wanted) {
  if (plan.Q > wanted) {
    plan.block_rows = 1;
    plan.block_columns = min(plan.Q, round_up(ceil_div(plan.Q, ceil_div(plan.Q, wanted)), 16));
  } else {
    plan.block_rows = ceil_div(plan.P, ceil_div(plan.P, min(plan.P, wanted / plan.Q)));
    plan.block_columns = plan.Q;
  }
  plan.blocks_of_columns = ceil_div(plan.Q, plan.block_columns);
  plan.blocks = ceil_div(plan.P, plan.block_rows) * plan.blocks_of_columns;
}

Block block_at(const Plan& plan, int64_t number) {
  const int64_t row = number / plan.blocks_of_columns * plan.block_rows;
  const int64_t column = number % plan.blocks_of_columns * plan.block_columns;
  return {row, column, min(plan.block_rows, plan.P - row), min(plan.block_columns, plan.Q - column)};
}

Plan make_plan(Context& context, const Shape& s, bool depthwise) {
  Plan plan;
  const int64_t taps = s.R * s.S;
  int64_t* positions = scratch_of<int64_t>(context, s.R + s.S + taps);
  for (int64_t r = 0; r < s.R; r++) positions[r] = r * s.dilation_h - s.pad_h;
  for (int64_t c = 0; c < s.S; c++) positions[s.R + c] = c * s.dilation_w - s.pad_w;
  plan.rows = {s.H, s.stride_h, s.R, positions};
  plan.columns = {s.W, s.stride_w, s.S, positions + s.R};
  plan.offsets = positions + s.R + s.S;
  plan.in_place = !depthwise && taps == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h == 0 && s.pad_w == 0;
  plan.P = plan.in_place ? 1 : s.P;
  plan.Q = plan.in_place ? s.P * s.Q : s.Q;
  cut_plane(plan, depthwise ? most_plane_depth : most_depth);
  plan.depth_blocks = s.N * plan.blocks;

  const int64_t wanted = channels_of_block(taps);
  plan.channel_blocks = ceil_div(s.C, wanted);
  plan.channels = plan.channel_blocks == 1 ? s.C : wanted;
  const int64_t most_slices = max(1, most_partial / (s.G * s.M * s.C * taps));
  plan.parts = cut_rows(s.M, depthwise ? s.M : ceil_div(s.M, ceil_div(s.M, wanted_rows)));
  // In depthwise layers an item reads one plane, so that items read memory in order.
  const int64_t products = s.G * plan.channel_blocks * plan.parts.count;
  const int64_t wanted_slices = depthwise
                                    ? most_plane_slices
                                    : min(ceil_div(enough_chunks, products),
                                          max(ceil_div(least_items, products), plan.depth_blocks / blocks_of_slice));
  plan.slices = min(min(plan.depth_blocks, most_slices), wanted_slices);

  int64_t* tables = scratch_of<int64_t>(context, span_room(plan.rows) + span_room(plan.columns));
  plan.row_span = make_span(plan.rows, plan.block_rows, false, tables);
  plan.column_span = make_span(plan.columns, plan.block_columns, depthwise, tables + span_room(plan.rows));
  const int64_t pitch = slots_of(plan.column_span) * plan.channels;
  plan.row_advance = plan.row_span.advance * pitch;
  plan.column_advance = plan.column_span.advance * plan.channels;
  plan.tile_floats = plan.in_place ? 0 : round_up(slots_of(plan.row_span) * pitch + slack, 16);
  for (int64_t t = 0; t < taps; t++)
    plan.offsets[t] = plan.row_span.slots[t / s.S] * pitch + plan.column_span.slots[t % s.S] * plan.channels;
  return plan;
}

bool has_sweep(const Shape& s) {
  return s.R == 3 && s.S == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1;
}

void depthwise_gradient(Context& context, float* dweight, const float* dy, const float* x, const Shape& s,
                        const Plan& plan) {
  const int64_t taps = s.R * s.S, plane_x = s.H * s.W, plane_y = s.P * s.Q, items = s.G * plan.slices;
  const bool sweep = has_sweep(s);
  double* partial = scratch_of<double>(context, items * s.M * taps);
  const Chunks work = full_chunks(items, ceil_div(s.N, plan.slices) * plane_y * s.M * taps, multiply_chunk);
  const Rooms rooms = make_rooms(context, plan.tile_floats, work);
  for_items(context, work, rooms, [&](int64_t item, float* tile) {
    const int64_t group = item % s.G, slice = item / s.G;
    double* sums = partial + item * s.M * taps;
    for (int64_t i = 0; i < s.M * taps; i++) sums[i] = 0;
    for (int64_t d = plan.depth_blocks * slice / plan.slices; d < plan.depth_blocks * (slice + 1) / plan.slices; d++) {
      const int64_t plane = d / plan.blocks * s.G + group;
      const Block block = block_at(plan, d % plan.blocks);
      fill_plane(tile, x + plane * plane_x, plan.rows, plan.columns, plan.row_span, plan.column_span, block.row,
                 block.column);
      for (int64_t m = 0; m < s.M; m++) {
        const float* gradient = dy + (plane * s.M + m) * plane_y + block.row * s.Q + block.column;
        int64_t t = 0;
        if (sweep) {
          sweep_gradient(sums + m * taps, gradient, s.Q, tile, plan.row_advance, block.rows, block.columns);
          continue;
        }
        for (; t + 9 <= taps; t += 9)
          correlate<9>(sums + m * taps + t, gradient, s.Q, tile, plan.offsets + t, plan.row_advance, block);
        for (; t + 3 <= taps; t += 3)
          correlate<3>(sums + m * taps + t, gradient, s.Q, tile, plan.offsets + t, plan.row_advance, block);
        for (; t < taps; t++)
          correlate<1>(sums + m * taps + t, gradient, s.Q, tile, plan.offsets + t, plan.row_advance, block);
      }
    }
  });
  for (int64_t group = 0; group < s.G; group++)
    for (int64_t i = 0; i < s.M * taps; i++) {
      double sum = 0;
      for (int64_t slice = 0; slice < plan.slices; slice++) sum += partial[(slice * s.G + group) * s.M * taps + i];
      dweight[group * s.M * taps + i] = float(sum);
    }
}

// Rows of dy, or planes of x, a part of which is needed next. They are prefetched bit by bit while the multiply-adds go
// on. A single tap multiplies each element too little to hide memory otherwise.
struct Ahead {
  const float* row;
  int64_t stride, floats, rows;
};

void ask_for(Ahead& ahead, int64_t rows) {
  for (rows = min(rows, ahead.rows); rows > 0; rows--, ahead.rows--, ahead.row += ahead.stride)
    for (int64_t i = 0; i < ahead.floats; i += 16) __builtin_prefetch(ahead.row + i, 0, 2);
}

// One slice of depth, for rows [m, m + rows) and channels [channel, channel + channels) of a group. Overwrites sums
// [rows][taps][channels].
void slice_gradient(float* sums, const float* dy, const float* x, const Shape& s, const Plan& plan, int64_t group,
                    int64_t slice, int64_t m, int64_t rows, int64_t channel, int64_t channels, float* room) {
  const int64_t plane_x = s.H * s.W, plane_y = s.P * s.Q, width = s.R * s.S * channels;
  const int64_t first = plan.depth_blocks * slice / plan.slices, last = plan.depth_blocks * (slice + 1) / plan.slices;
  float *tile = room, *gradient = tile + plan.tile_floats,
        *panels = gradient + gemm::packed_a_size(plan.parts.size, most_depth);
  for (int64_t d = first; d < last; d++) {
    const int64_t image_group = d / plan.blocks * s.G + group;
    const Block block = block_at(plan, d % plan.blocks);
    const int64_t depth = block.rows * block.columns, position = block.row * plan.Q + block.column;
    // Panel by panel, because a panel lies in one piece at any depth, but blocks of panels only up to KC.
    const float* lines = dy + (image_group * s.M + m) * plane_y + position;
    for (int64_t i = 0; i < rows; i += tile_rows)
      gemm::pack_a(gradient + i * depth, {lines + i * plane_y, plane_y, 1}, min(tile_rows, rows - i), depth);
    const float* planes = x + (image_group * s.C + channel) * plane_x;
    if (!plan.in_place)
      fill_channels_last(tile, plan.channels, planes, channels, plan.rows, plan.columns, plan.row_span,
                         plan.column_span, block.row, block.column);
    const int64_t kept = kept_rows(rows, depth), panel_floats = depth * tile_columns;
    const int64_t group_columns = (kept < rows ? kept_panels : 1) * tile_columns;
    Ahead next_lines = {};
    if (plan.in_place && d + 1 < last) {
      const int64_t next_group = (d + 1) / plan.blocks * s.G + group;
      const Block next = block_at(plan, (d + 1) % plan.blocks);
      next_lines = {dy + (next_group * s.M + m) * plane_y + next.row * plan.Q + next.column, plane_y,
                    next.rows * next.columns, rows};
    }
    const int64_t lines_a_tile = ceil_div(rows, ceil_div(rows, tile_rows) * ceil_div(width, tile_columns));
    for (int64_t j0 = 0; j0 < width; j0 += group_columns)
      for (int64_t first_row = 0; first_row < rows; first_row += kept) {
        float* panel = panels;
        for (int64_t j = j0; j < min(width, j0 + group_columns); j += tile_columns, panel += panel_floats) {
          const int64_t columns = min(tile_columns, width - j);
          if (first_row == 0) {
            if (plan.in_place)
              gemm::pack_b(panel, {planes + j * plane_x + position, 1, plane_x}, depth, columns);
            else
              pack_columns(panel, tile, plan, block, channels, j, columns);
          }
          Ahead next_planes = {};
          if (plan.in_place && first_row == 0)
            next_planes = {planes + (j + tile_columns) * plane_x + position, plane_x, depth,
                           min(tile_columns, width - j - tile_columns)};
          const int64_t planes_a_tile = ceil_div(tile_columns * tile_rows, min(rows, kept));
          for (int64_t i = first_row; i < min(rows, first_row + kept); i += tile_rows) {
            ask_for(next_planes, planes_a_tile);
            ask_for(next_lines, lines_a_tile);
            gemm::micro_kernel({gradient + i * depth, 1, tile_rows, panel, tile_columns, sums + i * width + j, width,
                                min(tile_rows, rows - i), columns, depth, d > first, nullptr});
          }
        }
      }
  }
}

}  // namespace

void conv2d_weight_gradient(Context& context, const View& dweight, const View& dy, const View& x, Integers stride,
                            Integers padding, Integers dilation, int64_t groups) {
  Shape s;
  if (!read_shape(context, x, dweight, dy, {stride, padding, dilation, groups}, s)) return;
  if (s.N == 0 || dy.count == 0) {
    memset(dweight.data, 0, size_t(dweight.count) * sizeof(float));
    return;
  }
  if (winograd_weight_gradient_pays(s))
    return winograd_weight_gradient(context, s, pointer<float>(dweight), pointer<const float>(dy),
                                    pointer<const float>(x));
  const bool depthwise = s.C == 1 && (s.M <= few_rows || has_sweep(s));
  const Plan plan = make_plan(context, s, depthwise);
  float* to = pointer<float>(dweight);
  const float *gradient = pointer<const float>(dy), *source = pointer<const float>(x);
  if (depthwise) return depthwise_gradient(context, to, gradient, source, s, plan);

  const int64_t taps = s.R * s.S, group_floats = s.M * s.C * taps, slice_floats = s.G * group_floats;
  float* partial = scratch_of<float>(context, plan.slices * slice_floats);
  const int64_t room_floats = plan.tile_floats + gemm::packed_a_size(plan.parts.size, most_depth) +
                              kept_panels * tile_columns * most_depth + slack;
  const int64_t slice_depth = ceil_div(plan.depth_blocks, plan.slices) * plan.block_rows * plan.block_columns;
  const Chunks work = full_chunks(s.G * plan.channel_blocks * plan.parts.count * plan.slices,
                                  plan.channels * taps * plan.parts.size * slice_depth, multiply_chunk);
  const Rooms rooms = make_rooms(context, room_floats, work);
  for_items(context, work, rooms, [&](int64_t item, float* room) {
    const int64_t slice = item % plan.slices, part = item / plan.slices % plan.parts.count;
    const int64_t group_block = item / plan.slices / plan.parts.count;
    const int64_t group = group_block / plan.channel_blocks,
                  channel = group_block % plan.channel_blocks * plan.channels;
    const int64_t channels = min(plan.channels, s.C - channel), m = part * plan.parts.size;
    slice_gradient(partial + slice * slice_floats + group * group_floats + (channel * s.M + m * channels) * taps,
                   gradient, source, s, plan, group, slice, m, min(plan.parts.size, s.M - m), channel, channels, room);
  });

  // Sums the slices, and turns (tap, channel) back into (channel, tap).
  const Chunks summing = full_chunks(s.G * s.M, plan.slices * s.C * taps, pack_chunk);
  for_items(context, summing, [&](int64_t row) {
    for (int64_t channel = 0; channel < s.C; channel += plan.channels) {
      const int64_t channels = min(plan.channels, s.C - channel);
      const int64_t width = taps * channels;
      float* sums = partial + row / s.M * group_floats + channel * taps * s.M + row % s.M * width;
      for (int64_t slice = 1; slice < plan.slices; slice++)
        for (int64_t i = 0; i < width; i++) sums[i] += sums[slice * slice_floats + i];
      float* filter = to + (row * s.C + channel) * taps;
      for (int64_t c = 0; c < channels; c++)
        for (int64_t t = 0; t < taps; t++) filter[c * taps + t] = sums[t * channels + c];
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
