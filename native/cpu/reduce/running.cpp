// cumsum, cumprod, cummax, cummin, logcumsumexp along one dimension. They overwrite out, and move 8 bytes an element. A
// running sum of exponentials takes two exponentials for each element.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../elementwise/driver.h"
#include "../simd/math.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

// x seen as [outer, n, inner] around the dimension.
struct Around {
  int64_t outer, n, inner;
};

bool seen_around(Context& context, const View& out, const View& x, int64_t dim, DType dtype, Around* a) {
  const bool fit = same_shape(out, x) && out.dtype == dtype && dim >= 0 && dim < (x.ndim == 0 ? 1 : x.ndim);
  if (!expect(context, fit, "running: out does not fit x, or there is no such dimension")) return false;
  *a = {1, x.ndim == 0 ? 1 : x.sizes[dim], 1};
  for (int d = 0; d < x.ndim; d++)
    if (d != dim) (d < dim ? a->outer : a->inner) *= x.sizes[d];
  return out.count > 0;
}

// Calls body(begin, columns) for each tile of columns. The tile begins at `begin` in memory and steps by `inner` along
// n.
template <class F>
void for_tiles(Context& context, const Around& a, const F& body) {
  const int64_t tile = min(along_tile, a.inner), tiles = ceil_div(a.inner, tile);
  for_items(context, {a.outer * tiles, 1 + chunk_elements / (a.n * tile)}, [&](int64_t unit) {
    const int64_t first = unit % tiles * tile;
    body(unit / tiles * a.n * a.inner + first, min(tile, a.inner - first));
  });
}

struct Sum {
  static constexpr int start = 0;
  static constexpr const char* beyond =
      "a sum is beyond what int32 holds; convert the tensor with .to('float32') before it is summed";
  template <class Total>
  static Total join(Total a, Total b) {
    return a + b;
  }
};

struct Product {
  static constexpr int start = 1;
  static constexpr const char* beyond =
      "a product is beyond what int32 holds; convert the tensor with .to('float32') before it is multiplied";
  template <class Total>
  static Total join(Total a, Total b) {
    return a * b;
  }
};

// Total is so wide that rounding to T is the only error, except if int32 cannot hold the result.
template <class Fold, class T, class Total>
void run_as(Context& context, const View& out, const View& x, const Around& a, bool reverse) {
  for_tiles(context, a, [&](int64_t begin, int64_t columns) {
    Total totals[along_tile];
    for (int64_t j = 0; j < columns; j++) totals[j] = Fold::start;
    bool beyond = false;
    for (int64_t i = 0; i < a.n; i++) {
      const int64_t at = begin + (reverse ? a.n - 1 - i : i) * a.inner;
      for (int64_t j = 0; j < columns; j++) {
        totals[j] = Fold::join(totals[j], static_cast<Total>(pointer<const T>(x)[at + j]));
        const T rounded = static_cast<T>(totals[j]);
        pointer<T>(out)[at + j] = rounded;
        if constexpr (T(0.5f) == T(0)) {
          beyond |= totals[j] != rounded;
          totals[j] = rounded;
        }
      }
    }
    if (beyond) record_error(context, ErrorCode::value, "%s", Fold::beyond);
  });
}

template <class Fold>
void run(Context& context, const View& out, const View& x, int64_t dim, bool reverse) {
  Around a;
  if (!seen_around(context, out, x, dim, x.dtype, &a)) return;
  if (x.dtype == DType::float32) return run_as<Fold, float, double>(context, out, x, a, reverse);
  if (expect(context, x.dtype == DType::int32, "running: expected float32 or int32"))
    run_as<Fold, int32_t, int64_t>(context, out, x, a, reverse);
}

template <bool largest, class T>
void best_so_far_as(Context& context, const View& out, const View& x, const Around& a) {
  for_tiles(context, a, [&](int64_t begin, int64_t columns) {
    T best[along_tile];
    int32_t index[along_tile];
    for (int64_t i = 0; i < a.n; i++) {
      const T* const row = pointer<const T>(x) + begin + i * a.inner;
      int32_t* const to = pointer<int32_t>(out) + begin + i * a.inner;
      for (int64_t j = 0; j < columns; j++) {
        const T value = row[j];
        if (i == 0 || value != value || (largest ? value >= best[j] : value <= best[j]))
          best[j] = value, index[j] = static_cast<int32_t>(i);
        to[j] = index[j];
      }
    }
  });
}

template <bool largest>
void best_so_far(Context& context, const View& out, const View& x, int64_t dim) {
  Around a;
  if (!seen_around(context, out, x, dim, DType::int32, &a)) return;
  if (!expect(context, a.n <= INT32_MAX, "running: the dimension is too long for int32")) return;
  if (x.dtype == DType::float32) return best_so_far_as<largest, float>(context, out, x, a);
  if (expect(context, x.dtype == DType::int32, "running: expected float32 or int32"))
    best_so_far_as<largest, int32_t>(context, out, x, a);
}

// Takes some lines at a time, and keeps for each line the largest element so far, and in float64 the sum of
// exponentials relative to it.
void exponentials(Context& context, const View& out, const View& x, const Around& a, bool reverse) {
  using namespace simd;
  const int64_t lines = a.outer * a.inner, units = ceil_div(lines, lines_together);
  for_items(context, {units, 1 + chunk_elements / (16 * a.n * lines_together)}, [&](int64_t unit) {
    const int64_t first = unit * lines_together, count = min(lines_together, lines - first);
    int64_t begins[lines_together];
    float value[lines_together] = {}, peak[lines_together], before[lines_together], here[lines_together];
    double sum[lines_together] = {};
    for (int64_t j = 0; j < lines_together; j++) peak[j] = -INFINITY;
    for (int64_t j = 0; j < count; j++) begins[j] = (first + j) / a.inner * a.n * a.inner + (first + j) % a.inner;
    for (int64_t i = 0; i < a.n; i++) {
      const int64_t row = (reverse ? a.n - 1 - i : i) * a.inner;
      for (int64_t j = 0; j < count; j++) value[j] = pointer<const float>(x)[begins[j] + row];
      for (int64_t j = 0; j < count; j += lanes) {
        const Vec v = load(value + j), old = load(peak + j), top = max(old, v);
        // The exponential of the peak itself is 1, even if the peak is infinite.
        store(before + j, exp(select(old == top, zero(), old - top)));
        store(here + j, exp(select(v == top, zero(), v - top)));
        store(peak + j, top);
      }
      for (int64_t j = 0; j < count; j++) {
        sum[j] = sum[j] * static_cast<double>(before[j]) + static_cast<double>(here[j]);
        value[j] = static_cast<float>(sum[j]);
      }
      for (int64_t j = 0; j < count; j += lanes) store(here + j, load(peak + j) + log(load(value + j)));
      for (int64_t j = 0; j < count; j++) pointer<float>(out)[begins[j] + row] = here[j];
    }
  });
}

}  // namespace

void cumsum(Context& context, const View& out, const View& x, int64_t dim, bool reverse) {
  run<Sum>(context, out, x, dim, reverse);
}
void cumprod(Context& context, const View& out, const View& x, int64_t dim) {
  run<Product>(context, out, x, dim, false);
}
void cummax(Context& context, const View& out, const View& x, int64_t dim) { best_so_far<true>(context, out, x, dim); }
void cummin(Context& context, const View& out, const View& x, int64_t dim) { best_so_far<false>(context, out, x, dim); }

void logcumsumexp(Context& context, const View& out, const View& x, int64_t dim, bool reverse) {
  Around a;
  if (!seen_around(context, out, x, dim, x.dtype, &a)) return;
  if (expect(context, x.dtype == DType::float32, "logcumsumexp: expected float32"))
    exponentials(context, out, x, a, reverse);
}

}  // namespace firesteel::FIRESTEEL_ISA
