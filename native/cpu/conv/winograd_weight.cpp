// The gradient of the weight by Winograd's algorithm (winograd.h): for each of the 36 elements, [M, tiles] x [tiles,
// channels], summed over the tiles of all images, and transformed back once.
//
// Tiles are transformed straight into packed operands: vectors run along the channels, so that a panel's row, of one
// tile, is whole vectors. 2 (36 / 16) N G M C P Q operations for the products.
//
// Few channels: tiles are cut into slices, each with sums of its own, which are added in their order. A slice goes
// block by block, so small that its operands, and the sums, stay in the second-level cache of who transforms and
// multiplies. Many channels, whose sums are too large for that: tiles are taken a slab at a time. All threads transform
// the slab; then all threads multiply, an item being an element and a part of M, and add the slab's product to the
// sums.
#include <string.h>

#include "../rooms.h"
#include "winograd.h"
#include "winograd_panel.h"
#include "winograd_tile.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA::conv {

using gemm::tile_columns;
using gemm::tile_rows;

namespace {

constexpr int lanes = simd::lanes;
constexpr int64_t most_vectors = row_vectors * lanes > tile_columns ? row_vectors : tile_columns / lanes;
// A strip, a piece of a row of tiles, in the channels of a panel, stays in the first-level cache.
constexpr int64_t strip_tiles = 8;
constexpr int64_t strip_floats = winograd_points * (strip_tiles * winograd_tile + 2) * most_vectors * lanes;
// Floats of a slab: what the last-level cache keeps from transforming to multiplying.
constexpr int64_t slab_floats = int64_t(3) << 20;
// Floats of a block's operands and of its slice's sums in the second-level cache, of which processors with AVX-512 have
// a megabyte; least tiles of a block, so that sums are not read and written too often; and slices.
#if defined(FIRESTEEL_MICRO_AVX512)
constexpr int64_t block_floats = int64_t(208) << 10;
#else
constexpr int64_t block_floats = int64_t(96) << 10;
#endif
constexpr int64_t least_block = 32, most_slices = 16;
// Rows of an item: their panels stay in the second-level cache.
constexpr int64_t part_rows = 16 * tile_rows;

struct Plan {
  TileMap map;
  int64_t slab;                       // tiles transformed at a time: by all threads, or by one
  int64_t slices;                     // of tiles, each of one thread; or 0
  int64_t depth, depth_blocks;        // tiles multiplied at a time, and their number in a slab
  int64_t row_panels, column_panels;  // of M and of C
  int64_t row_floats, column_floats;  // of a panel of an element
  int64_t left_floats, right_floats;  // from element to element, of a block of depth
  int64_t sum_floats, sum_width;      // from element to element of the sums, and from row to row
};

Plan make_plan(const Shape& s) {
  Plan plan;
  plan.map = map_tiles(s.N, s.P, s.Q);
  plan.row_panels = ceil_div(s.M, tile_rows);
  plan.column_panels = ceil_div(s.C, tile_columns);
  const int64_t tile_floats = winograd_elements * (plan.row_panels * tile_rows + plan.column_panels * tile_columns);
  plan.sum_width = plan.column_panels * tile_columns;
  plan.sum_floats = off_page(s.M * plan.sum_width);
  const int64_t block = smaller((block_floats - winograd_elements * plan.sum_floats) / tile_floats, gemm::block_depth);
  const bool few_channels = block >= least_block;
  const int64_t most = few_channels ? block / strip_tiles * strip_tiles
                                    : larger(1, slab_floats / (tile_floats * gemm::block_depth)) * gemm::block_depth;
  plan.slab = few_channels ? smaller(most, plan.map.count) : ceil_div(plan.map.count, ceil_div(plan.map.count, most));
  plan.slices = few_channels ? smaller(most_slices, ceil_div(plan.map.count, plan.slab)) : 0;
  plan.depth_blocks = ceil_div(plan.slab, gemm::block_depth);
  plan.depth = ceil_div(plan.slab, plan.depth_blocks);
  plan.row_floats = row_panel_floats(plan.depth);
  plan.column_floats = plan.depth * tile_columns;
  plan.left_floats = off_page(plan.row_panels * plan.row_floats);
  plan.right_floats = off_page(plan.column_panels * plan.column_floats);
  return plan;
}

// Fills strip [rows][columns][vectors * lanes] from planes, `channels` of them, beginning at (h, w); zeros outside of
// the planes. For channels that are not there it repeats the last: nobody reads what becomes of them.
void fill_strip(float* strip, const float* source, int64_t channels, int64_t H, int64_t W, int64_t h, int64_t w,
                int64_t rows, int64_t columns, int64_t vectors) {
  const int64_t width = vectors * lanes, plane = H * W;
  const int64_t low = smaller(columns, larger(0, -w)), high = larger(low, smaller(columns, W - w));
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
      for (int64_t i = 0; i < lanes; i++) from[i] = source + smaller(c + i, channels - 1) * plane + (h + row) * W + w;
      if (high - low < 4) {
        for (int64_t column = low; column < high; column++)
          for (int64_t i = 0; i < lanes; i++) strip[column * width + c + i] = from[i][column];
        continue;
      }
      for (int64_t column = low; column < high; column += 4) {
        if (column > high - 4) column = high - 4;  // overlaps the last
        Vec v[4];
        for (int i = 0; i < 4; i++) v[i] = load_quads([&](int q) { return from[4 * q + i] + column; });
        transpose_quads(v);
        for (int i = 0; i < 4; i++) simd::store(strip + (column + i) * width + c, v[i]);
      }
    }
  }
}

// Transforms a strip of tiles of Taps x Taps to rows of a panel, `row` floats apart; element e at to + e * element.
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

// Tiles [first, first + count) of one panel of channels, from c on, of `channels`, of a group's planes.
template <int Taps, int64_t Vectors, class Transform>
void transform_panel(float* to, int64_t element, int64_t row, const Plan& plan, int64_t first, int64_t count,
                     const float* planes, int64_t image_stride, int64_t channels, int64_t H, int64_t W, int64_t pad_h,
                     int64_t pad_w, const Transform& transform) {
  alignas(64) float strip[strip_floats];
  for_strips(plan.map, first, count, strip_tiles,
             [&](int64_t image, int64_t down, int64_t across, int64_t tiles, int64_t number) {
               fill_strip(strip, planes + image * image_stride, channels, H, W, down * winograd_tile - pad_h,
                          across * winograd_tile - pad_w, Taps, tiles * winograd_tile + Taps - winograd_tile, Vectors);
               transform_strip<Taps, Vectors>(to + number * row, element, row, strip, tiles, transform);
             });
}

// Tiles [first, first + count) of one panel, a panel of channels out or, after those, of channels in, from the planes
// of a group, to a block of the packed operands.
void transform_tiles(float* left, float* right, const Plan& plan, const Shape& s, int64_t panel, int64_t first,
                     int64_t count, const float* dy, const float* x) {
  if (panel < plan.row_panels) {
    const int64_t m = panel * tile_rows;
    transform_panel<4, row_vectors>(left + panel * plan.row_floats, plan.left_floats, tile_rows, plan, first, count,
                                    dy + m * s.P * s.Q, s.G * s.M * s.P * s.Q, s.M - m, s.P, s.Q, 0, 0,
                                    [](const Vec(&y)[4], Vec(&w)[6]) { gradient_transform(y, w); });
  } else {
    const int64_t c = (panel - plan.row_panels) * tile_columns;
    transform_panel<6, tile_columns / lanes>(right + (panel - plan.row_panels) * plan.column_floats, plan.right_floats,
                                             tile_columns, plan, first, count, x + c * s.H * s.W, s.G * s.C * s.H * s.W,
                                             s.C - c, s.H, s.W, s.pad_h, s.pad_w,
                                             [](const Vec(&d)[6], Vec(&v)[6]) { source_transform(d, v); });
  }
}

// Rows [m, m + rows) of the 36 sums of an element, from a slab of `count` tiles.
void multiply_slab(float* sums, const float* left, const float* right, const Shape& s, const Plan& plan, int64_t count,
                   int64_t m, int64_t rows, bool accumulate) {
  for (int64_t block = 0; block * plan.depth < count; block++) {
    const int64_t depth = smaller(plan.depth, count - block * plan.depth);
    const float* a = left + block * winograd_elements * plan.left_floats + m / tile_rows * plan.row_floats;
    const float* b = right + block * winograd_elements * plan.right_floats;
    for (int64_t j = 0; j < plan.column_panels; j++)
      multiply_panels(sums + m * plan.sum_width + j * tile_columns, plan.sum_width, a, plan.row_floats,
                      b + j * plan.column_floats, rows, depth, accumulate || block > 0);
  }
}

// The filters [channels][3][3] of row m from its sums, those of all slices.
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
    const int64_t present = smaller(lanes, channels - c);
    for (int64_t i = 0; i < present; i++)
      for (int t = 0; t < 9; t++) filters[(c + i) * 9 + t] = taps[t][i];
  }
}

// Floats of a block's left operands, with what the last panel spills over.
int64_t left_room(const Plan& plan) { return round_up(winograd_elements * plan.left_floats + lanes, 16); }

// The sums of all slices, of the planes of a group; a room holds the operands of a block.
void sum_slices(Context& context, float* sums, const Rooms& rooms, const Plan& plan, const Shape& s, const float* dy,
                const float* x) {
  const int64_t blocks = ceil_div(plan.map.count, plan.slab);
  const Batch work =
      batch(plan.slices, ceil_div(plan.map.count, plan.slices) * winograd_elements * s.M * s.C, multiply_chunk);
  parallel(context, work.chunks, [&](int64_t chunk) {
    int64_t room_number;
    float *const left = enter_room(rooms, room_number), *const right = left + left_room(plan);
    for (int64_t slice = first_item(work, chunk); slice < first_item(work, chunk + 1); slice++) {
      const int64_t begin = blocks * slice / plan.slices, end = blocks * (slice + 1) / plan.slices;
      for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * plan.slab, count = smaller(plan.slab, plan.map.count - first);
        for (int64_t panel = 0; panel < plan.row_panels + plan.column_panels; panel++)
          transform_tiles(left, right, plan, s, panel, first, count, dy, x);
        for (int64_t element = 0; element < winograd_elements; element++)
          multiply_slab(sums + (slice * winograd_elements + element) * plan.sum_floats,
                        left + element * plan.left_floats, right + element * plan.right_floats, s, plan, count, 0, s.M,
                        block > begin);
      }
    }
    leave_room(rooms, room_number);
  });
}

// The sums, slab by slab, of the planes of a group.
void sum_slabs(Context& context, float* sums, float* left, float* right, const Plan& plan, const Shape& s,
               const float* dy, const float* x) {
  const int64_t left_block = winograd_elements * plan.left_floats, right_block = winograd_elements * plan.right_floats;
  const int64_t parts = ceil_div(s.M, part_rows);
  for (int64_t first = 0; first < plan.map.count; first += plan.slab) {
    const int64_t count = smaller(plan.slab, plan.map.count - first), blocks = ceil_div(count, plan.depth);
    const Batch transforms = batch((plan.row_panels + plan.column_panels) * blocks,
                                   plan.depth * winograd_elements * tile_columns, pack_chunk);
    parallel(context, transforms.chunks, [&](int64_t chunk) {
      for (int64_t item = first_item(transforms, chunk); item < first_item(transforms, chunk + 1); item++) {
        const int64_t block = item % blocks;
        transform_tiles(left + block * left_block, right + block * right_block, plan, s, item / blocks,
                        first + block * plan.depth, smaller(plan.depth, count - block * plan.depth), dy, x);
      }
    });
    const Batch products = batch(winograd_elements * parts, smaller(part_rows, s.M) * s.C * count, multiply_chunk);
    parallel(context, products.chunks, [&](int64_t chunk) {
      for (int64_t item = first_item(products, chunk); item < first_item(products, chunk + 1); item++) {
        const int64_t element = item / parts, m = item % parts * part_rows;
        multiply_slab(sums + element * plan.sum_floats, left + element * plan.left_floats,
                      right + element * plan.right_floats, s, plan, count, m, smaller(part_rows, s.M - m), first > 0);
      }
    });
  }
}

}  // namespace

void winograd_weight_gradient(Context& context, const Shape& s, float* dweight, const float* dy, const float* x) {
  const Plan plan = make_plan(s);
  float *left = nullptr, *right = nullptr;
  Rooms rooms = {};
  if (plan.slices) {
    rooms = make_rooms(context, left_room(plan) + winograd_elements * plan.right_floats, plan.slices);
  } else {
    left = scratch_of<float>(context, plan.depth_blocks * winograd_elements * plan.left_floats + lanes);
    right = scratch_of<float>(context, plan.depth_blocks * winograd_elements * plan.right_floats);
  }
  float* const sums = scratch_of<float>(context, larger(1, plan.slices) * winograd_elements * plan.sum_floats);
  for (int64_t group = 0; group < s.G; group++) {
    const float *gradient = dy + group * s.M * s.P * s.Q, *source = x + group * s.C * s.H * s.W;
    if (plan.slices)
      sum_slices(context, sums, rooms, plan, s, gradient, source);
    else
      sum_slabs(context, sums, left, right, plan, s, gradient, source);
    const Batch rows = batch(s.M, s.C * winograd_elements * larger(1, plan.slices), pack_chunk);
    parallel(context, rows.chunks, [&](int64_t chunk) {
      for (int64_t m = first_item(rows, chunk); m < first_item(rows, chunk + 1); m++)
        transform_sums(dweight + (group * s.M + m) * s.C * 9, sums + m * plan.sum_width, plan, s.C);
    });
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
