// The product of Winograd's algorithm, forward and for the gradient of the input (winograd.h). Filters are transformed
// once, into the packed left operands of 36 products, [36][depth blocks][panels of M][depth][MR]. A chunk transforms a
// block of tiles into the packed right operands, [36][panels of tiles][channels][NR], multiplies into [36][M][tiles],
// and transforms back. Vectors run along the tiles. The products take 2 (36 / 16) N G M channels P Q operations. The
// transformation of tiles takes about 1 / M of that, and the transformation of results about 1 / channels.
#include "../rooms.h"
#include "tile.h"
#include "winograd_direct.h"
#include "winograd_panel.h"
#include "winograd_range.h"
#include "winograd_tile.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA::conv {

using gemm::tile_columns;
using gemm::tile_rows;
using namespace winograd_blocks;

namespace {

constexpr int lanes = simd::lanes;

struct Plan {
  TileMap map;
  int64_t block, blocks;                               // tiles of a block, in whole panels; blocks of a group
  int64_t depth;                                       // channels multiplied at a time
  int64_t panels;                                      // of M
  int64_t part, parts;                                 // rows of a part of M, in whole panels
  int64_t filter_floats, tile_floats, product_floats;  // from element to element
  // Strips of a block as they are read (6 rows) and written (4): floats of a row, floats of all rows, and the most
  // rows.
  int64_t pitch, strip_floats, most_rows;
};

// Floats before the filters of channel k0, which is a multiple of the depth, and floats from panel to panel there.
int64_t filters_before(const Plan& plan, int64_t k0) {
  return plan.panels * (k0 * tile_rows + k0 / plan.depth * panel_slack);
}

Plan make_plan(const WinogradProduct& p) {
  Plan plan;
  plan.map = map_tiles(p.N, p.P, p.Q);
  const int64_t wanted = block_floats / (winograd_elements * (p.channels + p.M));
  const int64_t most = min(most_tiles, max(least_tiles, wanted / tile_columns * tile_columns));
  plan.block = round_up(ceil_div(plan.map.count, ceil_div(plan.map.count, most)), tile_columns);
  plan.blocks = ceil_div(plan.map.count, plan.block);
  plan.depth = ceil_div(p.channels, ceil_div(p.channels, gemm::block_depth));
  plan.panels = ceil_div(p.M, tile_rows);
  const int64_t wanted_parts = ceil_div(enough_chunks / 2, plan.blocks * p.G);
  plan.part = min(max(part_rows, round_up(ceil_div(p.M, wanted_parts), tile_rows)), plan.panels * tile_rows);
  plan.parts = ceil_div(p.M, plan.part);
  plan.filter_floats = off_page(filters_before(plan, round_up(p.channels, plan.depth)));
  plan.tile_floats = off_page(plan.block * p.channels);
  plan.product_floats = off_page(plan.block * plan.part);
  const int64_t strip_tiles = min(plan.map.across, plan.block), most_strips = plan.block / strip_tiles + 2;
  plan.pitch = strip_tiles * winograd_tile + 2;
  plan.most_rows = most_strips * winograd_points;
  plan.strip_floats = round_up(plan.most_rows * plan.pitch + 2 * lanes, 16);
  return plan;
}

// taps[t] is tap t of the filters at filter[0], filter[1] ..., one filter to a lane.
FIRESTEEL_INLINE void gather_taps(const float* const* filter, int64_t at, Vec (&taps)[9]) {
  for (int begin = 0; begin < 6; begin += begin ? 1 : 4) {  // 0, 4, 5
    Vec v[4];
    for (int i = 0; i < 4; i++) v[i] = load_quads([&](int q) { return filter[4 * q + i] + at + begin; });
    transpose_quads(v);
    for (int t = 0; t < 4; t++) taps[begin + t] = v[t];
  }
}

// Transforms the filters of a panel of rows, from m on, and of all channels of a group. Rows beyond M repeat the last
// one. Returns whether all filters are finite.
bool transform_filters(float* packed, const WinogradProduct& p, const Plan& plan, int64_t group, int64_t m) {
  Vec zeros = simd::zero();  // sums up each tap times 0, which is NaN if a tap is not finite
  for (int64_t v = 0; v < row_vectors * lanes; v += lanes) {
    const float* filter[lanes];
    for (int64_t i = 0; i < lanes; i++)
      filter[i] = p.weights + group * p.group_stride + min(m + v + i, p.M - 1) * p.row_stride;
    for (int64_t k0 = 0; k0 < p.channels; k0 += plan.depth) {
      const int64_t depth = min(plan.depth, p.channels - k0);
      float* const panel = packed + filters_before(plan, k0) + m / tile_rows * row_panel_floats(depth) + v;
      for (int64_t k = 0; k < depth; k++) {
        Vec taps[9], half[3][6];  // half: [column of the filter][point]
        gather_taps(filter, (k0 + k) * p.channel_stride, taps);
        for (int t = 0; t < 9; t++) zeros = simd::fma(simd::zero(), taps[t], zeros);
        for (int s = 0; s < 3; s++) {
          const Vec column[3] = {taps[p.flipped ? 8 - s : s], taps[p.flipped ? 5 - s : 3 + s],
                                 taps[p.flipped ? 2 - s : 6 + s]};
          filter_transform(column, half[s]);
        }
        float* to = panel + k * tile_rows;
        for (int r = 0; r < 6; r++) {
          const Vec row[3] = {half[0][r], half[1][r], half[2][r]};
          Vec out[6];
          filter_transform(row, out);
          for (int i = 0; i < 6; i++, to += plan.filter_floats) simd::store(to, out[i]);
        }
      }
    }
  }
  return simd::reduce_add(zeros) == 0;
}

// The places of a block's tiles in its strips, and of the strips' rows in the planes of source and result.
struct Row {
  int64_t strip, plane, count;
};

struct Layout {
  int32_t *in, *out;  // [tiles] the place of a tile's first element in strips of 6 and of 4 rows
  int32_t* wide;      // [tiles] room for the numbers of tiles that are left to the direct sum
  Row *reads, *writes;
  int64_t read_count, write_count;
};

// The floats of a layout.
int64_t layout_floats(const Plan& plan) {
  return round_up(3 * plan.block + 2 * plan.most_rows * int64_t(sizeof(Row) / sizeof(float)), 16);
}

Layout make_layout(const WinogradProduct& p, const Plan& plan, int64_t first, int64_t count, float* room) {
  Row* rows = reinterpret_cast<Row*>(room);
  int32_t* offsets = reinterpret_cast<int32_t*>(rows + 2 * plan.most_rows);
  Layout layout = {offsets, offsets + plan.block, offsets + 2 * plan.block, rows, rows + plan.most_rows, 0, 0};
  int64_t strip = 0;
  for_strips(plan.map, first, count, plan.block,
             [&](int64_t image, int64_t row, int64_t column, int64_t tiles, int64_t number) {
               for (int64_t t = 0; t < tiles; t++) {
                 layout.in[number + t] = int32_t(strip * winograd_points * plan.pitch + t * winograd_tile);
                 layout.out[number + t] = int32_t(strip * winograd_tile * plan.pitch + t * winograd_tile);
               }
               const int64_t p0 = row * winograd_tile, q0 = column * winograd_tile, w = q0 + p.offset_w;
               const int64_t low = max(0, -w), high = min(tiles * winograd_tile + 2, p.W - w);
               for (int64_t r = 0; r < winograd_points; r++) {
                 const int64_t h = p0 + p.offset_h + r;
                 if (h >= 0 && h < p.H && low < high)
                   layout.reads[layout.read_count++] = {(strip * winograd_points + r) * plan.pitch + low,
                                                        (image * p.G * p.channels * p.H + h) * p.W + w + low,
                                                        high - low};
               }
               for (int64_t r = 0; r < min(winograd_tile, p.P - p0); r++)
                 layout.writes[layout.write_count++] = {(strip * winograd_tile + r) * plan.pitch,
                                                        (image * p.G * p.M * p.P + p0 + r) * p.Q + q0,
                                                        min(tiles * winograd_tile, p.Q - q0)};
               strip++;
             });
  for (int64_t t = count; t < plan.block; t++) layout.in[t] = layout.out[t] = 0;
  return layout;
}

// Transforms a vector of tiles, which begin at tile + offsets[i] and have rows `pitch` apart. Element e goes to to + e
// * element.
void transform_vector(float* to, int64_t element, const float* tile, const int32_t* offsets, int64_t pitch) {
  Vec half[6][6];  // [row][point]
  for (int r = 0; r < 6; r++, tile += pitch) {
    Vec d[6], rest[4];
    {
      Vec first[4];
      for (int i = 0; i < 4; i++) first[i] = load_quads([&](int q) { return tile + offsets[4 * q + i]; });
      transpose_quads(first);
      for (int i = 0; i < 4; i++) d[i] = first[i];
    }
    for (int i = 0; i < 4; i++) rest[i] = load_quads([&](int q) { return tile + offsets[4 * q + i] + 4; });
    transpose_quads(rest);
    d[4] = rest[0];
    d[5] = rest[1];
    source_transform(d, half[r]);
  }
  for (int i = 0; i < 6; i++) {
    const Vec column[6] = {half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i]};
    Vec out[6];
    source_transform(column, out);
    for (int r = 0; r < 6; r++) simd::store(to + (6 * r + i) * element, out[r]);
  }
}

void read_strips(float* strips, const float* plane, const Layout& layout) {
  for (int64_t i = 0; i < layout.read_count; i++)
    copy_floats(strips + layout.reads[i].strip, plane + layout.reads[i].plane, layout.reads[i].count);
}

// The planes come from memory, so they are prefetched while results are computed.
void prefetch_rows(const float* plane, const Layout& layout) {
  for (int64_t i = 0; i < layout.write_count; i++)
    for (int64_t k = 0; k < layout.writes[i].count; k += 16) __builtin_prefetch(plane + layout.writes[i].plane + k, 1);
}

void write_strips(float* plane, const float* strips, const Layout& layout) {
  for (int64_t i = 0; i < layout.write_count; i++)
    copy_floats(plane + layout.writes[i].plane, strips + layout.writes[i].strip, layout.writes[i].count);
}

// Adds the squares of `Channels` planes to energies, which have the strips' layout.
template <int Channels>
void add_squares(float* energies, const float* planes, int64_t plane, const Layout& layout) {
  for (int64_t i = 0; i < layout.read_count; i++) {
    float* to = energies + layout.reads[i].strip;
    const float* from = planes + layout.reads[i].plane;
    for (int64_t left = layout.reads[i].count; left > 0; left -= lanes, to += lanes, from += lanes) {
      Vec sum = simd::load(to);
      for (int c = 0; c < Channels; c++) {
        const float* at = from + c * plane;
        const Vec x = left >= lanes ? simd::load(at) : simd::load_partial(at, int(left));
        sum = simd::fma(x, x, sum);
      }
      simd::store(to, sum);
    }
  }
}

// Lists the tiles that are too wide, or all tiles if need be, in layout.wide, and returns their number.
int64_t list_wide(const WinogradProduct& p, const Plan& plan, int64_t first, int64_t count, bool all,
                  const float* energies, const Layout& layout) {
  int64_t listed = 0;
  for_strips(plan.map, first, count, plan.block,
             [&](int64_t, int64_t row, int64_t column, int64_t tiles, int64_t number) {
               find_ranges<6, 3>(energies, plan.pitch, tiles, min(winograd_tile, p.P - row * winograd_tile),
                                 p.Q - column * winograd_tile, [&](int64_t tile, Range range) {
                                   if (all || range >= Range::wide) layout.wide[listed++] = int32_t(number + tile);
                                 });
               energies += winograd_points * plan.pitch;
             });
  return listed;
}

void transform_tiles(float* to, float* energies, const WinogradProduct& p, const Plan& plan, const float* source,
                     int64_t count, const Layout& layout, float* strips) {
  constexpr int64_t at_once = 8;
  memset(strips, 0, size_t(plan.strip_floats) * sizeof(float));  // the elements outside the planes remain 0
  memset(energies, 0, size_t(plan.strip_floats) * sizeof(float));
  const int64_t plane = p.H * p.W;
  for (int64_t c = 0; c < p.channels; c++) {
    if (c % at_once == 0 && c + at_once <= p.channels)
      add_squares<at_once>(energies, source + c * plane, plane, layout);
    else if (c >= p.channels / at_once * at_once)
      add_squares<1>(energies, source + c * plane, plane, layout);
    read_strips(strips, source + c * plane, layout);
    for (int64_t t = 0; t < count; t += lanes)
      transform_vector(to + (t / tile_columns * p.channels + c) * tile_columns + t % tile_columns, plan.tile_floats,
                       strips, layout.in + t, plan.pitch);
  }
}

// products [36][M][tiles] = filters tiles, for rows [m, m + rows) of a group.
void multiply_tiles(float* products, const float* tiles, const float* filters, const WinogradProduct& p,
                    const Plan& plan, int64_t count, int64_t m, int64_t rows) {
  for (int64_t element = 0; element < winograd_elements; element++) {
    const float* left = filters + element * plan.filter_floats;
    const float* right = tiles + element * plan.tile_floats;
    float* to = products + element * plan.product_floats;
    for (int64_t k = 0; k < p.channels; k += plan.depth) {
      const int64_t depth = min(plan.depth, p.channels - k);
      const float* panels = left + filters_before(plan, k) + m / tile_rows * row_panel_floats(depth);
      for (int64_t j = 0; j < count; j += tile_columns)
        multiply_panels(to + j, plan.block, panels, row_panel_floats(depth), right + j * p.channels + k * tile_columns,
                        rows, depth, k > 0);
    }
  }
}

// Writes the lanes of a vector, four at a time, to the places of as many tiles.
template <int Q = 0>
FIRESTEEL_INLINE void store_quads(float* to, const int32_t* offsets, Vec value) {
  if constexpr (Q < lanes / 4) {
    const simd::Quad quad = simd::quad<Q>(value);
    memcpy(to + offsets[4 * Q], &quad, 16);
    store_quads<Q + 1>(to, offsets, value);
  }
}

// Transforms a vector of tiles back.
void transform_products(float* strips, const int32_t* offsets, int64_t pitch, const float* from, int64_t element,
                        Vec bias, bool relu) {
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
  for (int r = 0; r < 4; r++, strips += pitch) {
    Vec v[4] = {y[0][r] + bias, y[1][r] + bias, y[2][r] + bias, y[3][r] + bias};
    for (int i = 0; relu && i < 4; i++) v[i] = simd::rectified(v[i]);
    transpose_quads(v);
    for (int i = 0; i < 4; i++) store_quads(strips, offsets + i, v[i]);
  }
}

// Writes planes [m, m + rows) of a group of the images.
void transform_results(float* result, const WinogradProduct& p, const Plan& plan, const float* products, int64_t group,
                       int64_t count, int64_t m, int64_t rows, const Layout& layout, float* strips) {
  float* to = result + (group * p.M + m) * p.P * p.Q;
  for (int64_t i = 0; i < rows; i++, to += p.P * p.Q) {
    prefetch_rows(to, layout);
    for (int64_t t = 0; t < count; t += lanes)
      transform_products(strips, layout.out + t, plan.pitch, products + i * plan.block + t, plan.product_floats,
                         simd::set(p.bias ? p.bias[group * p.M + m + i] : 0), p.relu);
    write_strips(to, strips, layout);
  }
}

}  // namespace

void winograd_product(Context& context, const WinogradProduct& p, const float* source, float* result) {
  const Plan plan = make_plan(p);
  const int64_t group_floats = winograd_elements * plan.filter_floats;
  float* filters = scratch_of<float>(context, p.G * group_floats);
  const Chunks packing = full_chunks(p.G * plan.panels, p.channels * winograd_elements * tile_rows, pack_chunk);
  int32_t broken = 0;  // filters that are not finite spoil sums in which a transform cancels terms
  for_items(context, packing, [&](int64_t item) {
    if (!transform_filters(filters + item / plan.panels * group_floats, p, plan, item / plan.panels,
                           item % plan.panels * tile_rows))
      __atomic_store_n(&broken, 1, __ATOMIC_RELAXED);
  });

  const int64_t tile_floats = winograd_elements * plan.tile_floats;
  const int64_t product_floats = winograd_elements * plan.product_floats;
  const Chunks work = full_chunks(p.G * plan.blocks * plan.parts,
                                  plan.block * winograd_elements * p.channels * plan.part, multiply_chunk);
  const int64_t operands = round_up(max(tile_floats + product_floats, direct_product_floats(plan.part)), 16);
  const Rooms rooms = make_rooms(context, 2 * plan.strip_floats + layout_floats(plan) + operands, work);
  for_items(context, work, rooms, [&](int64_t item, float* strips) {
    float *const energies = strips + plan.strip_floats, *const rows_of_strips = energies + plan.strip_floats;
    float *const tiles = rows_of_strips + layout_floats(plan), *const products = tiles + tile_floats;
    const int64_t m = item % plan.parts * plan.part, rows = min(plan.part, p.M - m);
    const int64_t block = item / plan.parts % plan.blocks, group = item / plan.parts / plan.blocks;
    const int64_t first = block * plan.block, count = min(plan.block, plan.map.count - first);
    const Layout layout = make_layout(p, plan, first, count, rows_of_strips);
    transform_tiles(tiles, energies, p, plan, source + group * p.channels * p.H * p.W, count, layout, strips);
    const int64_t wide = list_wide(p, plan, first, count, broken, energies, layout);
    if (wide < count) {
      multiply_tiles(products, tiles, filters + group * group_floats, p, plan, count, m, rows);
      transform_results(result, p, plan, products, group, count, m, rows, layout, strips);
    }
    if (wide) direct_product(p, source, result, group, first, layout.wide, wide, m, rows, tiles);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
