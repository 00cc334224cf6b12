// Softmax and log-softmax over one dimension of a dense tensor, and their derivatives. Outputs are overwritten.
//
// A tensor is [outer, size, inner] around the dimension. If inner is 1, registers run along a row, which stays in the
// cache between the passes over it. Otherwise they run over neighbouring inner positions, and each lane has its own
// sum, compensated after Kahan. Reads 4 bytes (forward) or 8 (backward) and writes 4 bytes an element; an exponential
// takes about 20 operations. A row that holds NaN or +infinity, or nothing but -infinity, gives NaN, as the formulas
// do.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../simd/stream.h"
#include "row.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;
using softmax::chunk_elements;
using softmax::exp_of_negative;
using softmax::largest_number;

struct Around {
  int64_t outer, size, inner;
};

Around around(const View& view, int64_t dim) {
  Around shape{1, 1, 1};
  for (int64_t d = 0; d < view.ndim; d++) (d < dim ? shape.outer : d > dim ? shape.inner : shape.size) *= view.sizes[d];
  return shape;
}

// Calls rows(count, offset) for `count` rows of `size` floats, at most Together, if inner is 1. Otherwise calls
// columns(offset, count) for up to `lanes` columns.
template <int Together, class Rows, class Columns>
void for_slices(Context& context, Around shape, const Rows& rows, const Columns& columns) {
  const int64_t width = shape.inner == 1 ? 1 : lanes, across = ceil_div(shape.inner, width);
  const int64_t slices = shape.outer * across;
  if (slices == 0 || shape.size == 0) return;
  for_chunks(context, even_chunks(slices, shape.size * width, chunk_elements), [&](int64_t begin, int64_t end) {
    if (shape.inner == 1) {
      for_row_groups<Together>(begin, end, shape.size, [&](auto count, int64_t row) { rows(count, row * shape.size); });
      return finish_streaming();
    }
    for (int64_t slice = begin; slice < end; slice++) {
      const int64_t column = slice % across * width, left = shape.inner - column;
      columns(slice / across * shape.size * shape.inner + column, min(left, width));
    }
  });
}

// The four kernels on `count` neighbouring rows. If `stream`, results are written past the caches.
template <int count>
void forward_rows(float* to, const float* from, int64_t size, bool stream) {
  // Between the passes exponentials lie in `to`. If results go past the caches, `to` would have to be fetched first, so
  // they are kept in a room, or computed again.
  using softmax::room_floats;
  alignas(64) float room[room_floats];
  float* kept = !stream ? to : count * size <= room_floats ? room : nullptr;
  Vec largest[count];
  for (int r = 0; r < count; r++) largest[r] = set(largest_number(from + r * size, size));
  double sums[count];
  sum_row(size, sums, [&](int64_t i, int64_t n, Vec* s) {
    for (int r = 0; r < count; r++) {
      prefetch_rows<count>(from + count * size, i, r);  // the next rows, while these are computed
      const Vec e = exp_of_negative(load_some(from + r * size + i, n) - largest[r]);
      if (kept) store_some(kept + r * size + i, e, n);
      s[r] = s[r] + first_of(e, n, zero());
    }
  });
  for (int r = 0; r < count; r++) {
    const Vec scale = set(float(1.0 / sums[r])), center = largest[r];
    const float* const row = (kept ? kept : from) + r * size;
    if (kept)
      write_row(to + r * size, size, stream, [&](int64_t i, int64_t n) { return load_some(row + i, n) * scale; });
    else
      write_row(to + r * size, size, stream,
                [&](int64_t i, int64_t n) { return exp_of_negative(load_some(row + i, n) - center) * scale; });
  }
}

template <int count>
void backward_rows(float* to, const float* gradient, const float* probability, int64_t size, bool stream) {
  double sums[count];
  sum_row(size, sums, [&](int64_t i, int64_t n, Vec* s) {
    for (int r = 0; r < count; r++) {
      prefetch_rows<count>(gradient + count * size, i, r);
      s[r] = fma(load_some(gradient + r * size + i, n), load_some(probability + r * size + i, n), s[r]);
    }
  });
  for (int r = 0; r < count; r++, gradient += size, probability += size, to += size) {
    const Vec mean = set(float(sums[r]));
    write_row(to, size, stream, [&](int64_t i, int64_t n) {
      __builtin_prefetch(probability + count * size + i);
      return load_some(probability + i, n) * (load_some(gradient + i, n) - mean);
    });
  }
}

template <int count>
void log_forward_rows(float* to, const float* from, int64_t size, bool stream) {
  Vec largest[count];
  for (int r = 0; r < count; r++) largest[r] = set(largest_number(from + r * size, size));
  double sums[count];
  sum_row(size, sums, [&](int64_t i, int64_t n, Vec* s) {
    for (int r = 0; r < count; r++) {
      prefetch_rows<count>(from + count * size, i, r);
      s[r] = s[r] + first_of(exp_of_negative(load_some(from + r * size + i, n) - largest[r]), n, zero());
    }
  });
  for (int r = 0; r < count; r++, from += size, to += size) {
    const Vec log_sum = set(float(::log(sums[r]))), center = largest[r];
    write_row(to, size, stream, [&](int64_t i, int64_t n) { return (load_some(from + i, n) - center) - log_sum; });
  }
}

template <int count>
void log_backward_rows(float* to, const float* gradient, const float* log_probability, int64_t size, bool stream) {
  double sums[count];
  sum_row(size, sums, [&](int64_t i, int64_t n, Vec* s) {
    for (int r = 0; r < count; r++) {
      prefetch_rows<count>(gradient + count * size, i, r);
      s[r] = s[r] + load_some(gradient + r * size + i, n);
    }
  });
  for (int r = 0; r < count; r++, gradient += size, log_probability += size, to += size) {
    const Vec total = set(float(sums[r]));
    write_row(to, size, stream, [&](int64_t i, int64_t n) {
      __builtin_prefetch(log_probability + count * size + i);
      return load_some(gradient + i, n) - simd::exp(load_some(log_probability + i, n)) * total;
    });
  }
}

Vec column_max(const float* x, int64_t size, int64_t inner, int64_t count) {
  Vec largest = load_some(x, count);
  for (int64_t i = 1; i < size; i++) largest = max(largest, load_some(x + i * inner, count));
  return largest;
}

bool check(Context& context, const View& out, const View& x, int64_t dim) {
  return expect(context, same_shape(out, x), "softmax: shapes differ") &&
         expect(context, dim >= 0 && dim < (x.ndim ? x.ndim : 1), "softmax: the dimension does not exist");
}

}  // namespace

void softmax_forward(Context& context, const View& out, const View& x, int64_t dim) {
  if (!check(context, out, x, dim)) return;
  const Around shape = around(x, dim);
  const int64_t size = shape.size, inner = shape.inner;
  const bool stream = streams_rows(shape.outer, size);
  const auto rows = [&](auto together, int64_t offset) {
    forward_rows<together.value>(pointer<float>(out) + offset, pointer<const float>(x) + offset, size, stream);
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
  for_slices<rows_together(2)>(context, shape, rows, columns);
}

void softmax_backward(Context& context, const View& dx, const View& dy, const View& y, int64_t dim) {
  if (!check(context, dx, dy, dim) || !check(context, dx, y, dim)) return;
  const Around shape = around(dx, dim);
  const int64_t size = shape.size, inner = shape.inner;
  const bool stream = streams_rows(shape.outer, size);
  const auto rows = [&](auto together, int64_t offset) {
    backward_rows<together.value>(pointer<float>(dx) + offset, pointer<const float>(dy) + offset,
                                  pointer<const float>(y) + offset, size, stream);
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
  for_slices<rows_together(2)>(context, shape, rows, columns);
}

void log_softmax_forward(Context& context, const View& out, const View& x, int64_t dim) {
  if (!check(context, out, x, dim)) return;
  const Around shape = around(x, dim);
  const int64_t size = shape.size, inner = shape.inner;
  const bool stream = streams_rows(shape.outer, size);
  const auto rows = [&](auto together, int64_t offset) {
    log_forward_rows<together.value>(pointer<float>(out) + offset, pointer<const float>(x) + offset, size, stream);
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
  for_slices<rows_together(2)>(context, shape, rows, columns);
}

void log_softmax_backward(Context& context, const View& dx, const View& dy, const View& y, int64_t dim) {
  if (!check(context, dx, dy, dim) || !check(context, dx, y, dim)) return;
  const Around shape = around(dx, dim);
  const int64_t size = shape.size, inner = shape.inner;
  const bool stream = streams_rows(shape.outer, size);
  const auto rows = [&](auto together, int64_t offset) {
    log_backward_rows<together.value>(pointer<float>(dx) + offset, pointer<const float>(dy) + offset,
                                      pointer<const float>(y) + offset, size, stream);
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
  for_slices<rows_together(2)>(context, shape, rows, columns);
}

}  // namespace firesteel::FIRESTEEL_ISA
