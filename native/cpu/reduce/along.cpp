// argmax and argmin along one dimension. They overwrite out, and read 4 bytes an element.
#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../elementwise/driver.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

template <bool largest, class T>
bool beats(T a, T b) {
  return largest ? a > b : a < b;
}

// The lanes in which v replaces b.
template <bool largest>
simd::Mask replaces(simd::Vec v, simd::Vec b) {
  return ((largest ? v > b : v < b) | (v != v)) & (b == b);
}
template <bool largest>
simd::Mask replaces(simd::VecI v, simd::VecI b) {
  return largest ? v > b : v < b;
}

// The first of n elements, `stride` apart, that no other beats, in each of `columns` columns, `step` apart. NaN beats
// everything else.
template <bool largest, class T>
void best_of_columns(const T* x, int64_t n, int64_t stride, int64_t columns, int64_t step, int32_t* index) {
  T best[along_tile];
  for (int64_t j = 0; j < columns; j++) best[j] = x[j * step], index[j] = 0;
  const int64_t whole = step == 1 ? columns - columns % simd::lanes : 0;
  for (int64_t r = 1; r < n; r++) {
    const T* row = x + r * stride;
    const simd::VecI here = simd::set_int(static_cast<int32_t>(r));
    for (int64_t j = 0; j < whole; j += simd::lanes) {
      const auto v = simd::load(row + j), b = simd::load(best + j);
      const simd::Mask better = replaces<largest>(v, b);
      simd::store(best + j, simd::select(better, v, b));
      simd::store(index + j, simd::select(better, here, simd::load(index + j)));
    }
    for (int64_t j = whole; j < columns; j++) {
      const T value = row[j * step];
      if ((beats<largest>(value, best[j]) || value != value) && best[j] == best[j])
        best[j] = value, index[j] = static_cast<int32_t>(r);
    }
  }
}

// The same for one dense row: finds the best value a register at a time, and then its first place.
template <bool largest, class T>
int32_t best_of_row(const T* x, int64_t n) {
  using namespace simd;
  T best = x[0];
  int64_t i = 0;
  if (n >= 2 * lanes) {
    auto a = load(x);
    for (i = lanes; i + lanes <= n; i += lanes) {
      if constexpr (largest)
        a = max(a, load(x + i));
      else
        a = min(a, load(x + i));
    }
    T each[lanes];
    store(each, a);
    for (T value : each)
      if (beats<largest>(value, best) || value != value) best = value;
  }
  for (; i < n && best == best; i++)
    if (beats<largest>(x[i], best) || x[i] != x[i]) best = x[i];
  for (i = 0; i < n; i++)
    if (x[i] == best || (x[i] != x[i] && best != best)) return static_cast<int32_t>(i);
  return 0;
}

template <bool largest, class T>
void best_as(Context& context, const View& out, const View& x, int64_t dim) {
  const int64_t n = x.sizes[dim], stride = x.strides[dim];
  if (!expect(context, n > 0, "argmax, argmin: the dimension is empty")) return;
  if (!expect(context, n <= INT32_MAX, "argmax, argmin: the dimension is too long for int32")) return;
  // Outputs come in rows of the innermost other dimension.
  int inner = -1;
  for (int d = 0; d < x.ndim; d++)
    if (d != dim && x.sizes[d] > 1) inner = d;
  const int64_t columns = inner < 0 ? 1 : x.sizes[inner], step = inner < 0 ? 0 : x.strides[inner];
  const int64_t tile = stride == 1 ? 1 : min(along_tile, columns);
  const int64_t tiles = ceil_div(columns, tile), units = out.count / columns * tiles;
  for_items(context, {units, 1 + chunk_elements / (n * tile)}, [&](int64_t unit) {
    const int64_t first = unit % tiles * tile, row = unit / tiles;
    const T* from = pointer<const T>(x) + first * step;
    int64_t rest = row;
    for (int d = x.ndim - 1; d >= 0; d--) {
      if (d == dim || d == inner) continue;
      from += rest % x.sizes[d] * x.strides[d];
      rest /= x.sizes[d];
    }
    int32_t* to = pointer<int32_t>(out) + row * columns + first;
    if (stride == 1)
      *to = best_of_row<largest>(from, n);
    else
      best_of_columns<largest>(from, n, stride, min(tile, columns - first), step, to);
  });
}

template <bool largest>
void best(Context& context, const View& out, const View& x, int64_t dim) {
  if (!expect(context, out.dtype == DType::int32, "argmax, argmin: out must be int32")) return;
  if (x.ndim == 0) {
    if (expect(context, out.count == 1, "argmax, argmin: shapes differ")) *pointer<int32_t>(out) = 0;
    return;
  }
  bool fit = dim >= 0 && dim < x.ndim && out.ndim == x.ndim;
  for (int d = 0; fit && d < x.ndim; d++) fit = out.sizes[d] == (d == dim ? 1 : x.sizes[d]);
  if (!expect(context, fit, "argmax, argmin: out must have x's shape with 1 at dim") || out.count == 0) return;
  if (x.dtype == DType::float32) return best_as<largest, float>(context, out, x, dim);
  if (expect(context, x.dtype == DType::int32, "argmax, argmin: expected float32 or int32"))
    best_as<largest, int32_t>(context, out, x, dim);
}

}  // namespace

void argmax(Context& context, const View& out, const View& x, int64_t dim) { best<true>(context, out, x, dim); }
void argmin(Context& context, const View& out, const View& x, int64_t dim) { best<false>(context, out, x, dim); }

}  // namespace firesteel::FIRESTEEL_ISA
