#include "product.h"

#include <string.h>

namespace firesteel::FIRESTEEL_ISA::recurrent {

namespace {

using gemm::repeat;

// The steps of depth by which a panel of weights is prefetched into the first-level cache.
constexpr int64_t steps_ahead = 48;
constexpr int64_t line_floats = 16;

FIRESTEEL_UNROLLED inline void add_product(Vec& sum, Vec a, Vec b) {
#if defined(FIRESTEEL_MICRO_AVX512) || defined(FIRESTEEL_MICRO_AVX2)
  gemm::add_product(sum.v, a.v, b.v);
#else
  sum = simd::fma(a, b, sum);
#endif
}

// `Steps` steps of depth: sum[i][v] += A[i] * B[v].
template <int Steps, int Rows, int Vectors>
FIRESTEEL_UNROLLED inline void add_steps(Vec (&sum)[Rows][Vectors], const float* a, const float* b) {
  repeat<Steps>([&](auto d) FIRESTEEL_UNROLLED {
    Vec row_of_b[Vectors];
    repeat<Vectors>([&](auto v)
                        FIRESTEEL_UNROLLED { row_of_b[v.value] = simd::load(b + d.value * NR + v.value * lanes); });
    repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
      const Vec element = simd::set(a[i.value * lanes + d.value]);
      repeat<Vectors>([&](auto v)
                          FIRESTEEL_UNROLLED { add_product(sum[i.value][v.value], element, row_of_b[v.value]); });
    });
  });
}

// Weights that are needed next. They mostly come from the cache that cores share, which is slower than one product
// reads them. So they are prefetched during all products with the weights before them: `lines` in four steps of depth.
struct Ahead {
  const float* data;
  int64_t lines;
};

using Kernel = void (*)(int64_t depth, const float* a, const float* b, int64_t columns, float* c, int64_t ldc,
                        bool accumulate, const float* bias, Ahead& ahead);

// One panel of rows times the first `columns` columns of one panel of weights, in `Vectors` registers.
template <int Rows, int Vectors>
void kernel(int64_t depth, const float* a, const float* b, int64_t columns, float* c, int64_t ldc, bool accumulate,
            const float* bias, Ahead& ahead) {
  Vec sum[Rows][Vectors];
  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED { sum[i.value][v.value] = simd::zero(); });
  });
  int64_t d = depth;
  for (; d >= lanes; d -= lanes, a += (Rows - 1) * lanes)
    for (int step = 0; step < lanes; step += 4, a += 4, b += 4 * NR) {
      repeat<4 * NR / line_floats>(
          [&](auto line) FIRESTEEL_UNROLLED { __builtin_prefetch(b + steps_ahead * NR + line_floats * line.value); });
      for (int64_t line = 0; line < ahead.lines; line++, ahead.data += line_floats)
        __builtin_prefetch(ahead.data, 0, 2);
      add_steps<4>(sum, a, b);
    }
  for (; d > 0; d--, a++, b += NR) add_steps<1>(sum, a, b);

  repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED {
    const int64_t n = columns - v.value * lanes;
    const Vec more = bias ? load(bias + v.value * lanes, n) : simd::zero();
    repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
      float* to = c + i.value * ldc + v.value * lanes;
      Vec value = sum[i.value][v.value];
      if (accumulate) value = load(to, n) + value;
      if (bias) value = value + more;
      store(to, value, n);
    });
  });
}

Kernel find_kernel(int64_t rows, int64_t columns) {
  return gemm::with_rows<int(MR)>(rows, [&](auto r) {
    return gemm::with_rows<int(NR / lanes)>(blocks(columns, lanes),
                                            [&](auto v) -> Kernel { return kernel<r.value, v.value>; });
  });
}

// Columns [column, column + columns) of one row of a panel of `rows` rows.
void pack_row(float* to, int64_t rows, int64_t column, int64_t columns, const float* from) {
  const int64_t end = column + columns;
  while (column < end) {
    const int64_t lane = column % lanes, count = min(end - column, lanes - lane);
    float* at = to + column / lanes * rows * lanes + lane;
    if (count == lanes)
      simd::store(at, simd::load(from));
    else
      memcpy(at, from, size_t(count) * sizeof(float));
    column += count;
    from += count;
  }
}

}  // namespace

void pack_state(float* state, int64_t rows, int64_t depth, Piece piece, const float* from, int64_t stride) {
  const int64_t panels = blocks(rows, MR), padded = round_up(depth, lanes);
  for (int64_t index = 0; index < panels; index++) {
    const Share panel = share_of(rows, panels, index);
    const int64_t first = max(piece.row, panel.first), end = min(piece.row + piece.rows, panel.first + panel.count);
    for (int64_t row = first; row < end; row++)
      pack_row(state + panel.first * padded + (row - panel.first) * lanes, panel.count, piece.column, piece.columns,
               from + (row - piece.row) * stride);
  }
}

void pack_weights(float* to, gemm::Matrix weights, int64_t depth, int64_t columns) {
  for (int64_t j = 0; j < columns; j += NR)
    for (int64_t k = 0; k < depth; k += gemm::KC) {
      const int64_t count = min(gemm::KC, depth - k);
      gemm::pack_b(to, gemm::part_of(weights, k, j), count, min(NR, columns - j));
      to += count * NR;
    }
}

void multiply(int64_t rows, int64_t columns, int64_t depth, const float* state, const float* weights, float* c,
              int64_t ldc, bool accumulate, const float* bias, const float* next) {
  const int64_t panels = blocks(rows, MR), padded = round_up(depth, lanes);
  for (int64_t j = 0; j < columns; j += NR, weights += depth * NR) {
    const int64_t width = min(NR, columns - j);
    Ahead ahead = {j + NR < columns ? weights + depth * NR : next, next ? blocks(4 * NR / line_floats, panels) : 0};
    Kernel kernel = nullptr;
    for (int64_t index = 0, last = 0; index < panels; index++) {
      const Share panel = share_of(rows, panels, index);
      if (panel.count != last) kernel = find_kernel(last = panel.count, width);
      const float* a = state + panel.first * padded;
      float* to = c + panel.first * ldc + j;
      // Long sums are computed block by block, as in gemm, because that is more exact.
      int64_t k = 0;
      do {
        const int64_t count = min(gemm::KC, depth - k);
        kernel(count, a + k * panel.count, weights + k * NR, width, to, ldc, accumulate || k > 0,
               bias && k + count == depth ? bias + j : nullptr, ahead);
        k += count;
      } while (k < depth);
    }
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::recurrent
