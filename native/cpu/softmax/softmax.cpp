// Softmax and log-softmax over one dimension of a dense tensor, and their derivatives. Outputs are overwritten.
//
// A tensor is [outer, size, inner] around the dimension. Where inner is 1, registers run along a row, which stays in
// the cache between the passes over it; else they run over neighbouring inner positions, each lane its own sum,
// compensated after Kahan. Reads 4 bytes (forward) or 8 (backward) and writes 4 bytes an element; about 20 operations
// for an exponential. A row holding NaN or +infinity, or nothing but -infinity, gives NaN, as the formulas do.
#include <math.h>

#include "../../generated/kernels.h"
#include "row.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;
using softmax::exp_of_negative;

constexpr int64_t chunk_elements = 16384;

struct Around {
  int64_t outer, size, inner;
};

Around around(const View& view, int64_t dim) {
  Around shape{1, 1, 1};
  for (int64_t d = 0; d < view.ndim; d++) (d < dim ? shape.outer : d > dim ? shape.inner : shape.size) *= view.sizes[d];
  return shape;
}

// Calls row(offset) for rows of `size` floats if inner is 1, else columns(offset, count) for up to `lanes` columns.
template <class Row, class Columns>
void for_slices(Context& context, Around shape, const Row& row, const Columns& columns) {
  const bool rows = shape.inner == 1;
  const int64_t width = rows ? 1 : lanes, across = (shape.inner + width - 1) / width;
  const int64_t slices = shape.outer * across;
  if (slices == 0 || shape.size == 0) return;
  const int64_t per_chunk = 1 + chunk_elements / (shape.size * width);
  parallel(context, (slices + per_chunk - 1) / per_chunk, [&](int64_t chunk) {
    const int64_t end = (chunk + 1) * per_chunk < slices ? (chunk + 1) * per_chunk : slices;
    for (int64_t slice = chunk * per_chunk; slice < end; slice++) {
      const int64_t column = slice % across * width, left = shape.inner - column;
      const int64_t offset = slice / across * shape.size * shape.inner + column;
      rows ? row(offset) : columns(offset, left < width ? left : width);
    }
  });
}

Vec column_max(const float* x, int64_t size, int64_t inner, int64_t count) {
  Vec largest = load_some(x, count);
  for (int64_t i = 1; i < size; i++) largest = max(largest, load_some(x + i * inner, count));
  return largest;
}

bool check(Context& context, const View& out, const View& x, int64_t dim) {
  return expect(context, same_shape(out, x), "softmax: shapes differ") &&
         expect(context, dim >= 0 && dim < (x.ndim ? x.ndim : 1), "softmax: no such dimension");
}

}  // namespace

void softmax_forward(Context& context, const View& out, const View& x, int64_t dim) {
  if (!check(context, out, x, dim)) return;
  const Around shape = around(x, dim);
  const int64_t size = shape.size, inner = shape.inner;
  const auto row = [&](int64_t offset) {
    const float* from = pointer<const float>(x) + offset;
    float* to = pointer<float>(out) + offset;
    const Vec largest = set(row_max(from, size));
    double sum[1];
    sum_row(size, sum, [&](int64_t i, int64_t n, Vec* sums) {
      const Vec e = exp_of_negative(load_some(from + i, n) - largest);
      store_some(to + i, e, n);
      sums[0] = sums[0] + first_of(e, n, zero());
    });
    const Vec scale = set(float(1.0 / sum[0]));
    for_row(size, [&](int64_t i, int64_t n) { store_some(to + i, load_some(to + i, n) * scale, n); });
  };
  const auto columns = [&](int64_t offset, int64_t count) {
    const float* from = pointer<const float>(x) + offset;
    float* to = pointer<float>(out) + offset;
    const Vec largest = column_max(from, size, inner, count);
    LaneSums sums;
    for (int64_t i = 0; i < size; i++) {
      const Vec e = exp_of_negative(load_some(from + i * inner, count) - largest);
      store_some(to + i * inner, e, count);
      add_to(sums, e);
    }
    for (int64_t i = 0; i < size; i++) store_some(to + i * inner, load_some(to + i * inner, count) / sums.sum, count);
  };
  for_slices(context, shape, row, columns);
}

void softmax_backward(Context& context, const View& dx, const View& dy, const View& y, int64_t dim) {
  if (!check(context, dx, dy, dim) || !check(context, dx, y, dim)) return;
  const Around shape = around(dx, dim);
  const int64_t size = shape.size, inner = shape.inner;
  const auto row = [&](int64_t offset) {
    const float *gradient = pointer<const float>(dy) + offset, *probability = pointer<const float>(y) + offset;
    float* to = pointer<float>(dx) + offset;
    double sum[1];
    sum_row(size, sum, [&](int64_t i, int64_t n, Vec* sums) {
      sums[0] = fma(load_some(gradient + i, n), load_some(probability + i, n), sums[0]);
    });
    const Vec mean = set(float(sum[0]));
    for_row(size, [&](int64_t i, int64_t n) {
      store_some(to + i, load_some(probability + i, n) * (load_some(gradient + i, n) - mean), n);
    });
  };
  const auto columns = [&](int64_t offset, int64_t count) {
    const float *gradient = pointer<const float>(dy) + offset, *probability = pointer<const float>(y) + offset;
    float* to = pointer<float>(dx) + offset;
    LaneSums sums;
    for (int64_t i = 0; i < size; i++)
      add_to(sums, load_some(gradient + i * inner, count) * load_some(probability + i * inner, count));
    for (int64_t i = 0; i < size; i++) {
      const Vec difference = load_some(gradient + i * inner, count) - sums.sum;
      store_some(to + i * inner, load_some(probability + i * inner, count) * difference, count);
    }
  };
  for_slices(context, shape, row, columns);
}

void log_softmax_forward(Context& context, const View& out, const View& x, int64_t dim) {
  if (!check(context, out, x, dim)) return;
  const Around shape = around(x, dim);
  const int64_t size = shape.size, inner = shape.inner;
  const auto row = [&](int64_t offset) {
    const float* from = pointer<const float>(x) + offset;
    float* to = pointer<float>(out) + offset;
    const Vec largest = set(row_max(from, size));
    double sum[1];
    sum_row(size, sum, [&](int64_t i, int64_t n, Vec* sums) {
      sums[0] = sums[0] + first_of(exp_of_negative(load_some(from + i, n) - largest), n, zero());
    });
    const Vec log_sum = set(float(::log(sum[0])));
    for_row(size, [&](int64_t i, int64_t n) { store_some(to + i, (load_some(from + i, n) - largest) - log_sum, n); });
  };
  const auto columns = [&](int64_t offset, int64_t count) {
    const float* from = pointer<const float>(x) + offset;
    float* to = pointer<float>(out) + offset;
    const Vec largest = column_max(from, size, inner, count);
    LaneSums sums;
    for (int64_t i = 0; i < size; i++) add_to(sums, exp_of_negative(load_some(from + i * inner, count) - largest));
    const Vec log_sum = simd::log(sums.sum);
    for (int64_t i = 0; i < size; i++)
      store_some(to + i * inner, (load_some(from + i * inner, count) - largest) - log_sum, count);
  };
  for_slices(context, shape, row, columns);
}

void log_softmax_backward(Context& context, const View& dx, const View& dy, const View& y, int64_t dim) {
  if (!check(context, dx, dy, dim) || !check(context, dx, y, dim)) return;
  const Around shape = around(dx, dim);
  const int64_t size = shape.size, inner = shape.inner;
  const auto row = [&](int64_t offset) {
    const float *gradient = pointer<const float>(dy) + offset, *log_probability = pointer<const float>(y) + offset;
    float* to = pointer<float>(dx) + offset;
    double sum[1];
    sum_row(size, sum, [&](int64_t i, int64_t n, Vec* sums) { sums[0] = sums[0] + load_some(gradient + i, n); });
    const Vec total = set(float(sum[0]));
    for_row(size, [&](int64_t i, int64_t n) {
      const Vec probability = simd::exp(load_some(log_probability + i, n));
      store_some(to + i, load_some(gradient + i, n) - probability * total, n);
    });
  };
  const auto columns = [&](int64_t offset, int64_t count) {
    const float *gradient = pointer<const float>(dy) + offset, *log_probability = pointer<const float>(y) + offset;
    float* to = pointer<float>(dx) + offset;
    LaneSums sums;
    for (int64_t i = 0; i < size; i++) add_to(sums, load_some(gradient + i * inner, count));
    for (int64_t i = 0; i < size; i++) {
      const Vec probability = simd::exp(load_some(log_probability + i * inner, count));
      store_some(to + i * inner, load_some(gradient + i * inner, count) - probability * sums.sum, count);
    }
  };
  for_slices(context, shape, row, columns);
}

}  // namespace firesteel::FIRESTEEL_ISA
