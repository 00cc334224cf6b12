// The product of Winograd's algorithm, forward and for the gradient of the input (winograd.h). Filters are transformed
// once, into the packed right operand of 36 products, [36][depth blocks][panels of M][depth][NR]. A chunk takes a block
// of tiles: transforms it, [36][tiles][channels], multiplies, [36][tiles][M], and transforms back. 2 (36 / 16) N G M
// channels P Q operations for the products, about 1 / M of that for the way in, 1 / channels for the way out.
#include "../gemm/micro.h"
#include "rooms.h"
#include "winograd.h"
#include "winograd_tile.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA::conv {

using gemm::tile_columns;
using gemm::tile_rows;

namespace {

constexpr int lanes = simd::lanes;
static_assert(tile_columns % lanes == 0 && strip_channels % lanes == 0, "panels and strips are whole vectors");

// Floats of a block of tiles that stay in the second-level cache while its matrices are multiplied; but the filters
// stream by, and want to be used for some tiles.
constexpr int64_t block_floats = 96 * 1024;
constexpr int64_t least_tiles = 4 * tile_rows, most_tiles = 16 * tile_rows;
// Least columns of a part of M, for each of which the tiles are transformed anew.
constexpr int64_t part_columns = 4 * tile_columns;

struct Plan {
  TileMap map;
  int64_t block, blocks;                // tiles of a block; blocks of a group
  int64_t channels_padded, M_padded;    // whole vectors; whole panels
  int64_t depth, element_floats;        // channels multiplied at a time; floats of an element's packed filters
  int64_t part, parts;                  // columns of a part of M
};

Plan make_plan(const WinogradProduct& p) {
  Plan plan;
  plan.map = map_tiles(p.N, p.P, p.Q);
  plan.channels_padded = round_up(p.channels, strip_channels);
  plan.M_padded = round_up(p.M, tile_columns);
  const int64_t wanted = block_floats / (winograd_elements * (plan.channels_padded + plan.M_padded));
  const int64_t most = smaller(most_tiles, larger(least_tiles, wanted));
  plan.block = round_up(ceil_div(plan.map.count, ceil_div(plan.map.count, most)), tile_rows);
  plan.blocks = ceil_div(plan.map.count, plan.block);
  plan.depth = ceil_div(p.channels, ceil_div(p.channels, gemm::block_depth));
  plan.element_floats = plan.M_padded * p.channels;
  const int64_t wanted_parts = ceil_div(enough_chunks / 2, plan.blocks * p.G);
  plan.part = larger(part_columns, round_up(ceil_div(p.M, wanted_parts), tile_columns));
  plan.part = smaller(plan.part, plan.M_padded);
  plan.parts = ceil_div(p.M, plan.part);
  return plan;
}

// Transforms the filters of columns [m, m + lanes) and all channels of a group.
void transform_filters(float* packed, const WinogradProduct& p, const Plan& plan, int64_t group, int64_t m) {
  const float* weights = p.weights + group * p.group_stride + m * p.row_stride;
  const int64_t present = smaller(lanes, p.M - m), panel = m / tile_columns * tile_columns;
  for (int64_t c = 0; c < p.channels; c++) {
    float taps[9][lanes] = {};
    for (int64_t i = 0; i < present; i++) {
      const float* filter = weights + i * p.row_stride + c * p.channel_stride;
      for (int t = 0; t < 9; t++) taps[p.flipped ? 8 - t : t][i] = filter[t];
    }
    Vec half[3][6];  // [column of the filter][point]
    for (int s = 0; s < 3; s++) {
      const Vec column[3] = {simd::load(taps[s]), simd::load(taps[3 + s]), simd::load(taps[6 + s])};
      filter_transform(column, half[s]);
    }
    const int64_t k0 = c / plan.depth * plan.depth, depth = smaller(plan.depth, p.channels - k0);
    float* to = packed + k0 * plan.M_padded + panel * depth + (c - k0) * tile_columns + m - panel;
    for (int r = 0; r < 6; r++) {
      const Vec row[3] = {half[0][r], half[1][r], half[2][r]};
      Vec out[6];
      filter_transform(row, out);
      for (int i = 0; i < 6; i++, to += plan.element_floats) simd::store(to, out[i]);
    }
  }
}

void transform_tiles(float* to, const WinogradProduct& p, const Plan& plan, const float* source, int64_t first,
                     int64_t count, float* strip) {
  for (int64_t c = 0; c < p.channels; c += strip_channels) {
    const int64_t channels = smaller(strip_channels, p.channels - c), vectors = ceil_div(channels, lanes);
    for_strips(plan.map, first, count, [&](int64_t image, int64_t row, int64_t column, int64_t tiles, int64_t number) {
      fill_strip(strip, source + (image * p.G * p.channels + c) * p.H * p.W, channels, p.H, p.W,
                 row * winograd_tile + p.offset_h, column * winograd_tile + p.offset_w, winograd_points,
                 tiles * winograd_tile + 2, vectors);
      float* at = to + number * plan.channels_padded + c;
      transform_strip<6>(
          strip, tiles, vectors, [](const Vec(&d)[6], Vec(&v)[6]) { source_transform(d, v); },
          [&](int64_t v) {
            return Transformed{at + v * lanes, plan.block * plan.channels_padded, plan.channels_padded};
          });
    });
  }
}

// products [36][tiles][columns] = tiles [36][tiles][channels] filters, for columns [m, m + columns) of a group.
void multiply_tiles(float* products, const float* tiles, const float* filters, const WinogradProduct& p,
                    const Plan& plan, int64_t count, int64_t m, int64_t columns) {
  for (int64_t element = 0; element < winograd_elements; element++) {
    const float* left = tiles + element * plan.block * plan.channels_padded;
    const float* right = filters + element * plan.element_floats;
    float* to = products + element * plan.block * plan.part;
    for (int64_t k = 0; k < p.channels; k += plan.depth) {
      const int64_t depth = smaller(plan.depth, p.channels - k);
      for (int64_t j = 0; j < columns; j += tile_columns)
        for (int64_t i = 0; i < count; i += tile_rows)
          gemm::micro_kernel({left + i * plan.channels_padded + k, plan.channels_padded, 1,
                              right + k * plan.M_padded + (m + j) * depth, tile_columns, to + i * plan.part + j,
                              plan.part, smaller(tile_rows, count - i), tile_columns, depth, k > 0, nullptr});
    }
  }
}

// Four columns of a row of results, of `present` planes.
void store_row(float* to, int64_t plane, const Vec (&y)[4], int64_t present, int64_t columns) {
  Vec v[4] = {y[0], y[1], y[2], y[3]};
  transpose_quads(v);
  float quads[4][lanes];  // of plane 4 q + i: quads[i], lanes 4 q on
  for (int i = 0; i < 4; i++) simd::store(quads[i], v[i]);
  for (int64_t i = 0; i < present; i++) {
    const float* from = quads[i % 4] + i / 4 * 4;
    if (columns >= 4)
      memcpy(to + i * plane, from, 16);
    else
      for (int64_t q = 0; q < columns; q++) to[i * plane + q] = from[q];
  }
}

// The way back, to planes [m, m + columns) of the images.
void transform_results(float* result, const WinogradProduct& p, const Plan& plan, const float* products, int64_t group,
                       int64_t first, int64_t count, int64_t m, int64_t columns) {
  const int64_t plane = p.P * p.Q, element = plan.block * plan.part;
  for (int64_t j = 0; j < columns; j += lanes) {
    const int64_t present = smaller(lanes, p.M - m - j);
    if (present <= 0) break;
    float bias_of[lanes] = {};
    for (int64_t i = 0; p.bias && i < present; i++) bias_of[i] = p.bias[group * p.M + m + j + i];
    const Vec bias = simd::load(bias_of);
    for_strips(plan.map, first, count, [&](int64_t image, int64_t row, int64_t column, int64_t tiles, int64_t number) {
      const int64_t rows = smaller(winograd_tile, p.P - row * winograd_tile);
      for (int64_t t = 0; t < tiles; t++, column++) {
        const float* from = products + (number + t) * plan.part + j;
        Vec half[6][4];
        for (int r = 0; r < 6; r++) {
          Vec in[6];
          for (int i = 0; i < 6; i++) in[i] = simd::load(from + (6 * r + i) * element);
          result_transform(in, half[r]);
        }
        Vec y[4][4];  // [column][row]
        for (int q = 0; q < 4; q++) {
          const Vec in[6] = {half[0][q], half[1][q], half[2][q], half[3][q], half[4][q], half[5][q]};
          result_transform(in, y[q]);
        }
        float* to = result + ((image * p.G + group) * p.M + m + j) * plane + row * winograd_tile * p.Q +
                    column * winograd_tile;
        for (int64_t r = 0; r < rows; r++, to += p.Q) {
          const Vec values[4] = {y[0][r] + bias, y[1][r] + bias, y[2][r] + bias, y[3][r] + bias};
          store_row(to, plane, values, present, smaller(winograd_tile, p.Q - column * winograd_tile));
        }
      }
    });
  }
}

}  // namespace

bool winograd_applies(const Shape& s) {
  return s.R == 3 && s.S == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1;
}

bool winograd_product_pays(const Shape& s, int64_t channels, int64_t M, int64_t P, int64_t Q) {
  return winograd_applies(s) && channels >= 8 && M >= 8 && P >= 3 && Q >= 3;
}

void winograd_product(Context& context, const WinogradProduct& p, const float* source, float* result) {
  const Plan plan = make_plan(p);
  const int64_t group_floats = winograd_elements * plan.element_floats;
  float* filters = scratch_of<float>(context, p.G * group_floats);
  const int64_t vectors = plan.M_padded / lanes;
  const Batch packing = batch(p.G * vectors, p.channels * winograd_elements * lanes, pack_chunk);
  parallel(context, packing.chunks, [&](int64_t chunk) {
    for (int64_t item = first_item(packing, chunk); item < first_item(packing, chunk + 1); item++)
      transform_filters(filters + item / vectors * group_floats, p, plan, item / vectors, item % vectors * lanes);
  });

  const int64_t tile_floats = winograd_elements * plan.block * plan.channels_padded;
  const int64_t product_floats = winograd_elements * plan.block * plan.part;
  const Batch work = batch(p.G * plan.blocks * plan.parts, plan.block * winograd_elements * p.channels * plan.part,
                           multiply_chunk);
  const Rooms rooms = make_rooms(context, tile_floats + product_floats + strip_floats, work.chunks);
  parallel(context, work.chunks, [&](int64_t chunk) {
    int64_t room_number;
    float* room = enter_room(rooms, room_number);
    for (int64_t item = first_item(work, chunk); item < first_item(work, chunk + 1); item++) {
      const int64_t m = item % plan.parts * plan.part, block = item / plan.parts % plan.blocks;
      const int64_t group = item / plan.parts / plan.blocks, first = block * plan.block;
      const int64_t count = smaller(plan.block, plan.map.count - first), columns = smaller(plan.part, plan.M_padded - m);
      float *products = room + tile_floats, *strip = products + product_floats;
      transform_tiles(room, p, plan, source + group * p.channels * p.H * p.W, first, count, strip);
      multiply_tiles(products, room, filters + group * group_floats, p, plan, count, m, columns);
      transform_results(result, p, plan, products, group, first, count, m, columns);
    }
    leave_room(rooms, room_number);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
