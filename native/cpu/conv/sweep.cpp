#include "sweep.h"

#include "../gemm/micro.h"
#include "../simd/vector.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA::conv {

namespace {

using gemm::repeat;
using simd::Vec;
constexpr int lanes = simd::lanes;

template <bool Partial>
FIRESTEEL_INLINE Vec load(const float* from, int count) {
  return Partial ? simd::load_partial(from, count) : simd::load(from);
}

// Calls body(i, s) for each row of a tile that `Rows` rows of results reach, and for each column of taps.
template <int Rows, class F>
FIRESTEEL_UNROLLED inline void each_tap(const F& body) {
  repeat<3 * (Rows + 2)>([&](auto step) FIRESTEEL_UNROLLED {
    constexpr int i = step.value / 3, s = step.value % 3;
    body(gemm::Index<i>(), gemm::Index<s>());
  });
}

// A vector of columns of `Rows` rows of results, of which the first `count` are written.
template <int Rows, bool Partial>
FIRESTEEL_UNROLLED inline void product_vector(float* to, int64_t to_pitch, const float* tile, int64_t pitch,
                                              const Vec (&weights)[9], Vec bias, int count) {
  Vec sum[Rows];
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
    sum[r.value] = bias;
    __builtin_prefetch(to + (r.value + Rows) * to_pitch, 1);  // the next rows, which come from memory
  });
  each_tap<Rows>([&](auto i, auto s) FIRESTEEL_UNROLLED {
    const Vec x = load<Partial>(tile + i.value * pitch + s.value, count);
    repeat<3>([&](auto r) FIRESTEEL_UNROLLED {
      constexpr int row = i.value - r.value;
      if constexpr (row >= 0 && row < Rows) sum[row] = simd::fma(weights[3 * r.value + s.value], x, sum[row]);
    });
  });
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
    Partial ? simd::store_partial(to + r.value * to_pitch, sum[r.value], count)
            : simd::store(to + r.value * to_pitch, sum[r.value]);
  });
}

template <int Rows>
void product_rows(float* to, int64_t to_pitch, const float* tile, int64_t pitch, int64_t columns, const float* taps,
                  Vec bias) {
  Vec weights[9];
  repeat<9>([&](auto t) FIRESTEEL_UNROLLED { weights[t.value] = simd::set(taps[t.value]); });
  int64_t q = 0;
  for (; q + lanes <= columns; q += lanes)
    product_vector<Rows, false>(to + q, to_pitch, tile + q, pitch, weights, bias, lanes);
  if (q < columns) product_vector<Rows, true>(to + q, to_pitch, tile + q, pitch, weights, bias, int(columns - q));
}

template <int Rows, bool Partial>
FIRESTEEL_UNROLLED inline void gradient_vector(Vec (&sum)[9], const float* dy, int64_t dy_pitch, const float* tile,
                                               int64_t pitch, int count) {
  Vec gradient[Rows];
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED { gradient[r.value] = load<Partial>(dy + r.value * dy_pitch, count); });
  each_tap<Rows>([&](auto i, auto s) FIRESTEEL_UNROLLED {
    const Vec x = load<Partial>(tile + i.value * pitch + s.value, count);
    repeat<3>([&](auto r) FIRESTEEL_UNROLLED {
      constexpr int row = i.value - r.value, tap = 3 * r.value + s.value;
      if constexpr (row >= 0 && row < Rows) sum[tap] = simd::fma(gradient[row], x, sum[tap]);
    });
  });
}

template <int Rows>
void gradient_rows(Vec (&sums)[9], const float* dy, int64_t dy_pitch, const float* tile, int64_t pitch,
                   int64_t columns) {
  Vec sum[9];
  repeat<9>([&](auto t) FIRESTEEL_UNROLLED { sum[t.value] = sums[t.value]; });
  int64_t q = 0;
  for (; q + lanes <= columns; q += lanes) gradient_vector<Rows, false>(sum, dy + q, dy_pitch, tile + q, pitch, lanes);
  if (q < columns) gradient_vector<Rows, true>(sum, dy + q, dy_pitch, tile + q, pitch, int(columns - q));
  repeat<9>([&](auto t) FIRESTEEL_UNROLLED { sums[t.value] = sum[t.value]; });
}

}  // namespace

void sweep_product(float* to, int64_t to_pitch, const float* tile, int64_t pitch, int64_t rows, int64_t columns,
                   const float* weights, float bias) {
  const Vec b = simd::set(bias);
  int64_t row = 0;
  for (; row + sweep_rows <= rows; row += sweep_rows)
    product_rows<sweep_rows>(to + row * to_pitch, to_pitch, tile + row * pitch, pitch, columns, weights, b);
  for (; row < rows; row++)
    product_rows<1>(to + row * to_pitch, to_pitch, tile + row * pitch, pitch, columns, weights, b);
}

void sweep_gradient(double* sums, const float* dy, int64_t dy_pitch, const float* tile, int64_t pitch, int64_t rows,
                    int64_t columns) {
  Vec sum[9];
  for (int t = 0; t < 9; t++) sum[t] = simd::zero();
  int64_t row = 0;
  for (; row + sweep_rows <= rows; row += sweep_rows)
    gradient_rows<sweep_rows>(sum, dy + row * dy_pitch, dy_pitch, tile + row * pitch, pitch, columns);
  for (; row < rows; row++) gradient_rows<1>(sum, dy + row * dy_pitch, dy_pitch, tile + row * pitch, pitch, columns);
  for (int t = 0; t < 9; t++) sums[t] += double(simd::reduce_add(sum[t]));
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
