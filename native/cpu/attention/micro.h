// The products of attention: micro-kernels that read their operands where they lie.
//
// Depth is short here (the size of a head, a tile of keys) and operands serve few products, so that packing them, or a
// call for each tile of sums, would cost as much as a part of the products. A left operand lies by rows (keys, or a
// tile's) or by columns (a tile that stands for its transpose); a right one and C have rows of whole vectors, any
// stride apart. So the tile of scores and weights is operand and result of everything without ever being copied.
#pragma once
#include <string.h>

#include "../simd/vector.h"

// After vector.h, which includes the intrinsics in a way that spares g++ 12's AVX-512 a false warning.
#include "../gemm/micro.h"

namespace firesteel::FIRESTEEL_ISA::attention {

using gemm::Matrix;
using simd::Vec;

// Vectors of a panel of queries.
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
constexpr int row_vectors = 3;
#else
constexpr int row_vectors = 2;
#endif
constexpr int64_t NR = row_vectors * simd::lanes;

// Rows and vectors of the sums that registers hold, beside a row of B and an element of A: at least eight sums, which
// is what two multiply-adds a cycle need, each of which takes four.
constexpr int most_vectors = 3;
constexpr int block_rows(int64_t vectors) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512 || FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
  return vectors == 1 ? 16 : vectors == 2 ? 12 : 8;
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return vectors == 1 ? 8 : vectors == 2 ? 6 : 4;
#else
  return vectors == 1 ? 8 : vectors == 2 ? 4 : 2;
#endif
}
constexpr int most_rows = block_rows(1);
// The next smaller block, for what is left of the rows.
constexpr int fewer_rows(int rows) { return rows > 8 ? 8 : rows > 4 ? 4 : rows > 2 ? 2 : 1; }
// Of `left` vectors, those to be multiplied next: single ones are slower.
constexpr int64_t next_vectors(int64_t left) { return left == 1 ? 1 : left % 2 == 1 ? 3 : 2; }

static constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Element (i, d) of A is a[i * a_stride + d] by rows, a[d * a_stride + i] by columns.
enum class Left { rows, columns };
// What was in C before.
enum class Before { nothing, kept, scaled };

// C = [factors C +] A B.
struct Product {
  int64_t depth;
  const float* a;
  int64_t a_stride;
  const float* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  Before before = Before::nothing;
  const float* factors = nullptr;  // by row
};

template <int rows, int vectors>
struct Sums {
  Vec at[rows][vectors];
};

// One step of depth: the sums of row i grow by element(i) times the row at b.
template <int rows, int vectors, class Element>
FIRESTEEL_UNROLLED static inline void step(Sums<rows, vectors>& sums, const Element& element, const float* b) {
  Vec row[vectors];
  gemm::repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED { row[v.value] = simd::load(b + v.value * simd::lanes); });
  gemm::repeat<rows>([&](auto i) FIRESTEEL_UNROLLED {
    const Vec a = simd::set(element(i));
    gemm::repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED {
      Vec& sum = sums.at[i.value][v.value];
      sum = simd::fma(a, row[v.value], sum);
    });
  });
}

template <int rows, int vectors, class Combine>
FIRESTEEL_UNROLLED static inline void store_sums(const Sums<rows, vectors>& sums, const Product& p,
                                                 const Combine& combine) {
  gemm::repeat<rows>([&](auto i) FIRESTEEL_UNROLLED {
    gemm::repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED {
      float* const to = p.c + i.value * p.c_stride + v.value * simd::lanes;
      simd::store(to, combine(i.value, to, sums.at[i.value][v.value]));
    });
  });
}

// Not to be inlined: the sums fill the registers, and gcc then keeps some of them in memory.
#define FIRESTEEL_APART __attribute__((noinline)) static

// `blocks` times `rows` rows of C; leaves in p what comes next.
template <int rows, int vectors, Left left>
FIRESTEEL_APART void multiply_blocks(int64_t blocks, Product& p) {
  constexpr int group = 3;  // rows that one address serves, by way of multiples of the stride
  const int64_t a_stride = p.a_stride, b_stride = p.b_stride;
  for (; blocks > 0; blocks--) {
    Sums<rows, vectors> sums;
    gemm::repeat<rows>([&](auto i) FIRESTEEL_UNROLLED {
      gemm::repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED { sums.at[i.value][v.value] = simd::zero(); });
    });
    const float* b = p.b;
    int64_t d = p.depth;
    if constexpr (left == Left::rows) {
      const float* a[(rows + group - 1) / group];
      for (int g = 0; g * group < rows; g++) a[g] = p.a + g * group * a_stride;
      const auto steps = [&](auto count) FIRESTEEL_UNROLLED {
        gemm::repeat<count.value>([&](auto u) FIRESTEEL_UNROLLED {
          step(
              sums, [&](auto i) FIRESTEEL_UNROLLED { return a[i.value / group][i.value % group * a_stride + u.value]; },
              b + u.value * b_stride);
        });
        for (int g = 0; g * group < rows; g++) a[g] += count.value;
        b += count.value * b_stride;
      };
      for (; d >= 4; d -= 4) steps(gemm::Index<4>());
      for (; d > 0; d--) steps(gemm::Index<1>());
      p.a += rows * a_stride;
    } else {
      const float* a = p.a;
      const auto steps = [&](auto count) FIRESTEEL_UNROLLED {
        gemm::repeat<count.value>([&](auto u) FIRESTEEL_UNROLLED {
          step(
              sums, [&](auto i) FIRESTEEL_UNROLLED { return a[u.value * a_stride + i.value]; }, b + u.value * b_stride);
        });
        a += count.value * a_stride;
        b += count.value * b_stride;
      };
      for (; d >= 4; d -= 4) steps(gemm::Index<4>());
      for (; d > 0; d--) steps(gemm::Index<1>());
      p.a += rows;
    }
    switch (p.before) {
      case Before::nothing:
        store_sums(sums, p, [](int, const float*, Vec sum) FIRESTEEL_UNROLLED { return sum; });
        break;
      case Before::kept:
        store_sums(sums, p, [](int, const float* c, Vec sum) FIRESTEEL_UNROLLED { return simd::load(c) + sum; });
        break;
      case Before::scaled:
        store_sums(sums, p, [&](int i, const float* c, Vec sum) FIRESTEEL_UNROLLED {
          return simd::fma(simd::load(c), simd::set(p.factors[i]), sum);
        });
        p.factors += rows;
    }
    p.c += rows * p.c_stride;
  }
}

template <int block, int vectors, Left left>
static inline void multiply_rows(int64_t rows, Product& p) {
  if (rows >= block) multiply_blocks<block, vectors, left>(rows / block, p);
  if constexpr (block > 1)
    if (rows % block > 0) multiply_rows<fewer_rows(block), vectors, left>(rows % block, p);
}

// C [rows][vectors], 1 <= vectors <= most_vectors. Uses p up. (To copy what was written just now would make the
// processor wait for it.)
template <Left left, int vectors_here = most_vectors>
FIRESTEEL_UNROLLED static inline void multiply(int64_t rows, int64_t vectors, Product&& p) {
  if constexpr (vectors_here > 1)
    if (vectors < vectors_here) return multiply<left, vectors_here - 1>(rows, vectors, static_cast<Product&&>(p));
  multiply_rows<block_rows(vectors_here), vectors_here, left>(rows, p);
}

}  // namespace firesteel::FIRESTEEL_ISA::attention
