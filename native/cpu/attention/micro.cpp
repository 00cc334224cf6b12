// The micro-kernels of attention's products (micro.h), compiled once for both passes.
#include "micro.h"

namespace firesteel::FIRESTEEL_ISA::attention {

namespace {

// The remaining rows form the next smaller block.
constexpr int fewer_rows(int rows) { return rows > 8 ? 8 : rows > 4 ? 4 : rows > 2 ? 2 : 1; }

template <int rows, int vectors>
struct Sums {
  Vec at[rows][vectors];
};

// Takes one step of depth: the sums of row i grow by element(i) times the row at b.
template <int rows, int vectors, class Element>
FIRESTEEL_UNROLLED inline void step(Sums<rows, vectors>& sums, const Element& element, const float* b) {
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
FIRESTEEL_UNROLLED inline void store_sums(const Sums<rows, vectors>& sums, const Product& p, const Combine& combine) {
  gemm::repeat<rows>([&](auto i) FIRESTEEL_UNROLLED {
    gemm::repeat<vectors>([&](auto v) FIRESTEEL_UNROLLED {
      float* const to = p.c + i.value * p.c_stride + v.value * simd::lanes;
      simd::store(to, combine(i.value, to, sums.at[i.value][v.value]));
    });
  });
}

// Few queries, as in text generation, meet each key and value once. Those come from memory then, and a block of sums
// takes no longer than their way. So blocks for few queries prefetch the rows that come next. Others find them in a
// cache.
constexpr bool few_queries(Left left, int rows, int vectors) { return left == Left::rows ? vectors == 1 : rows <= 4; }
constexpr int64_t line = 16;        // floats of a cache's line
constexpr int64_t rows_ahead = 16;  // of values

// Walks over the lines of the next block of keys, as many lines as the steps of depth need.
struct NextKeys {
  const float* row;
  int64_t stride, features, feature = 0;

  void prefetch() {
    for (int64_t l = 0; l < 4; l++) __builtin_prefetch(row + feature + l * line);
    feature += 4 * line;
    if (feature < features) return;
    feature = 0;
    row += stride;
  }
};

// The functions must not be inlined, because the sums fill the registers, and gcc would keep some of them in memory.
#define FIRESTEEL_APART __attribute__((noinline))

// `blocks` times `rows` rows of C. Leaves p at the next rows.
template <int rows, int vectors, Left left>
FIRESTEEL_APART void multiply_blocks(int64_t blocks, Product& p) {
  constexpr int group = 3;  // rows that one address serves through multiples of the stride
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
      [[maybe_unused]] NextKeys next{p.a + rows * a_stride, a_stride, d};
      const auto steps = [&](auto count) FIRESTEEL_UNROLLED {
        gemm::repeat<count.value>([&](auto u) FIRESTEEL_UNROLLED {
          step(
              sums, [&](auto i) FIRESTEEL_UNROLLED { return a[i.value / group][i.value % group * a_stride + u.value]; },
              b + u.value * b_stride);
        });
        for (int g = 0; g * group < rows; g++) a[g] += count.value;
        b += count.value * b_stride;
      };
      for (; d >= 4; d -= 4) {
        if constexpr (few_queries(left, rows, vectors)) next.prefetch();
        steps(gemm::Index<4>());
      }
      for (; d > 0; d--) steps(gemm::Index<1>());
      p.a += rows * a_stride;
    } else {
      const float* a = p.a;
      const auto steps = [&](auto count) FIRESTEEL_UNROLLED {
        gemm::repeat<count.value>([&](auto u) FIRESTEEL_UNROLLED {
          if constexpr (few_queries(left, rows, vectors))
            for (int v = 0; v < vectors; v++)
              __builtin_prefetch(b + (u.value + rows_ahead) * b_stride + v * simd::lanes);
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
void multiply_rows(int64_t rows, Product& p) {
  if (rows >= block) multiply_blocks<block, vectors, left>(rows / block, p);
  if constexpr (block > 1)
    if (rows % block > 0) multiply_rows<fewer_rows(block), vectors, left>(rows % block, p);
}

template <Left left, int vectors_here = most_vectors>
void multiply_vectors(int64_t rows, int64_t vectors, Product& p) {
  if constexpr (vectors_here > 1)
    if (vectors < vectors_here) return multiply_vectors<left, vectors_here - 1>(rows, vectors, p);
  multiply_rows<block_rows(vectors_here), vectors_here, left>(rows, p);
}

}  // namespace

void multiply(Left left, int64_t rows, int64_t vectors, Product&& p) {
  left == Left::rows ? multiply_vectors<Left::rows>(rows, vectors, p)
                     : multiply_vectors<Left::columns>(rows, vectors, p);
}

}  // namespace firesteel::FIRESTEEL_ISA::attention
