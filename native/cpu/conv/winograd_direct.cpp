// Both sums are products by the micro-kernel, some tiles at a time: weights times patches, and gradients times patches.
// A column of the patches holds what one tap of one channel reads for the positions of a tile. Patches are taken from a
// copy of 6 x 6 elements with its padding as zeros, channel by channel and tile by tile. This is slower than tile.h,
// but there are few such tiles.
#include "winograd_direct.h"

#include <string.h>

#include "../rooms.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA::conv {

using gemm::tile_columns;
using gemm::tile_rows;
using namespace winograd_blocks;

namespace {

constexpr int64_t taps = 9, positions = winograd_tile * winograd_tile, patch_floats = winograd_elements;
// Positions of the tiles taken at a time, in whole panels.
constexpr int64_t most_positions = round_up(direct_tiles * positions, tile_columns);
// Channels of a block of depth.
constexpr int64_t depth_channels = gemm::block_depth / taps;
static_assert(tile_columns % winograd_tile == 0, "a row of a tile lies in one panel");

// The place of a tile in the results, and the number of results that are its own.
struct Place {
  int64_t image, row, column, rows, columns;
};

Place place_of(const TileMap& map, int64_t number, int64_t P, int64_t Q) {
  const int64_t across = number % map.across * winograd_tile, down = number / map.across;
  const int64_t row = down % map.down * winograd_tile;
  return {down / map.down, row, across, min(winograd_tile, P - row), min(winograd_tile, Q - across)};
}

// The 6 x 6 elements of a plane from (h, w) on, zeros outside of it.
void copy_patch(float* patch, const float* plane, int64_t H, int64_t W, int64_t h, int64_t w) {
  memset(patch, 0, patch_floats * sizeof(float));
  const int64_t low = max(0, -w), high = min(winograd_points, W - w);
  for (int64_t r = max(0, -h); r < min(winograd_points, H - h); r++)
    for (int64_t q = low; q < high; q++) patch[r * winograd_points + q] = plane[(h + r) * W + w + q];
}

// Packs rows [m, m + rows) and `channels` channels from c on of the weights, as pack_a does.
void pack_filters(float* to, const WinogradProduct& p, int64_t group, int64_t m, int64_t rows, int64_t c,
                  int64_t channels) {
  const float* filters = p.weights + group * p.group_stride + m * p.row_stride + c * p.channel_stride;
  for (int64_t k = 0; k < channels; k++, filters += p.channel_stride)
    for (int64_t t = 0; t < taps; t++, to += tile_rows)
      for (int64_t i = 0; i < tile_rows; i++)
        to[i] = i < rows ? filters[i * p.row_stride + (p.flipped ? taps - 1 - t : t)] : 0;
}

// The panels [positions of the tiles][channels * taps], one after another.
void pack_patches(float* panels, const WinogradProduct& p, const Place* places, int64_t tiles, const float* planes,
                  int64_t channels) {
  const int64_t panel_floats = channels * taps * tile_columns;
  for (int64_t tile = 0; tile < tiles; tile++) {
    const Place& place = places[tile];
    const float* plane = planes + place.image * p.G * p.channels * p.H * p.W;
    for (int64_t k = 0; k < channels; k++, plane += p.H * p.W) {
      float patch[patch_floats];
      copy_patch(patch, plane, p.H, p.W, place.row + p.offset_h, place.column + p.offset_w);
      for (int64_t i = 0; i < winograd_tile; i++) {
        const int64_t at = tile * positions + i * winograd_tile;
        float* to = panels + at / tile_columns * panel_floats + k * taps * tile_columns + at % tile_columns;
        for (int64_t t = 0; t < taps; t++, to += tile_columns)
          memcpy(to, patch + (i + t / 3) * winograd_points + t % 3, winograd_tile * sizeof(float));
      }
    }
  }
}

// Copies rows of results [rows][positions of the tiles] to their places.
void write_results(float* result, const WinogradProduct& p, const Place* places, int64_t tiles, int64_t group,
                   int64_t m, int64_t rows, const float* sums) {
  for (int64_t i = 0; i < rows; i++, sums += most_positions) {
    const float bias = p.bias ? p.bias[group * p.M + m + i] : 0;
    for (int64_t tile = 0; tile < tiles; tile++) {
      const Place& place = places[tile];
      float* to = result + ((place.image * p.G + group) * p.M + m + i) * p.P * p.Q + place.row * p.Q + place.column;
      for (int64_t r = 0; r < place.rows; r++)
        for (int64_t q = 0; q < place.columns; q++) {
          const float y = sums[tile * positions + r * winograd_tile + q] + bias;
          to[r * p.Q + q] = p.relu && y < 0 ? 0 : y;
        }
    }
  }
}

}  // namespace

int64_t direct_product_floats(int64_t rows) {
  return depth_channels * taps * (tile_rows + most_positions) + round_up(rows, tile_rows) * most_positions;
}

void direct_product(const WinogradProduct& p, const float* source, float* result, int64_t group, int64_t first,
                    const int32_t* numbers, int64_t count, int64_t m, int64_t rows, float* room) {
  const TileMap map = map_tiles(p.N, p.P, p.Q);
  float *const filters = room, *const panels = filters + depth_channels * taps * tile_rows;
  float* const sums = panels + depth_channels * taps * most_positions;
  for (int64_t begin = 0; begin < count; begin += direct_tiles) {
    const int64_t tiles = min(direct_tiles, count - begin), width = tiles * positions;
    Place places[direct_tiles];
    for (int64_t i = 0; i < tiles; i++) places[i] = place_of(map, first + numbers[begin + i], p.P, p.Q);
    for (int64_t c = 0; c < p.channels; c += depth_channels) {
      const int64_t channels = min(depth_channels, p.channels - c), depth = channels * taps;
      pack_patches(panels, p, places, tiles, source + (group * p.channels + c) * p.H * p.W, channels);
      for (int64_t i = 0; i < rows; i += tile_rows) {
        const int64_t height = min(tile_rows, rows - i);
        pack_filters(filters, p, group, m + i, height, c, channels);
        for (int64_t j = 0; j < width; j += tile_columns)
          gemm::micro_kernel({filters, 1, tile_rows, panels + j * depth, tile_columns, sums + i * most_positions + j,
                              most_positions, height, min(tile_columns, width - j), depth, c > 0, nullptr});
      }
    }
    write_results(result, p, places, tiles, group, m, rows, sums);
  }
}

void add_direct_gradient(Context& context, const Shape& s, float* dweight, const float* dy, const float* x,
                         const int32_t* numbers, int64_t count) {
  const TileMap map = map_tiles(s.N, s.P, s.Q);
  const int64_t width = s.C * taps, row_panels = ceil_div(s.M, tile_rows),
                column_panels = ceil_div(width, tile_columns);
  constexpr int64_t most_depth = direct_tiles * positions;
  const Chunks packing = full_chunks(row_panels, most_depth * tile_rows, pack_chunk);
  const Chunks products = full_chunks(column_panels, most_depth * tile_columns * s.M, multiply_chunk);
  float* const gradients = scratch_of<float>(context, row_panels * most_depth * tile_rows);
  const Rooms rooms = make_rooms(context, most_depth * tile_columns, products);
  for (int64_t begin = 0; begin < count; begin += direct_tiles) {
    const int64_t tiles = min(direct_tiles, count - begin);
    Place places[direct_tiles];
    int64_t depth = 0;  // positions that exist: at the others x may hold anything, even NaN
    for (int64_t i = 0; i < tiles; i++) {
      places[i] = place_of(map, numbers[begin + i], s.P, s.Q);
      depth += places[i].rows * places[i].columns;
    }
    for_items(context, packing, [&](int64_t panel) {
      const int64_t m = panel * tile_rows;
      float* to = gradients + panel * most_depth * tile_rows;
      for (int64_t tile = 0; tile < tiles; tile++) {
        const Place& place = places[tile];
        const float* from = dy + (place.image * s.G * s.M + m) * s.P * s.Q + place.row * s.Q + place.column;
        for (int64_t r = 0; r < place.rows; r++)
          for (int64_t q = 0; q < place.columns; q++, to += tile_rows)
            for (int64_t i = 0; i < tile_rows; i++) to[i] = m + i < s.M ? from[i * s.P * s.Q + r * s.Q + q] : 0;
      }
    });
    for_items(context, products, rooms, [&](int64_t panel, float* patches) {
      const int64_t j = panel * tile_columns, columns = min(tile_columns, width - j);
      for (int64_t c = j / taps; c * taps < j + columns; c++) {
        float* to = patches;
        for (int64_t tile = 0; tile < tiles; tile++) {
          const Place& place = places[tile];
          float patch[patch_floats];
          copy_patch(patch, x + (place.image * s.G * s.C + c) * s.H * s.W, s.H, s.W, place.row - s.pad_h,
                     place.column - s.pad_w);
          for (int64_t r = 0; r < place.rows; r++)
            for (int64_t q = 0; q < place.columns; q++, to += tile_columns)
              for (int64_t t = max(0, j - c * taps); t < min(taps, j + columns - c * taps); t++)
                to[c * taps + t - j] = patch[(r + t / 3) * winograd_points + q + t % 3];
        }
      }
      for (int64_t i = 0; i < row_panels; i++)
        gemm::micro_kernel({gradients + i * most_depth * tile_rows, 1, tile_rows, patches, tile_columns,
                            dweight + i * tile_rows * width + j, width, min(tile_rows, s.M - i * tile_rows), columns,
                            depth, true, nullptr});
    });
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
