// The products of attention: a micro-kernel over gemm's tile of MR x NR sums, and packing.
//
// gemm's own kernel serves any edge, at the price of a call a tile; here depth is short (the size of a head), and that
// price would be a fifth of the time. So one call makes a whole column of tiles, and everything is padded: operands
// with zeros, results to whole tiles.
//
// Legend: a left operand is panels of [depth][MR], a right one panels of [depth][NR].
#pragma once
#include <string.h>

#include "../simd/vector.h"

// After vector.h, which includes the intrinsics in a way that spares g++ 12's AVX-512 a false warning.
#include "../gemm/micro.h"

namespace firesteel::FIRESTEEL_ISA::attention {

using gemm::Matrix;
using gemm::transposed;
using simd::Vec;

constexpr int64_t MR = gemm::tile_rows, NR = gemm::tile_columns;
constexpr int row_vectors = int(NR / simd::lanes);
static_assert(NR % simd::lanes == 0 && NR % 4 == 0, "rows of whole vectors, and depth in steps of four");

static constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

struct Sums {
  Vec at[MR][row_vectors];
};

FIRESTEEL_UNROLLED static inline void clear_sums(Sums& sums) {
  gemm::repeat<int(MR)>([&](auto i) FIRESTEEL_UNROLLED {
    gemm::repeat<row_vectors>([&](auto v) FIRESTEEL_UNROLLED { sums.at[i.value][v.value] = simd::zero(); });
  });
}

// One step of depth: the sums of row i grow by a[i * a_row] times the row at b.
template <int64_t a_row>
FIRESTEEL_UNROLLED static inline void step(Sums& sums, const float* a, const float* b) {
  Vec row[row_vectors];
  gemm::repeat<row_vectors>([&](auto v) FIRESTEEL_UNROLLED { row[v.value] = simd::load(b + v.value * simd::lanes); });
  gemm::repeat<int(MR)>([&](auto i) FIRESTEEL_UNROLLED {
    const Vec element = simd::set(a[i.value * a_row]);
    gemm::repeat<row_vectors>([&](auto v) FIRESTEEL_UNROLLED {
      Vec& sum = sums.at[i.value][v.value];
      sum = simd::fma(element, row[v.value], sum);
    });
  });
}

template <bool accumulate>
FIRESTEEL_UNROLLED static inline void store_sums(const Sums& sums, float* c, int64_t ldc) {
  gemm::repeat<int(MR)>([&](auto i) FIRESTEEL_UNROLLED {
    gemm::repeat<row_vectors>([&](auto v) FIRESTEEL_UNROLLED {
      float* const to = c + i.value * ldc + v.value * simd::lanes;
      const Vec sum = sums.at[i.value][v.value];
      simd::store(to, accumulate ? simd::load(to) + sum : sum);
    });
  });
}

// For functions around a micro-kernel: its sums fill the registers, and inlined gcc keeps some of them in memory.
#define FIRESTEEL_APART __attribute__((noinline)) static

// C [panels * MR][NR] = or += A B: B one panel, the panels of A `a_panel` floats apart.
template <bool accumulate>
FIRESTEEL_APART void multiply_column(int64_t panels, int64_t depth, const float* a, int64_t a_panel, const float* b,
                                     float* c) {
  for (int64_t panel = 0; panel < panels; panel++, a += a_panel, c += MR * NR) {
    Sums sums;
    clear_sums(sums);
    const float *x = a, *y = b;
    int64_t d = depth;
    for (; d >= 4; d -= 4, x += 4 * MR, y += 4 * NR) {
      // A comes from the second-level cache.
      __builtin_prefetch(x + 32 * MR);
      __builtin_prefetch(x + 32 * MR + 16);
      gemm::repeat<4>([&](auto u) FIRESTEEL_UNROLLED { step<1>(sums, x + u.value * MR, y + u.value * NR); });
    }
    for (; d > 0; d--, x += MR, y += NR) step<1>(sums, x, y);
    store_sums<accumulate>(sums, c, NR);
  }
}

static inline Matrix from_row(Matrix a, int64_t row) { return gemm::part_of(a, row, 0); }

// Packs A [m, k] into panels `panel` floats apart, of which depth beyond k is zeroed up to `depth`.
static inline void pack_left(float* to, int64_t panel, Matrix a, int64_t m, int64_t k, int64_t depth) {
  for (int64_t i = 0; i < m; i += MR, to += panel) {
    gemm::pack_a(to, from_row(a, i), smaller(MR, m - i), k);
    memset(to + k * MR, 0, size_t((depth - k) * MR) * sizeof(float));
  }
}
static inline void pack_right(float* to, int64_t panel, Matrix b, int64_t k, int64_t n, int64_t depth) {
  for (int64_t j = 0; j < n; j += NR, to += panel) {
    gemm::pack_b(to, gemm::part_of(b, 0, j), k, smaller(NR, n - j));
    memset(to + k * NR, 0, size_t((depth - k) * NR) * sizeof(float));
  }
}

static inline void scale_all(float* data, int64_t count, float factor) {
  for (int64_t c = 0; c < count; c++) data[c] *= factor;
}

}  // namespace firesteel::FIRESTEEL_ISA::attention
