// What both Winograd kernels (winograd.h) do with tiles: the one-dimensional transforms, on a vector of tiles or of
// channels, and the order of tiles.
#pragma once
#include <string.h>

#include "../simd/vector.h"
#include "shape.h"

namespace firesteel::FIRESTEEL_ISA::conv {

constexpr int64_t winograd_tile = 4, winograd_points = 6, winograd_elements = 36;

using simd::Vec;

// 36 elements are written side by side: at distances of whole pages they would evict each other from a cache.
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

// Calls body(image, row, column, tiles, number) for strips, pieces of rows of at most `most` tiles: they are [number,
// number + tiles) of the block that begins with tile `first`; row and column count tiles.
template <class F>
static inline void for_strips(const TileMap& map, int64_t first, int64_t count, int64_t most, const F& body) {
  for (int64_t number = 0; number < count;) {
    const int64_t tile = first + number, column = tile % map.across, row = tile / map.across;
    const int64_t tiles = smaller(most, smaller(map.across - column, count - number));
    body(row / map.down, row % map.down, column, tiles, number);
    number += tiles;
  }
}

// Four vectors as blocks of 4 x 4: transposes each.
FIRESTEEL_INLINE void transpose_quads(Vec (&v)[4]) {
  const simd::NativeFloat a = v[0].v, b = v[1].v, c = v[2].v, d = v[3].v;
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
#define FIRESTEEL_LANES(i, j, k, l) \
  i, j, k, l, i + 4, j + 4, k + 4, l + 4, i + 8, j + 8, k + 8, l + 8, i + 12, j + 12, k + 12, l + 12
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
#define FIRESTEEL_LANES(i, j, k, l) i, j, k, l, i + 4, j + 4, k + 4, l + 4
#else
#define FIRESTEEL_LANES(i, j, k, l) i, j, k, l
#endif
  constexpr int n = simd::lanes;  // where the second operand's lanes begin
  const simd::NativeFloat ab_low = __builtin_shufflevector(a, b, FIRESTEEL_LANES(0, n, 1, n + 1));
  const simd::NativeFloat ab_high = __builtin_shufflevector(a, b, FIRESTEEL_LANES(2, n + 2, 3, n + 3));
  const simd::NativeFloat cd_low = __builtin_shufflevector(c, d, FIRESTEEL_LANES(0, n, 1, n + 1));
  const simd::NativeFloat cd_high = __builtin_shufflevector(c, d, FIRESTEEL_LANES(2, n + 2, 3, n + 3));
  v[0].v = __builtin_shufflevector(ab_low, cd_low, FIRESTEEL_LANES(0, 1, n, n + 1));
  v[1].v = __builtin_shufflevector(ab_low, cd_low, FIRESTEEL_LANES(2, 3, n + 2, n + 3));
  v[2].v = __builtin_shufflevector(ab_high, cd_high, FIRESTEEL_LANES(0, 1, n, n + 1));
  v[3].v = __builtin_shufflevector(ab_high, cd_high, FIRESTEEL_LANES(2, 3, n + 2, n + 3));
#undef FIRESTEEL_LANES
}

// Quad q of the vector is four floats from from(q).
template <class From>
FIRESTEEL_INLINE Vec load_quads(const From& from) {
  simd::Quad q[simd::lanes / 4];
  for (int i = 0; i < simd::lanes / 4; i++) memcpy(&q[i], from(i), 16);
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  const auto low = __builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7);
  const auto high = __builtin_shufflevector(q[2], q[3], 0, 1, 2, 3, 4, 5, 6, 7);
  return {__builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return {__builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7)};
#else
  return {q[0]};
#endif
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
