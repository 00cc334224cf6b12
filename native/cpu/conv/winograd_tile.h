// The work on tiles that both Winograd kernels (winograd.h) share: the one-dimensional transforms, on a vector of tiles
// or of channels, and the order of tiles.
#pragma once
#include <string.h>

#include "../simd/transpose.h"
#include "shape.h"

namespace firesteel::FIRESTEEL_ISA::conv {

constexpr int64_t winograd_tile = 4, winograd_points = 6, winograd_elements = 36;

using simd::load_quads;
using simd::transpose_quads;
using simd::Vec;

// 36 elements are written side by side. At distances of whole pages they would evict each other from a cache.
static inline int64_t off_page(int64_t floats) { return round_up(floats, 1024) + 16; }

namespace winograd_constants {
// The points 0, +-a, +-b, infinity, and the products of the differences of each of them from the others.
constexpr float a = 0.75f, b = 1.5f, aa = a * a, bb = b * b;
constexpr double at_zero = double(aa) * bb;
constexpr double at_a = 2.0 * aa * (double(aa) - bb), at_b = 2.0 * bb * (double(bb) - aa);
}  // namespace winograd_constants

// v = B^T d.
FIRESTEEL_INLINE void source_transform(const Vec (&d)[6], Vec (&v)[6]) {
  using namespace winograd_constants;
  const Vec product = simd::set(aa * bb), sum = simd::set(-(aa + bb));
  v[0] = simd::fma(product, d[0], simd::fma(sum, d[2], d[4]));
  const Vec even_a = simd::fma(simd::set(-bb), d[2], d[4]), odd_a = simd::fma(simd::set(-bb), d[1], d[3]);
  v[1] = simd::fma(simd::set(a), odd_a, even_a);
  v[2] = simd::fma(simd::set(-a), odd_a, even_a);
  const Vec even_b = simd::fma(simd::set(-aa), d[2], d[4]), odd_b = simd::fma(simd::set(-aa), d[1], d[3]);
  v[3] = simd::fma(simd::set(b), odd_b, even_b);
  v[4] = simd::fma(simd::set(-b), odd_b, even_b);
  v[5] = simd::fma(product, d[1], simd::fma(sum, d[3], d[5]));
}

// y = A^T m.
FIRESTEEL_INLINE void result_transform(const Vec (&m)[6], Vec (&y)[4]) {
  using namespace winograd_constants;
  const Vec sum_a = m[1] + m[2], sum_b = m[3] + m[4], difference_a = m[1] - m[2], difference_b = m[3] - m[4];
  y[0] = m[0] + (sum_a + sum_b);
  y[1] = simd::fma(simd::set(b), difference_b, simd::set(a) * difference_a);
  y[2] = simd::fma(simd::set(bb), sum_b, simd::set(aa) * sum_a);
  y[3] = simd::fma(simd::set(bb * b), difference_b, simd::fma(simd::set(aa * a), difference_a, m[5]));
}

// w = A y.
FIRESTEEL_INLINE void gradient_transform(const Vec (&y)[4], Vec (&w)[6]) {
  using namespace winograd_constants;
  w[0] = y[0];
  const Vec even_a = simd::fma(simd::set(aa), y[2], y[0]), odd_a = simd::fma(simd::set(aa), y[3], y[1]);
  w[1] = simd::fma(simd::set(a), odd_a, even_a);
  w[2] = simd::fma(simd::set(-a), odd_a, even_a);
  const Vec even_b = simd::fma(simd::set(bb), y[2], y[0]), odd_b = simd::fma(simd::set(bb), y[3], y[1]);
  w[3] = simd::fma(simd::set(b), odd_b, even_b);
  w[4] = simd::fma(simd::set(-b), odd_b, even_b);
  w[5] = y[3];
}

// u = G g.
FIRESTEEL_INLINE void filter_transform(const Vec (&g)[3], Vec (&u)[6]) {
  using namespace winograd_constants;
  u[0] = simd::set(float(1 / at_zero)) * g[0];
  const Vec even_a = simd::fma(simd::set(aa), g[2], g[0]), odd_a = simd::set(a) * g[1];
  u[1] = simd::set(float(1 / at_a)) * (even_a + odd_a);
  u[2] = simd::set(float(1 / at_a)) * (even_a - odd_a);
  const Vec even_b = simd::fma(simd::set(bb), g[2], g[0]), odd_b = simd::set(b) * g[1];
  u[3] = simd::set(float(1 / at_b)) * (even_b + odd_b);
  u[4] = simd::set(float(1 / at_b)) * (even_b - odd_b);
  u[5] = g[2];
}

// z = G^T u.
FIRESTEEL_INLINE void filter_gradient_transform(const Vec (&u)[6], Vec (&z)[3]) {
  using namespace winograd_constants;
  const Vec sum_a = simd::set(float(1 / at_a)) * (u[1] + u[2]), sum_b = simd::set(float(1 / at_b)) * (u[3] + u[4]);
  const Vec difference_a = simd::set(float(a / at_a)) * (u[1] - u[2]);
  z[0] = simd::fma(simd::set(float(1 / at_zero)), u[0], sum_a + sum_b);
  z[1] = simd::fma(simd::set(float(b / at_b)), u[3] - u[4], difference_a);
  z[2] = simd::fma(simd::set(bb), sum_b, simd::fma(simd::set(aa), sum_a, u[5]));
}

// The tiles of the images of a group, numbered along rows, then down, then from image to image.
struct TileMap {
  int64_t down, across, count;
};

static inline TileMap map_tiles(int64_t images, int64_t P, int64_t Q) {
  const int64_t down = ceil_div(P, winograd_tile), across = ceil_div(Q, winograd_tile);
  return {down, across, images * down * across};
}

// Calls body(image, row, column, tiles, number) for strips, which are pieces of at most `most` tiles of a row. A strip
// has the tiles [number, number + tiles) of the block that begins with tile `first`. row and column count tiles.
template <class F>
static inline void for_strips(const TileMap& map, int64_t first, int64_t count, int64_t most, const F& body) {
  for (int64_t number = 0; number < count;) {
    const int64_t tile = first + number, column = tile % map.across, row = tile / map.across;
    const int64_t tiles = min(most, min(map.across - column, count - number));
    body(row / map.down, row % map.down, column, tiles, number);
    number += tiles;
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
