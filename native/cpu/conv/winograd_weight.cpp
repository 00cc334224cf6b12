// The gradient of the weight by Winograd's algorithm (winograd.h). Each of the 36 elements is a product [M, tiles] x
// [tiles, channels], summed over the tiles of all images. The sums are transformed back once.
//
// Tiles are transformed straight into packed operands: vectors run along the channels, so that a panel's row, which
// belongs to one tile, is whole vectors. The products take 2 (36 / 16) N G M C P Q operations.
//
// If channels are few, tiles are cut into slices. Each slice has its own sums, which are added in order. A slice goes
// block by block, in blocks so small that their operands and the sums stay in the second-level cache of the thread that
// transforms and multiplies. If channels are many, the sums are too large for that, and tiles are taken a slab at a
// time. All threads transform the slab; then all threads multiply and add the slab's product to the sums. An item is
// then an element and a part of M.
#include <string.h>

#include "../rooms.h"
#include "winograd_direct.h"
#include "winograd_panel.h"
#include "winograd_range.h"
#include "winograd_tile.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA::conv {

using gemm::tile_columns;
using gemm::tile_rows;
using namespace winograd_weight_blocks;

namespace {

constexpr int lanes = simd::lanes;
constexpr int64_t most_vectors = row_vectors * lanes > tile_columns ? row_vectors : tile_columns / lanes;
constexpr int64_t strip_floats = winograd_points * (strip_tiles * winograd_tile + 2) * most_vectors * lanes;

struct Plan {
  TileMap map;
  int64_t slab;                       // tiles transformed at a time, by all threads or by one
  int64_t slices;                     // of tiles, one thread each; or 0
  int64_t depth, depth_blocks;        // tiles multiplied at a time; their number in a slab
  int64_t row_panels, column_panels;  // of M and of C
  int64_t row_floats, column_floats;  // of a panel of an element
  int64_t left_floats, right_floats;  // from element to element, of a block of depth
  int64_t sum_floats, sum_width;      // from element to element of the sums, and from row to row
  int64_t dy_energies, x_energies;    // floats, from panel to panel of a block of depth
  int64_t block_energies;             // of all panels
};

Plan make_plan(const Shape& s) {
  Plan plan;
  plan.map = map_tiles(s.N, s.P, s.Q);
  plan.row_panels = ceil_div(s.M, tile_rows);
  plan.column_panels = ceil_div(s.C, tile_columns);
  plan.sum_width = plan.column_panels * tile_columns;
  plan.sum_floats = sum_floats(s.M, s.C);
  const bool few = few_channels(s.M, s.C);
  const int64_t most = slab_tiles(s.M, s.C);
  plan.slab = few ? min(most, plan.map.count) : ceil_div(plan.map.count, ceil_div(plan.map.count, most));
  plan.slices = few ? min(most_slices, ceil_div(plan.map.count, plan.slab)) : 0;
  plan.depth_blocks = ceil_div(plan.slab, gemm::block_depth);
  plan.depth = ceil_div(plan.slab, plan.depth_blocks);
  plan.row_floats = row_panel_floats(plan.depth);
  plan.column_floats = plan.depth * tile_columns;
  plan.left_floats = off_page(plan.row_panels * plan.row_floats);
  plan.right_floats = off_page(plan.column_panels * plan.column_floats);
  plan.dy_energies = plan.depth * winograd_tile * winograd_tile + energy_slack;
  plan.x_energies = plan.depth * winograd_elements + energy_slack;
  plan.block_energies = plan.row_panels * plan.dy_energies + plan.column_panels * plan.x_energies;
  return plan;
}

// Fills strip [rows][columns][vectors * lanes] from `channels` planes, beginning at (h, w), with zeros outside the
// planes. Missing channels repeat the last one, and nobody reads their results.
void fill_strip(float* strip, const float* source, int64_t channels, int64_t H, int64_t W, int64_t h, int64_t w,
                int64_t rows, int64_t columns, int64_t vectors) {
  const int64_t width = vectors * lanes, plane = H * W;
  const int64_t low = min(columns, max(0, -w)), high = max(low, min(columns, W - w));
  const size_t before = size_t(low * width) * sizeof(float), behind = size_t((columns - high) * width) * sizeof(float);
  for (int64_t row = 0; row < rows; row++, strip += columns * width) {
    if (h + row < 0 || h + row >= H) {
      memset(strip, 0, size_t(columns * width) * sizeof(float));
      continue;
    }
    if (before) memset(strip, 0, before);
    if (behind) memset(strip + high * width, 0, behind);
    for (int64_t c = 0; c < width; c += lanes) {
      const float* from[lanes];
      for (int64_t i = 0; i < lanes; i++) from[i] = source + min(c + i, channels - 1) * plane + (h + row) * W + w;
      if (high - low < 4) {
        for (int64_t column = low; column < high; column++)
          for (int64_t i = 0; i < lanes; i++) strip[column * width + c + i] = from[i][column];
        continue;
      }
      for (int64_t column = low; column < high; column += 4) {
        if (column > high - 4) column = high - 4;  // overlaps the last vector
        Vec v[4];
        for (int i = 0; i < 4; i++) v[i] = load_quads([&](int q) { return from[4 * q + i] + column; });
        transpose_quads(v);
        for (int i = 0; i < 4; i++) simd::store(strip + (column + i) * width + c, v[i]);
      }
    }
  }
}

// The energies (winograd_range.h) of the same strip, [rows][columns]: the sums of squares over the existing channels.
void square_strip(float* energies, const float* source, int64_t channels, int64_t H, int64_t W, int64_t h, int64_t w,
                  int64_t rows, int64_t columns) {
  const int64_t plane = H * W, low = min(columns, max(0, -w)), high = max(low, min(columns, W - w));
  memset(energies, 0, size_t(rows * columns) * sizeof(float));
  for (int64_t row = max(0, -h); row < min(rows, H - h); row++)
    for (int64_t q = low; q < high; q += lanes) {
      const int count = int(min(lanes, high - q));
      const float* from = source + (h + row) * W + w + q;
      Vec even = simd::zero(), odd = simd::zero();
      const auto add = [&](Vec & sum, int64_t c) __attribute__((always_inline)) {
        const Vec x = count == lanes ? simd::load(from + c * plane) : simd::load_partial(from + c * plane, count);
        sum = simd::fma(x, x, sum);
      };
      int64_t c = 0;
      for (; c + 2 <= channels; c += 2) {
        add(even, c);
        add(odd, c + 1);
      }
      if (c < channels) add(even, c);
      simd::store_partial(energies + row * columns + q, even + odd, count);
    }
}

// Transforms a strip of tiles of Taps x Taps into rows of a panel, `row` floats apart. Element e goes to to + e *
// element.
template <int Taps, int64_t Vectors, class Transform>
void transform_strip(float* to, int64_t element, int64_t row, float* strip, int64_t tiles, const Transform& transform) {
  constexpr int64_t width = Vectors * lanes;
  const int64_t pitch = (tiles * winograd_tile + Taps - winograd_tile) * width;
  for (int64_t i = 0; i < pitch; i += lanes) {
    Vec in[Taps], out[6];
    for (int r = 0; r < Taps; r++) in[r] = simd::load(strip + r * pitch + i);
    transform(in, out);
    for (int r = 0; r < 6; r++) simd::store(strip + r * pitch + i, out[r]);
  }
  for (int64_t t = 0; t < tiles; t++, to += row)
    for (int64_t v = 0; v < width; v += lanes) {
      const float* from = strip + t * winograd_tile * width + v;
      float* at = to + v;
      for (int r = 0; r < 6; r++, from += pitch) {
        Vec in[Taps], out[6];
        for (int i = 0; i < Taps; i++) in[i] = simd::load(from + i * width);
        transform(in, out);
        for (int i = 0; i < 6; i++, at += element) simd::store(at, out[i]);
      }
    }
}

// Tiles [first, first + count) of one panel of a group's planes; at most `channels` channels of the panel exist. Also
// writes the tiles' energies, strip by strip, as if tiles of Taps x Taps lay side by side.
template <int Taps, int64_t Vectors, class Transform>
void transform_panel(float* to, int64_t element, int64_t row, float* energies, const Plan& plan, int64_t first,
                     int64_t count, int64_t panel_channels, const float* planes, int64_t image_stride, int64_t channels,
                     int64_t H, int64_t W, int64_t pad_h, int64_t pad_w, const Transform& transform) {
  alignas(64) float strip[strip_floats];
  for_strips(plan.map, first, count, strip_tiles,
             [&](int64_t image, int64_t down, int64_t across, int64_t tiles, int64_t number) {
               const int64_t h = down * winograd_tile - pad_h, w = across * winograd_tile - pad_w;
               const int64_t columns = tiles * winograd_tile + Taps - winograd_tile;
               const float* const source = planes + image * image_stride;
               fill_strip(strip, source, channels, H, W, h, w, Taps, columns, Vectors);
               square_strip(energies + number * Taps * Taps, source, min(panel_channels, channels), H, W, h, w, Taps,
                            columns);
               transform_strip<Taps, Vectors>(to + number * row, element, row, strip, tiles, transform);
             });
}

// Transforms tiles [first, first + count) of one panel from the planes of a group into a block of the packed operands
// and energies. The panel is one of channels out or, after those, of channels in.
void transform_tiles(float* left, float* right, float* energies, const Plan& plan, const Shape& s, int64_t panel,
                     int64_t first, int64_t count, const float* dy, const float* x) {
  if (panel < plan.row_panels) {
    const int64_t m = panel * tile_rows;
    transform_panel<4, row_vectors>(left + panel * plan.row_floats, plan.left_floats, tile_rows,
                                    energies + panel * plan.dy_energies, plan, first, count, tile_rows,
                                    dy + m * s.P * s.Q, s.G * s.M * s.P * s.Q, s.M - m, s.P, s.Q, 0, 0,
                                    [](const Vec(&y)[4], Vec(&w)[6]) { gradient_transform(y, w); });
  } else {
    const int64_t c = (panel - plan.row_panels) * tile_columns;
    transform_panel<6, tile_columns / lanes>(
        right + (panel - plan.row_panels) * plan.column_floats, plan.right_floats, tile_columns,
        energies + plan.row_panels * plan.dy_energies + (panel - plan.row_panels) * plan.x_energies, plan, first, count,
        tile_columns, x + c * s.H * s.W, s.G * s.C * s.H * s.W, s.C - c, s.H, s.W, s.pad_h, s.pad_w,
        [](const Vec(&d)[6], Vec(&v)[6]) { source_transform(d, v); });
  }
}

// The sum, over the panels, of the values that begin at `from` in each panel.
void add_panels(float* to, const float* from, int64_t floats, int64_t panel_floats, int64_t panels) {
  for (int64_t i = 0; i < floats; i += lanes) {
    Vec sum = simd::load(from + i);
    for (int64_t panel = 1; panel < panels; panel++) sum = sum + simd::load(from + panel * panel_floats + i);
    simd::store(to + i, sum);
  }
}

// The existing positions of a tile along one axis: of dy, and of x [low, high).
struct Extent {
  int64_t count, low, high;
};

Extent extent_of(int64_t number, int64_t results, int64_t pad, int64_t length) {
  const int64_t first = number * winograd_tile;
  return {min(winograd_tile, results - first), max(0, pad - first), min(winograd_points, length + pad - first)};
}

// Whether some tap reads too little of a tile of dy or of x, by the rule of winograd_range.h. In a whole tile no tap
// reads less than some window of find_ranges does, but in a tile that hangs over a border one may. A tap that reads
// only padding is ignored, because otherwise all tiles of one row would go the slow way. Its error there is that of one
// tile among many.
bool has_wide_taps(const float* dy, int64_t dy_pitch, const float* x, int64_t x_pitch, const Extent& rows,
                   const Extent& columns) {
  float dy_energy = 0, x_energy = 0;
  for (int64_t p = 0; p < rows.count; p++)
    for (int64_t q = 0; q < columns.count; q++) dy_energy += dy[p * dy_pitch + q];
  for (int64_t h = rows.low; h < rows.high; h++)
    for (int64_t w = columns.low; w < columns.high; w++) x_energy += x[h * x_pitch + w];
  for (int64_t r = 0; r < 3; r++)
    for (int64_t s = 0; s < 3; s++) {
      const int64_t p0 = max(0, rows.low - r), p1 = min(rows.count, rows.high - r);
      const int64_t q0 = max(0, columns.low - s), q1 = min(columns.count, columns.high - s);
      if (p0 >= p1 || q0 >= q1) continue;  // nothing but padding
      float of_dy = 0, of_x = 0;
      for (int64_t p = p0; p < p1; p++)
        for (int64_t q = q0; q < q1; q++) {
          of_dy += dy[p * dy_pitch + q];
          of_x += x[(p + r) * x_pitch + q + s];
        }
      if (!(dy_energy <= widest_range * of_dy && x_energy <= widest_range * of_x)) return true;
    }
  return false;
}

// Sets the operands of a tile to zero.
void take_out(float* left, float* right, const Plan& plan, int64_t number) {
  for (int64_t element = 0; element < winograd_elements; element++) {
    for (int64_t i = 0; i < plan.row_panels; i++)
      memset(left + element * plan.left_floats + i * plan.row_floats + number * tile_rows, 0,
             tile_rows * sizeof(float));
    for (int64_t i = 0; i < plan.column_panels; i++)
      memset(right + element * plan.right_floats + i * plan.column_floats + number * tile_columns, 0,
             tile_columns * sizeof(float));
  }
}

// Leaves the tiles of a block that are too wide to the direct sum, marks them, and takes them out of the operands. A
// product with zeros is exact, however wide the other side is, unless that side is not finite.
void take_out_wide(uint8_t* marks, float* left, float* right, const float* energies, const Plan& plan, const Shape& s,
                   int64_t first, int64_t count) {
  for_strips(plan.map, first, count, strip_tiles,
             [&](int64_t, int64_t down, int64_t across, int64_t tiles, int64_t number) {
               float dy[strip_tiles * 16 + energy_slack], x[strip_tiles * winograd_elements + energy_slack];
               Range of_dy[strip_tiles];
               const int64_t dy_pitch = tiles * winograd_tile, x_pitch = dy_pitch + winograd_points - winograd_tile;
               const int64_t columns = s.Q - across * winograd_tile;
               const Extent rows = extent_of(down, s.P, s.pad_h, s.H);
               add_panels(dy, energies + number * 16, 4 * dy_pitch, plan.dy_energies, plan.row_panels);
               add_panels(x, energies + plan.row_panels * plan.dy_energies + number * winograd_elements, 6 * x_pitch,
                          plan.x_energies, plan.column_panels);
               find_ranges<4, 2>(dy, dy_pitch, tiles, rows.count, columns,
                                 [&](int64_t tile, Range range) { of_dy[tile] = range; });
               find_ranges<6, 3>(x, x_pitch, tiles, rows.count, columns, [&](int64_t tile, Range of_x) {
                 const Range worst = of_dy[tile] > of_x ? of_dy[tile] : of_x;
                 const bool nothing = of_dy[tile] == Range::nothing || of_x == Range::nothing;
                 bool wide = worst == Range::not_finite || (worst == Range::wide && !nothing);
                 if (worst == Range::even && !nothing) {
                   const Extent across_tile = extent_of(across + tile, s.Q, s.pad_w, s.W);
                   if (rows.count < winograd_tile || across_tile.count < winograd_tile)
                     wide = has_wide_taps(dy + tile * winograd_tile, dy_pitch, x + tile * winograd_tile, x_pitch, rows,
                                          across_tile);
                 }
                 marks[first + number + tile] = wide;
                 if (wide) take_out(left, right, plan, number + tile);
               });
             });
}

// Rows [m, m + rows) of the 36 elements' sums, from a slab of `count` tiles.
void multiply_slab(float* sums, const float* left, const float* right, const Shape& s, const Plan& plan, int64_t count,
                   int64_t m, int64_t rows, bool accumulate) {
  for (int64_t block = 0; block * plan.depth < count; block++) {
    const int64_t depth = min(plan.depth, count - block * plan.depth);
    const float* a = left + block * winograd_elements * plan.left_floats + m / tile_rows * plan.row_floats;
    const float* b = right + block * winograd_elements * plan.right_floats;
    for (int64_t j = 0; j < plan.column_panels; j++)
      multiply_panels(sums + m * plan.sum_width + j * tile_columns, plan.sum_width, a, plan.row_floats,
                      b + j * plan.column_floats, rows, depth, accumulate || block > 0);
  }
}

// The filters [channels][3][3] of row m from the sums of all slices.
void transform_sums(float* filters, const float* sums, const Plan& plan, int64_t channels) {
  for (int64_t c = 0; c < channels; c += lanes) {
    Vec half[3][6];
    for (int i = 0; i < 6; i++) {
      Vec column[6], out[3];
      for (int r = 0; r < 6; r++) {
        const float* from = sums + (6 * r + i) * plan.sum_floats + c;
        column[r] = simd::load(from);
        for (int64_t slice = 1; slice < plan.slices; slice++)
          column[r] = column[r] + simd::load(from + slice * winograd_elements * plan.sum_floats);
      }
      filter_gradient_transform(column, out);
      for (int r = 0; r < 3; r++) half[r][i] = out[r];
    }
    float taps[9][lanes];
    for (int r = 0; r < 3; r++) {
      Vec out[3];
      filter_gradient_transform(half[r], out);
      for (int i = 0; i < 3; i++) simd::store(taps[3 * r + i], out[i]);
    }
    const int64_t present = min(lanes, channels - c);
    for (int64_t i = 0; i < present; i++)
      for (int t = 0; t < 9; t++) filters[(c + i) * 9 + t] = taps[t][i];
  }
}

// The floats of a block's left operands, including what extends beyond the last panel.
int64_t left_room(const Plan& plan) { return round_up(winograd_elements * plan.left_floats + lanes, 16); }

int64_t right_room(const Plan& plan) { return round_up(winograd_elements * plan.right_floats, 16); }

// The sums of all slices, of the planes of a group; a room holds the operands of a block.
void sum_slices(Context& context, float* sums, uint8_t* marks, const Rooms& rooms, const Plan& plan, const Shape& s,
                const float* dy, const float* x) {
  const int64_t blocks = ceil_div(plan.map.count, plan.slab);
  const Chunks work =
      full_chunks(plan.slices, ceil_div(plan.map.count, plan.slices) * winograd_elements * s.M * s.C, multiply_chunk);
  for_items(context, work, rooms, [&](int64_t slice, float* left) {
    float* const right = left + left_room(plan);
    float* const energies = right + right_room(plan);
    const int64_t begin = blocks * slice / plan.slices, end = blocks * (slice + 1) / plan.slices;
    for (int64_t block = begin; block < end; block++) {
      const int64_t first = block * plan.slab, count = min(plan.slab, plan.map.count - first);
      for (int64_t panel = 0; panel < plan.row_panels + plan.column_panels; panel++)
        transform_tiles(left, right, energies, plan, s, panel, first, count, dy, x);
      take_out_wide(marks, left, right, energies, plan, s, first, count);
      for (int64_t element = 0; element < winograd_elements; element++)
        multiply_slab(sums + (slice * winograd_elements + element) * plan.sum_floats, left + element * plan.left_floats,
                      right + element * plan.right_floats, s, plan, count, 0, s.M, block > begin);
    }
  });
}

// The sums, slab by slab, of the planes of a group.
void sum_slabs(Context& context, float* sums, uint8_t* marks, float* left, float* right, float* energies,
               const Plan& plan, const Shape& s, const float* dy, const float* x) {
  const int64_t left_block = winograd_elements * plan.left_floats, right_block = winograd_elements * plan.right_floats;
  const int64_t parts = ceil_div(s.M, part_rows);
  for (int64_t first = 0; first < plan.map.count; first += plan.slab) {
    const int64_t count = min(plan.slab, plan.map.count - first), blocks = ceil_div(count, plan.depth);
    const Chunks transforms = full_chunks((plan.row_panels + plan.column_panels) * blocks,
                                          plan.depth * winograd_elements * tile_columns, pack_chunk);
    for_items(context, transforms, [&](int64_t item) {
      const int64_t block = item % blocks;
      transform_tiles(left + block * left_block, right + block * right_block, energies + block * plan.block_energies,
                      plan, s, item / blocks, first + block * plan.depth, min(plan.depth, count - block * plan.depth),
                      dy, x);
    });
    parallel(context, blocks, [&](int64_t block) {
      take_out_wide(marks, left + block * left_block, right + block * right_block,
                    energies + block * plan.block_energies, plan, s, first + block * plan.depth,
                    min(plan.depth, count - block * plan.depth));
    });
    const Chunks products = full_chunks(winograd_elements * parts, min(part_rows, s.M) * s.C * count, multiply_chunk);
    for_items(context, products, [&](int64_t item) {
      const int64_t element = item / parts, m = item % parts * part_rows;
      multiply_slab(sums + element * plan.sum_floats, left + element * plan.left_floats,
                    right + element * plan.right_floats, s, plan, count, m, min(part_rows, s.M - m), first > 0);
    });
  }
}

}  // namespace

void winograd_weight_gradient(Context& context, const Shape& s, float* dweight, const float* dy, const float* x) {
  const Plan plan = make_plan(s);
  float *left = nullptr, *right = nullptr, *energies = nullptr;
  Rooms rooms = {};
  if (plan.slices) {
    rooms = make_rooms(context, left_room(plan) + right_room(plan) + plan.block_energies, plan.slices);
  } else {
    left = scratch_of<float>(context, plan.depth_blocks * winograd_elements * plan.left_floats + lanes);
    right = scratch_of<float>(context, plan.depth_blocks * winograd_elements * plan.right_floats);
    energies = scratch_of<float>(context, plan.depth_blocks * plan.block_energies);
  }
  float* const sums = scratch_of<float>(context, max(1, plan.slices) * winograd_elements * plan.sum_floats);
  uint8_t* const marks = scratch_of<uint8_t>(context, plan.map.count);
  int32_t* const wide = scratch_of<int32_t>(context, plan.map.count);
  for (int64_t group = 0; group < s.G; group++) {
    const float *gradient = dy + group * s.M * s.P * s.Q, *source = x + group * s.C * s.H * s.W;
    if (plan.slices)
      sum_slices(context, sums, marks, rooms, plan, s, gradient, source);
    else
      sum_slabs(context, sums, marks, left, right, energies, plan, s, gradient, source);
    const Chunks rows = full_chunks(s.M, s.C * winograd_elements * max(1, plan.slices), pack_chunk);
    for_items(context, rows, [&](int64_t m) {
      transform_sums(dweight + (group * s.M + m) * s.C * 9, sums + m * plan.sum_width, plan, s.C);
    });
    int64_t count = 0;
    for (int64_t tile = 0; tile < plan.map.count; tile++)
      if (marks[tile]) wide[count++] = int32_t(tile);
    if (count) add_direct_gradient(context, s, dweight + group * s.M * s.C * 9, gradient, source, wide, count);
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
