// Layer normalisation and RMS normalisation of the rows of [rows, columns], forward and backward. Outputs are
// overwritten.
//
//   h = (x - mean) rstd, rstd = 1 / sqrt(variance + eps), out = h w + b
//   dx = rstd (g - mean(g) - h mean(g h)) with g = dy w; dw = sum over rows of dy h, db = sum over rows of dy
//
// RMS norm is the same with a mean of 0: neither the mean nor mean(g) is computed (`centred`), and there is no b.
//
// Rows stay in the first-level cache for all their passes. Each pass prefetches a part of what comes next: the results'
// own lines, or the next rows. A core awaits only so many lines at a time, so that one pass could not ask for all.
// Forward takes the means of a few rows, then the variances about them, then the results. Backward takes the two means
// of a few rows, then dx and their part of dw and db. Those parts are summed in float32 over blocks of 64 rows, which
// are cut by the shape alone, and in float64 over the blocks in order. Reads 4 and writes 4 bytes an element forward, 8
// and 4 backward.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../simd/stream.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;

using namespace norm::layer;
constexpr int together = rows_together(1);  // short rows that are walked side by side

const float* optional_floats(const View* view) { return view ? pointer<const float>(*view) : nullptr; }
float* optional_output(const View* view) { return view ? pointer<float>(*view) : nullptr; }

// Runs body(first, last) for ranges of units of `size` elements. The number of units in a range is a multiple of
// `group`.
template <class F>
void for_units(Context& context, int64_t count, int64_t size, int64_t group, const F& body) {
  for_chunks(context, even_chunks(count, size, work_elements, group), body);
}

// `Count` neighbouring rows of the forward pass. weight and bias may be null.
template <int Count, bool centred>
void rows_forward(int64_t columns, float* to, float* mean, float* rstd, const float* from, const float* weight,
                  const float* bias, double eps, bool stream) {
  const double count = columns > 0 ? double(columns) : 1;  // the statistics of nothing are 0
  double sums[Count];
  Vec center[Count];
  if constexpr (centred) {
    sum_row(columns, sums, [&](int64_t i, int64_t n, Vec* s) {
      for (int r = 0; r < Count; r++) s[r] = s[r] + load_some(from + r * columns + i, n);
    });
    for (int r = 0; r < Count; r++) center[r] = set(mean[r] = float(sums[r] / count));
  }
  sum_row(columns, sums, [&](int64_t i, int64_t n, Vec* s) {
    for (int r = 0; r < Count; r++) {
      if (!stream) __builtin_prefetch(to + r * columns + i, 1);
      const Vec value = load_some(from + r * columns + i, n);
      const Vec distance = centred ? first_of(value - center[r], n, zero()) : value;
      s[r] = fma(distance, distance, s[r]);
    }
  });
  for (int r = 0; r < Count; r++) rstd[r] = float(1.0 / ::sqrt(sums[r] / count + eps));
  for (int r = 0; r < Count; r++, from += columns, to += columns) {
    const Vec middle = centred ? center[r] : zero(), scale = set(rstd[r]);
    write_row(to, columns, stream, [&](int64_t i, int64_t n) {
      __builtin_prefetch(from + Count * columns + i);
      const Vec value = load_some(from + i, n);
      Vec y = (centred ? value - middle : value) * scale;
      if (weight) y = y * load_some(weight + i, n);
      if (bias) y = y + load_some(bias + i, n);
      return y;
    });
  }
}

// `Count` neighbouring rows of the backward pass, one if `stream`. dx, dw and db may be null; dw and db are added to.
template <int Count, bool centred>
void rows_backward(int64_t columns, const float* dy, const float* x, const float* mean, const float* rstd,
                   const float* w, float* dx, bool stream, float* dw, float* db) {
  Vec means[Count], scales[Count], means_g[Count], means_gh[Count];
  for (int r = 0; r < Count; r++) {
    means[r] = centred ? set(mean[r]) : zero();
    scales[r] = set(rstd[r]);
    means_g[r] = means_gh[r] = zero();
  }
  const auto normalised = [&](Vec value, int r) { return (centred ? value - means[r] : value) * scales[r]; };
  if (dx) {
    constexpr int each = centred ? 2 : 1;
    double sums[each * Count];  // of g h and of g
    sum_row(columns, sums, [&](int64_t i, int64_t n, Vec* s) {
      const Vec weight = w ? load_some(w + i, n) : set(1.0f);
      for (int r = 0; r < Count; r++) {
        __builtin_prefetch(x + (r + Count) * columns + i);
        if (!stream) __builtin_prefetch(dx + r * columns + i, 1);
        const Vec h = normalised(load_some(x + r * columns + i, n), r);
        const Vec g = load_some(dy + r * columns + i, n) * weight;
        s[each * r] = fma(g, h, s[each * r]);
        if constexpr (centred) s[each * r + 1] = s[each * r + 1] + g;
      }
    });
    for (int r = 0; r < Count; r++) {
      means_gh[r] = set(float(sums[each * r] / double(columns)));
      if constexpr (centred) means_g[r] = set(float(sums[each * r + 1] / double(columns)));
    }
  }
  // Returns dx of elements [i, i + n) of the last row, and writes dx of the other rows.
  const auto gradients = [&](int64_t i, int64_t n) {
    const Vec weight = w ? load_some(w + i, n) : set(1.0f);
    Vec sum_w = dw ? load_some(dw + i, n) : zero(), sum_b = db ? load_some(db + i, n) : zero(), last;
    for (int r = 0; r < Count; r++) {
      const float *from_x = x + r * columns + i, *from_dy = dy + r * columns + i;
      __builtin_prefetch(from_dy + Count * columns);
      const Vec gradient = load_some(from_dy, n), h = normalised(load_some(from_x, n), r);
      sum_w = fma(gradient, h, sum_w);
      sum_b = sum_b + gradient;
      last = scales[r] * (gradient * weight - fma(h, means_gh[r], means_g[r]));
      if (dx && r < Count - 1) store_some(dx + r * columns + i, last, n);
    }
    if (dw) store_some(dw + i, sum_w, n);
    if (db) store_some(db + i, sum_b, n);
    return last;
  };
  if (dx)
    write_row(dx + (Count - 1) * columns, columns, stream, gradients);
  else
    for_row(columns, [&](int64_t i, int64_t n) { gradients(i, n); });
}

// to[c] = sum over blocks of parts[block][c]
void sum_parts(Context& context, float* to, const float* parts, int64_t blocks, int64_t columns) {
  constexpr int64_t width = part_columns;
  for_units(context, ceil_div(columns, width), blocks * width, 1, [&](int64_t first, int64_t last) {
    for (int64_t start = first * width; start < last * width; start += width) {
      const int64_t count = min(columns - start, width);
      double sums[width] = {};
      for (int64_t block = 0; block < blocks; block++)
        for (int64_t c = 0; c < count; c++) sums[c] += double(parts[block * columns + start + c]);
      for (int64_t c = 0; c < count; c++) to[start + c] = float(sums[c]);
    }
  });
}

template <bool centred>
void forward(Context& context, const char* what, const View& out, const View* mean, const View& rstd, const View& x,
             const View* weight, const View* bias, double eps) {
  if (!expect(context, x.ndim == 2 && same_shape(out, x), what)) return;
  const int64_t rows = x.sizes[0], columns = x.sizes[1];
  if (!expect(context, (!mean || mean->count == rows) && rstd.count == rows, what) ||
      !expect(context, (!weight || weight->count == columns) && (!bias || bias->count == columns), what))
    return;
  const float *w = optional_floats(weight), *b = optional_floats(bias);
  float* const means = optional_output(mean);
  const bool stream = streams_rows(rows, columns);
  for_units(context, rows, columns, columns <= short_row ? together : 1, [&](int64_t first, int64_t last) {
    for_row_groups<together>(first, last, columns, [&](auto group, int64_t row) {
      rows_forward<group.value, centred>(columns, pointer<float>(out) + row * columns, means ? means + row : nullptr,
                                         pointer<float>(rstd) + row, pointer<const float>(x) + row * columns, w, b, eps,
                                         stream);
    });
    if (stream) finish_streaming();
  });
}

template <bool centred>
void backward(Context& context, const char* what, const View* dx, const View* dweight, const View* dbias,
              const View& dy, const View& x, const View* mean, const View& rstd, const View* weight) {
  if (!expect(context, x.ndim == 2 && same_shape(dy, x) && (!dx || same_shape(*dx, x)), what)) return;
  const int64_t rows = x.sizes[0], columns = x.sizes[1];
  if (!expect(context, (!mean || mean->count == rows) && rstd.count == rows, what) ||
      !expect(context,
              (!weight || weight->count == columns) && (!dweight || dweight->count == columns) &&
                  (!dbias || dbias->count == columns),
              what))
    return;
  const float *w = optional_floats(weight), *means = optional_floats(mean);
  const int64_t blocks = ceil_div(rows, block_rows);
  const size_t bytes = sizeof(float) * size_t(blocks * columns);
  const bool stream = dx && streams_rows(rows, columns);
  float* const dw_parts = dweight ? static_cast<float*>(scratch(context, bytes)) : nullptr;
  float* const db_parts = dbias ? static_cast<float*>(scratch(context, bytes)) : nullptr;
  for_units(context, blocks, block_rows * columns, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; block++) {
      float* const dw = dw_parts ? dw_parts + block * columns : nullptr;
      float* const db = db_parts ? db_parts + block * columns : nullptr;
      if (dw) memset(dw, 0, sizeof(float) * size_t(columns));
      if (db) memset(db, 0, sizeof(float) * size_t(columns));
      const int64_t end = (block + 1) * block_rows < rows ? (block + 1) * block_rows : rows;
      const auto run = [&](auto group, int64_t row) {
        const int64_t offset = row * columns;
        rows_backward<group.value, centred>(
            columns, pointer<const float>(dy) + offset, pointer<const float>(x) + offset, means ? means + row : nullptr,
            pointer<const float>(rstd) + row, w, dx ? pointer<float>(*dx) + offset : nullptr, stream, dw, db);
      };
      stream ? for_row_groups<1>(block * block_rows, end, columns, run)
             : for_row_groups<rows_together(centred ? 2 : 1)>(block * block_rows, end, columns, run);
    }
    if (stream) finish_streaming();
  });
  if (dweight) sum_parts(context, optional_output(dweight), dw_parts, blocks, columns);
  if (dbias) sum_parts(context, optional_output(dbias), db_parts, blocks, columns);
}

}  // namespace

void layer_norm_forward(Context& context, const View& out, const View& mean, const View& rstd, const View& x,
                        const View* weight, const View* bias, double eps) {
  forward<true>(context, "layer_norm: shapes differ", out, &mean, rstd, x, weight, bias, eps);
}

void layer_norm_backward(Context& context, const View* dx, const View* dweight, const View* dbias, const View& dy,
                         const View& x, const View& mean, const View& rstd, const View* weight) {
  backward<true>(context, "layer_norm_backward: shapes differ", dx, dweight, dbias, dy, x, &mean, rstd, weight);
}

void rms_norm_forward(Context& context, const View& out, const View& rstd, const View& x, const View* weight,
                      double eps) {
  forward<false>(context, "rms_norm: shapes differ", out, nullptr, rstd, x, weight, nullptr, eps);
}

void rms_norm_backward(Context& context, const View* dx, const View* dweight, const View& dy, const View& x,
                       const View& rstd, const View* weight) {
  backward<false>(context, "rms_norm_backward: shapes differ", dx, dweight, nullptr, dy, x, nullptr, rstd, weight);
}

}  // namespace firesteel::FIRESTEEL_ISA
