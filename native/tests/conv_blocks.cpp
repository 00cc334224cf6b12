// Convolution at the edges of its blocks. Cases are made from the constants of native/cpu/conv/blocks.h, the tiles of
// the micro-kernel and the width of a vector, whatever their values on an instruction set. Each gives shapes one below,
// at and one above it, and with a rest, so the cases follow when a constant changes. Under sanitizers every fourth case
// runs.
#include "../cpu/conv/blocks.h"
#include "../cpu/conv/winograd.h"
#include "../cpu/conv/winograd_tile.h"
#include "convolutions.h"

extern "C" __attribute__((weak)) void __asan_init();
extern "C" __attribute__((weak)) void __tsan_init();

namespace {

using namespace firesteel;
using namespace firesteel::FIRESTEEL_ISA;
using namespace firesteel::FIRESTEEL_ISA::conv;
using gemm::block_depth;
using gemm::tile_columns;
using gemm::tile_rows;
using gemm::wide_columns;
using gemm::wide_rows;
using simd::lanes;

// Sizes one below, at and one above, and one large enough that a second block has a rest.
std::vector<int64_t> around(int64_t size) { return {size - 1, size, size + 1, 2 * size + (size + 4) / 5}; }

// The same for work that is a multiple of the size. The largest is left out, because it costs too much.
std::vector<int64_t> near(int64_t size) { return {size - 1, size, size + 1, size + (size + 4) / 5}; }

int64_t seen = 0;

void test(const Case& c) {
  const bool thin = __asan_init || __tsan_init;
  const int64_t work = c.N * c.M * c.C / c.groups * c.R * c.S *
                       result_length(c.H, c.R, c.stride_h, c.pad_h, c.dilation_h) *
                       result_length(c.W, c.S, c.stride_w, c.pad_w, c.dilation_w);
  if (thin && (seen++ % 4 != 2 || work > 3000000)) return;
  Convolution(c).check_once();
}

// Stride 1, no dilation, one group.
Case plain(int64_t N, int64_t C, int64_t H, int64_t W, int64_t M, int64_t R, int64_t S, int64_t pad = 0) {
  return {N, C, H, W, M, R, S, 1, 1, pad, pad, 1, 1, 1};
}

Case strided(Case c, int64_t stride_h, int64_t stride_w) {
  c.stride_h = stride_h;
  c.stride_w = stride_w;
  return c;
}

Case grouped(Case c, int64_t groups) {  // c is the case of one group
  c.C *= groups;
  c.M *= groups;
  c.groups = groups;
  return c;
}

// Panels of the micro-kernel: rows, columns (positions in one row, and in many short ones), depth.
void test_panels() {
  for (const int64_t M : around(tile_rows)) test(plain(2, 5, 5, 6, M, 3, 2));
  for (const int64_t C : around(tile_rows)) test(strided(plain(2, C, 7, 6, 5, 3, 2, 1), 2, 1));
  for (const int64_t C : around(tile_columns)) test(plain(2, C, 4, 5, 6, 2, 2));
  for (const int64_t Q : around(tile_columns)) {
    test(plain(1, 3, 1, Q, 7, 1, 1));
    test(plain(1, 3, 2, Q + 2, 7, 2, 3));
    for (const int64_t narrow : {1, 3, 5}) test(plain(1, 3, ceil_div(Q, narrow) + 1, narrow + 1, 7, 2, 2));
  }
  for (const int64_t depth : around(block_depth)) {
    test(plain(1, depth, 3, 4, 7, 1, 1));
    test(plain(1, depth, 3, 4, 7, 1, 1, 1));
    test(plain(1, depth / 4, 4, 5, 7, 2, 2));
    test(plain(1, depth / 9, 5, 5, 7, 3, 3));
    test(plain(1, depth / 25 + 1, 6, 7, 7, 5, 5));
    test(plain(2, 3, 1, depth + 5, 7, 1, depth));  // taps of one channel
    test(plain(1, 7, 3, 4, depth, 1, 1));          // depth of the gradient of the input
    test(plain(1, 7, 5, 5, depth / 9, 3, 3, 1));
  }
}

// Products that are not packed: rows of the result, vectors of positions for each number of rows, depth, area.
void test_few() {
  using namespace product_blocks;
  for (const int64_t M : around(few_rows)) {
    test(plain(2, 6, 6, 7, M, 3, 3));
    test(plain(2, M, 6, 7, 6, 3, 3, 1));
  }
  for (int64_t M = 1; M <= few_rows + 1; M++)
    for (const int64_t vectors : {1, 2, 4, 8})
      for (const int64_t Q : {vectors * lanes - 1, vectors * lanes, vectors * lanes + 1})
        test(plain(1, 2, 6, Q + 1, M, 2, 2));
  for (const int64_t depth : around(few_depth)) {
    test(plain(1, 3, 2, depth + 9, 2, 1, depth));
    test(plain(1, depth, 5, 6, 2, 1, 1, 1));
    test(plain(1, depth / 4, 5, 6, 2, 2, 2));
  }
  for (const int64_t area : near(few_floats)) {
    test(plain(1, 1, 1, area + 1, 2, 1, 2));
    test(plain(1, 1, ceil_div(area, 64) + 1, 65, 2, 2, 2));
  }
}

// Panels of both widths, and rows of positions that end inside their vectors: one row in one or several vectors, two or
// more rows in one vector. Numbers of positions that waste little of a wide panel, and much.
void test_widths() {
  using namespace product_blocks;
  for (const int64_t M : around(wide_rows)) test(plain(2, 5, 5, 2 * wide_columns / 5, M, 3, 2));
  for (const int64_t M : around(whole_rows)) test(plain(1, 3, 5, wide_columns, M, 2, 2));
  for (const int64_t Q : {wide_columns, 2 * wide_columns, tile_columns + wide_columns, 5 * tile_columns,
                          (wide_share + 1) * wide_columns, (wide_share + 2) * wide_columns})
    for (int64_t more = -1; more <= 1; more++) {
      test(plain(1, 3, 1, Q + more, 9, 1, 1));
      test(plain(1, 3, 2, Q + more + 2, 9, 2, 3));
      test(strided(plain(1, 3, 3, 2 * (Q + more), 9, 3, 3, 1), 2, 2));
    }
  for (const int64_t Q : {lanes / 4, lanes / 2, lanes - 1, lanes, lanes + 1, 2 * lanes - 1, 2 * lanes, 3 * lanes + 1})
    for (const int64_t P : {2, 3, 5, 9}) test(plain(2, 7, P + 1, Q + 1, 2 * wide_rows + 3, 2, 2));
}

// Blocks of positions, parts of M, rows kept in the second-level cache, phases that share tiles.
void test_products() {
  using namespace product_blocks;
  std::vector<int64_t> blocks = around(block_positions);
  for (const int64_t positions : around(wide_block_positions)) blocks.push_back(positions);
  for (const int64_t positions : blocks) {
    test(plain(1, 2, 2, positions, 9, 1, 1));
    test(plain(1, 2, 2, positions + 2, 9, 2, 3));
    test(plain(1, 2, ceil_div(positions, 16) + 1, 17, 9, 2, 2));
    test(strided(plain(1, 2, 5, 2 * positions, 9, 3, 3, 1), 2, 2));
  }
  for (const int64_t M : near(many_rows)) test(plain(1, 3, 5, 2 * tile_columns / 5 + 1, M, 1, 1));
  for (const int64_t M : around(least_part_rows)) {
    test(plain(1, 4, 5, 6, M, 2, 2));
    test(plain(1, M, 5, 6, 4, 2, 2));
  }
  for (const int64_t items : around(enough_chunks / 2)) test(plain(items, 3, 4, 4, least_part_rows + 2, 2, 2));
  for (const int64_t M : near(most_kept / block_depth)) {
    test(plain(1, block_depth, 2, 5, M, 1, 1));
    test(plain(1, block_depth / 9, 4, 7, M + 16, 3, 3));
    test(plain(1, M, 2, 5, block_depth, 1, 1));
  }
  for (const int64_t M : near(kept_part / block_depth)) test(plain(1, block_depth, 2, 3, 2 * M, 1, 1));
  for (const int64_t C : {most_shared_rows / 4 - 1, most_shared_rows / 4, most_shared_rows / 4 + 1}) {
    test(strided(plain(2, C, 9, 10, 5, 3, 3, 1), 2, 2));
    test(strided(plain(2, C, 8, 8, 5, 4, 4, 1), 2, 2));
  }
  for (const int64_t depth : near(pack_chunk)) test(plain(1, depth, 1, 1, tile_rows + 1, 1, 1));
  for (const int64_t M : near(pack_chunk / 128)) test(plain(1, 128, 1, 2, M, 1, 1));
  for (const int64_t positions : near(multiply_chunk / (64 * tile_rows)))
    test(plain(5, 64, 1, positions, tile_rows, 1, 1));
  for (const int64_t images : {3, 4, 5}) test(plain(images, 16, 8, 8, tile_rows, 3, 2));  // several to a chunk
}

// Every kernel from 1 x 1 to 7 x 7, with strides, paddings, dilations and groups, and with channels around a block of
// the gradient of the weight.
void test_kernels() {
  for (int64_t taps = 1; taps <= 7; taps++) {
    const int64_t block = weight_blocks::channels_of_block(taps * taps);
    const int64_t length = 2 * taps + 1;
    for (int64_t stride = 1; stride <= 3; stride++)
      for (const int64_t C : {block - 1, block, block + 1, block + block / 4 + 2, 2 * block + 3}) {
        Case c = strided(plain(1, C, taps + stride, taps + 2, 5, taps, taps, taps / 2), stride, stride);
        test(c);
        if (C == block + 1) {
          c.H = c.W = length;
          c.dilation_h = c.dilation_w = 2;
          test(c);
          c.dilation_h = c.dilation_w = 1;
          test(grouped(c, 2));
        }
      }
    test(strided(plain(2, block + 5, 3, length, 4, 1, taps, 1), 1, 2));
    test(strided(plain(2, block / taps + 5, length, 3, 4, taps, 1, 0), 2, 1));
    for (int64_t stride = 1; stride <= 3; stride++)
      for (const int64_t M : {1, 2}) test(grouped(strided(plain(2, 1, 11, 13, M, taps, taps, taps / 2), stride, 1), 7));
  }
}

// The gradient of the weight (rows, depth, kept panels, slices), and the depthwise gradient.
void test_weight_gradient() {
  using namespace weight_blocks;
  for (const int64_t M : around(wanted_rows)) test(plain(1, 3, 4, 4, M, 2, 2));
  for (const int64_t depth : around(most_depth)) {
    test(plain(1, 3, 2, depth, 7, 1, 1));
    test(plain(1, 3, 2, depth + 1, 7, 1, 2));
    test(plain(1, 3, ceil_div(depth, 12) + 1, 13, 7, 2, 2));
  }
  for (const int64_t columns : near(kept_panels * tile_columns))
    test(plain(1, ceil_div(columns, 2), 1, most_depth + 1, wanted_rows, 1, 2));
  for (const int64_t blocks : around(blocks_of_slice * least_items)) test(plain(blocks, 3, 3, 3, 5, 2, 2));
  for (const int64_t items : {least_items, enough_chunks})
    for (const int64_t groups : around(items)) test(grouped(plain(9, 2, 3, 3, 3, 2, 2), groups));
  for (const int64_t M : around(few_rows)) test(grouped(plain(2, 1, 5, 6, M, 2, 2), 3));
  for (const int64_t images : around(most_plane_slices)) test(grouped(plain(images, 1, 4, 5, 1, 3, 3, 1), 3));
  for (const int64_t positions : near(most_plane_depth)) {
    test(grouped(plain(1, 1, 3, positions + 1, 1, 2, 2), 2));
    test(grouped(plain(1, 1, ceil_div(positions, 61), 61, 1, 3, 3, 1), 2));
  }
  for (const int64_t P : around(sweep_rows))
    for (const int64_t Q : around(lanes))
      for (const int64_t M : {int64_t(1), few_rows + 1}) test(grouped(plain(2, 1, P, Q, M, 3, 3, 1), 3));
}

// Shapes that Winograd's algorithm must take, forward and for the gradient of the input, or for the gradient of the
// weight.
void test_winograd(const Case& c) {
  const conv::Shape s = shape_of(c);
  check(winograd_product_pays(s, s.C, s.M, s.P, s.Q) && winograd_product_pays(s, s.M, s.C, s.H, s.W),
        name_of(c) + " goes another way");
  test(c);
}

void test_winograd_gradient(const Case& c) {
  check(winograd_weight_gradient_pays(shape_of(c)), name_of(c) + ", gradient of the weight, goes another way");
  test(c);
}

void test_winograd_product() {
  using namespace winograd_blocks;
  // The shapes at which it begins to pay.
  int64_t least = 1;
  const auto pays = [](int64_t channels) {
    const conv::Shape s = shape_of(plain(2, channels, 15, 14, channels, 3, 3, 1));
    return winograd_product_pays(s, s.C, s.M, s.P, s.Q);
  };
  while (least < 64 && !pays(least)) least++;
  check(least < 64 && !pays(least - 1), "winograd pays somewhere");
  for (const int64_t channels : {least - 1, least, least + 1, 2 * least + 1})
    test(plain(2, channels, 15, 14, channels, 3, 3, 1));
  // Results with every remainder by a tile, and all paddings.
  for (int64_t rows = 0; rows < winograd_tile; rows++)
    for (int64_t columns = 0; columns < winograd_tile; columns++)
      for (const int64_t pad : {0, 1, 2})
        if ((rows + columns + pad) % 3 == 0)
          test_winograd(plain(4, 32, 14 + rows - 2 * pad, 18 + columns - 2 * pad, 33, 3, 3, pad));
  // Tiles of a block, one to an image, and along a row.
  for (const int64_t tiles : {least_tiles, most_tiles})
    for (const int64_t count : near(tiles)) test_winograd(plain(count, 20, 4, 4, 20, 3, 3, 1));
  for (const int64_t count : near(least_tiles)) test_winograd(plain(1, 20, 8, winograd_tile * count, 20, 3, 3, 1));
  for (const int64_t count : around(direct_tiles))
    for (const int64_t M : {2, 24}) test(plain(1, M, winograd_tile, winograd_tile * count, M, 3, 3, 1));
  const int64_t channels = block_floats / winograd_elements / (3 * tile_columns) / 2;  // blocks of these are 3 panels
  for (const int64_t C : near(channels)) test_winograd(plain(6, C, 24, 24, channels, 3, 3, 1));
  for (const int64_t C : near(block_depth)) {
    test_winograd(plain(8, C, 8, 8, 24, 3, 3, 1));
    test_winograd(plain(8, 24, 8, 8, C, 3, 3, 1));
  }
  for (const int64_t M : around(part_rows)) test_winograd(plain(2, 32, 16, 16, M, 3, 3, 1));
  for (const int64_t M : around(tile_rows))
    if (M >= 20) test_winograd(plain(4, 32, 12, 12, M, 3, 3, 1));
  test_winograd(grouped(plain(2, 24, 10, 15, 25, 3, 3, 1), 3));
}

// The gradient of the weight over many tiles. dy is zero except in some places, which an oracle visits quickly.
void test_winograd_tiles(int64_t images, int64_t H, int64_t W, int64_t channels, int64_t M) {
  const Case c = plain(images, channels, H, W, M, 3, 3, 1);
  if ((__asan_init || __tsan_init) && seen++ % 4 != 2) return;
  check(winograd_weight_gradient_pays(shape_of(c)), name_of(c) + ", tiles: goes another way");
  Tensor<float> x = random_tensor({images, channels, H, W}, 1), dy, dweight;
  shape(dy, {images, M, H, W});
  shape(dweight, {M, channels, 3, 3});
  dy.values.assign(dy.values.size(), 0);
  Sums sums(dweight.values.size());
  Numbers numbers{7};
  for (int64_t n = 0; n < images; n++)
    for (int64_t i = n % 7; i < H * W; i += i % 5 + 37)
      for (int64_t m = (i + n) % 3; m < M; m += 13) {
        const float g = dy.values[size_t((n * M + m) * H * W + i)] = numbers.next();
        for (int64_t k = 0; k < channels; k++)
          for (int64_t t = 0; t < 9; t++) {
            const int64_t h = i / W - 1 + t / 3, w = i % W - 1 + t % 3;
            if (h >= 0 && h < H && w >= 0 && w < W)
              sums.add(size_t((m * channels + k) * 9 + t),
                       double(g) * x.values[size_t(((n * channels + k) * H + h) * W + w)]);
          }
      }
  run<float>("tiles", {&dweight}, [&](Context& context) {
    conv2d_weight_gradient(context, dweight.view, dy.view, x.view, one, one, one, 1);
  });
  sums.compare(name_of(c) + ", tiles", dweight.values);
}

void test_winograd_weight() {
  using namespace winograd_weight_blocks;
  for (const int64_t tiles : around(strip_tiles))
    test_winograd_gradient(plain(2, 32, 12, winograd_tile * tiles, 32, 3, 3, 1));
  for (const int64_t M : near(part_rows)) test_winograd_gradient(plain(6, 32, 12, 12, M, 3, 3, 1));
  for (const int64_t C : around(tile_columns))
    if (C >= 20) test_winograd_gradient(plain(4, C, 12, 12, 32, 3, 3, 1));
  // The number of channels at which slabs replace slices.
  int64_t many = 1;
  while (many < 256 && few_channels(many, many)) many++;
  check(many > 1 && many < 256, "slices give over to slabs");
  for (const int64_t channels : {many - 1, many, many + 1})
    test_winograd_gradient(plain(4, channels, 16, 16, channels, 3, 3, 1));
  // Slices and their blocks; slabs and their blocks.
  const int64_t few = many - 1, slice = slab_tiles(few, few);
  for (const int64_t tiles : near(4 * slice)) test_winograd_tiles(tiles, 4, 4, few, few);
  for (const int64_t slices : near(most_slices)) test_winograd_tiles(slices, 16, slice, few, few);
  for (const int64_t tiles : near(block_depth)) test_winograd_tiles(tiles, 4, 4, many, many);
  for (const int64_t tiles : near(slab_tiles(many, many))) test_winograd_tiles(tiles, 4, 4, many, many);
  test_winograd_tiles(3, 75, 81, 64, 66);
}

}  // namespace

int main() {
  test_panels();
  test_few();
  test_widths();
  test_products();
  test_kernels();
  test_weight_gradient();
  test_winograd_product();
  test_winograd_weight();
  printf("conv_blocks: %d passed, %d failed\n", passed, failed);
  return failed != 0;
}
