// The common part of the kernels of pooling: the geometry of windows, and vectors of neighbouring windows.
//
// Legend: an image has H x W planes (N C of them), the result has P x Q planes, and a window is R x S. All results are
// overwritten. Planes are independent. So gradients are added up plane by plane, in the order of the windows, without a
// conflict.
#pragma once
#include "../../core/kernel.h"
#include "../chunks.h"
#include "../simd/vector.h"

namespace firesteel::FIRESTEEL_ISA::pool {

using simd::Vec;
using simd::VecI;

constexpr int lanes = simd::lanes;
constexpr int64_t chunk_elements = 1 << 14;
constexpr int64_t limit = int64_t(1) << 31;
// The least number of neighbouring windows that are read as vectors.
constexpr int64_t least_together = 3;

// One axis of a pooling: window `q` covers source positions q * stride - pad + t * dilation, t < taps.
struct Axis {
  int64_t length, result, taps, stride, pad, dilation;
  int64_t inner_low, inner_high;  // the windows [inner_low, inner_high) lie inside the source
};

// The taps of a window inside the source: [low, high).
struct Range {
  int64_t start, low, high;
};

static inline Range range_of(const Axis& axis, int64_t q) {
  const int64_t start = q * axis.stride - axis.pad;
  if (q >= axis.inner_low && q < axis.inner_high) return {start, 0, axis.taps};
  const int64_t low = start >= 0 ? 0 : (-start + axis.dilation - 1) / axis.dilation;
  const int64_t high = start >= axis.length ? 0 : (axis.length - start + axis.dilation - 1) / axis.dilation;
  return {start, min(low, axis.taps), max(min(low, axis.taps), min(high, axis.taps))};
}

static inline bool read_axis(const View& x, const View& out, int dim, int64_t taps, int64_t stride, int64_t pad,
                             int64_t dilation, Axis& axis) {
  if (taps < 1 || stride < 1 || pad < 0 || dilation < 1 || taps >= limit || stride >= limit || pad >= limit ||
      dilation >= limit)
    return false;
  const int64_t result = out.sizes[dim], room = x.sizes[dim] + pad - 1 - (taps - 1) * dilation;
  const int64_t low = min(result, ceil_div(pad, stride));
  const int64_t high = room < 0 ? low : max(low, min(result, room / stride + 1));
  axis = {x.sizes[dim], result, taps, stride, pad, dilation, low, high};
  // Every window must begin inside the padded source. The caller decides whether the last window may extend beyond its
  // end.
  return result < limit && (result - 1) * stride <= x.sizes[dim] + 2 * pad;
}

static inline bool read_axes(Context& context, const View& x, const View& out, Integers kernel, Integers stride,
                             Integers padding, Integers dilation, Axis& rows, Axis& columns) {
  if (!expect(context, kernel.size == 2 && stride.size == 2 && padding.size == 2 && dilation.size == 2,
              "a pooling's window has 2 dimensions"))
    return false;
  const int64_t *taps = kernel.items, *step = stride.items, *pad = padding.items, *apart = dilation.items;
  return expect(context,
                read_axis(x, out, 2, taps[0], step[0], pad[0], apart[0], rows) &&
                    read_axis(x, out, 3, taps[1], step[1], pad[1], apart[1], columns),
                "the planes of a pooling do not follow from its window");
}

static inline bool read_planes(Context& context, const View& x, const View& out) {
  return expect(context, x.ndim == 4 && out.ndim == 4, "pooling: x and out must have 4 dimensions") &&
         expect(context, x.sizes[0] == out.sizes[0] && x.sizes[1] == out.sizes[1],
                "pooling keeps images and channels") &&
         expect(context, x.dtype == DType::float32 && out.dtype == DType::float32,
                "pooling: x and out must be float32") &&
         expect(context, x.sizes[2] < limit && x.sizes[3] < limit && x.sizes[2] * x.sizes[3] < limit,
                "a plane to pool has more than 2^31 elements");
}

// Runs body(plane) over all planes. A chunk has several planes if they are small.
template <class F>
static inline void for_planes(Context& context, int64_t planes, int64_t elements, const F& body) {
  for_items(context, {planes, max(1, chunk_elements / max(1, elements))}, body);
}

// The first `count` floats, at most a vector of them, followed by zeros. Full means that there is a whole vector.
template <bool Full>
FIRESTEEL_INLINE Vec load_up_to(const float* from, int64_t count) {
  return Full || count >= lanes ? simd::load(from) : count > 0 ? simd::load_partial(from, int(count)) : simd::zero();
}

// The even and the odd floats of `count` consecutive pairs, at most a vector of them. If Full, the second half of the
// pairs begins `second` floats after the first half.
template <bool Full>
FIRESTEEL_INLINE void split_pairs(const float* from, int64_t count, Vec& even, Vec& odd, int64_t second = lanes) {
  const simd::NativeFloat a = load_up_to<Full>(from, 2 * count).v;
  const simd::NativeFloat b = load_up_to<Full>(from + second, 2 * count - lanes).v;
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  even.v = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  odd.v = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  even.v = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
  odd.v = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
  even.v = __builtin_shufflevector(a, b, 0, 2, 4, 6);
  odd.v = __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}

// Whether neighbouring windows can be read as vectors and are numerous enough. This holds at stride 1, and at stride 2
// with pairs of taps.
static inline bool has_vectors(const Axis& columns) {
  return columns.inner_high - columns.inner_low >= least_together &&
         (columns.stride == 1 || (columns.stride == 2 && columns.dilation == 1 && columns.taps >= 2));
}

// Calls take(values, offset) for all taps, in order, of `count` neighbouring windows, at most a vector of them, that
// lie inside the plane. offset is the tap's distance from `from`, the first tap of the first window. Constant numbers
// unroll the loops. If Full at stride 2, the second half of the windows may lie elsewhere, `second` floats after the
// first half.
template <bool Full, class F>
FIRESTEEL_INLINE void each_tap(const float* from, int64_t count, int64_t taps_down, int64_t taps, int64_t stride,
                               int64_t line, int64_t dilation, const F& take, int64_t second = lanes) {
  for (int64_t r = 0; r < taps_down; r++) {
    const int64_t row = r * line;
    if (stride == 1) {
      for (int64_t s = 0; s < taps; s++) take(load_up_to<Full>(from + row + s * dilation, count), row + s * dilation);
      continue;
    }
    Vec even, odd;
    int64_t s = 0;
    for (; s + 2 <= taps; s += 2) {
      split_pairs<Full>(from + row + s, count, even, odd, second);
      take(even, row + s);
      take(odd, row + s + 1);
    }
    if (s < taps) {  // the last tap from the pair that ends with it, so that nothing behind the window is read
      split_pairs<Full>(from + row + s - 1, count, even, odd, second);
      take(odd, row + s);
    }
  }
}

// Calls body(q, count) for vectors of results that cover [low, high), the last two of which may overlap.
template <class F>
static inline void each_vector(int64_t low, int64_t high, const F& body) {
  int64_t q = low;
  for (; q + lanes <= high; q += lanes) body(q, lanes);
  if (q < high) high - low >= lanes ? body(high - lanes, lanes) : body(q, high - q);
}

// The ranges of all windows of an axis.
static inline const Range* ranges_of(Context& context, const Axis& axis) {
  Range* const ranges = static_cast<Range*>(scratch(context, size_t(axis.result) * sizeof(Range)));
  for (int64_t q = 0; q < axis.result; q++) ranges[q] = range_of(axis, q);
  return ranges;
}

}  // namespace firesteel::FIRESTEEL_ISA::pool
