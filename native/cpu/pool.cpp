// Pooling over windows of a plane: maximum (with the position of the first maximum) and average, and their gradients.
//
// Legend: an image has H x W planes (N C of them), the result P x Q; a window R x S. All results are overwritten.
// Planes are independent, so that gradients are added up plane by plane, in the order of the windows, without a
// conflict. Forward reads x once where windows do not overlap, N C H W floats; backward writes dx once. Averages are
// separable, and take their rows and columns one after the other. (One file: all four share the windows' geometry.)
#include <string.h>

#include "../generated/kernels.h"
#include "simd/vector.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using simd::Vec;
using simd::VecI;

constexpr int lanes = simd::lanes;
constexpr int64_t chunk_elements = 1 << 14;
constexpr int64_t limit = int64_t(1) << 31;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// One axis of a pooling: window `q` covers source positions q * stride - pad + t * dilation, t < taps.
struct Axis {
  int64_t length, result, taps, stride, pad, dilation;
  int64_t inner_low, inner_high;  // the windows [inner_low, inner_high) lie inside the source
};

// The taps of a window inside the source: [low, high).
struct Range {
  int64_t start, low, high;
};

Range range_of(const Axis& axis, int64_t q) {
  const int64_t start = q * axis.stride - axis.pad;
  if (q >= axis.inner_low && q < axis.inner_high) return {start, 0, axis.taps};
  const int64_t low = start >= 0 ? 0 : (-start + axis.dilation - 1) / axis.dilation;
  const int64_t high = start >= axis.length ? 0 : (axis.length - start + axis.dilation - 1) / axis.dilation;
  return {start, smaller(low, axis.taps), larger(smaller(low, axis.taps), smaller(high, axis.taps))};
}

bool read_axis(const View& x, const View& out, int dim, int64_t taps, int64_t stride, int64_t pad, int64_t dilation,
               Axis& axis) {
  if (taps < 1 || stride < 1 || pad < 0 || dilation < 1 || taps >= limit || stride >= limit || pad >= limit ||
      dilation >= limit)
    return false;
  const int64_t result = out.sizes[dim], room = x.sizes[dim] + pad - 1 - (taps - 1) * dilation;
  const int64_t low = smaller(result, (pad + stride - 1) / stride);
  const int64_t high = room < 0 ? low : larger(low, smaller(result, room / stride + 1));
  axis = {x.sizes[dim], result, taps, stride, pad, dilation, low, high};
  // Every window must begin inside the padded source; whether the last may hang over its end is the caller's rule.
  return result < limit && (result - 1) * stride <= x.sizes[dim] + 2 * pad;
}

bool read_planes(Context& context, const View& x, const View& out) {
  return expect(context, x.ndim == 4 && out.ndim == 4, "pooling takes 4 dimensions") &&
         expect(context, x.sizes[0] == out.sizes[0] && x.sizes[1] == out.sizes[1],
                "pooling keeps images and channels") &&
         expect(context, x.dtype == DType::float32 && out.dtype == DType::float32, "pooling takes float32") &&
         expect(context, x.sizes[2] < limit && x.sizes[3] < limit && x.sizes[2] * x.sizes[3] < limit,
                "a plane to pool has more than 2^31 elements");
}

// Runs body(plane) over all planes, several to a chunk where they are small.
template <class F>
void for_planes(Context& context, int64_t planes, int64_t elements, const F& body) {
  const int64_t size = larger(1, chunk_elements / larger(1, elements));
  parallel(context, (planes + size - 1) / size, [&](int64_t chunk) {
    for (int64_t plane = chunk * size; plane < smaller(planes, (chunk + 1) * size); plane++) body(plane);
  });
}

// Whether `value` takes the place of `best`: later equals do not, and a NaN keeps its place.
bool beats(float value, float best) { return value > best || (value != value && best == best); }

// The first maximum among the taps of window (p, q), `range` those of row p; -infinity at -1 where it has none.
void window_maximum(const float* x, const Axis& rows, const Axis& columns, const Range& range, const Range& across,
                    float* out, int32_t* index) {
  float best = -__builtin_inff();
  int64_t position = -1;
  for (int64_t r = range.low; r < range.high; r++) {
    const int64_t line = (range.start + r * rows.dilation) * columns.length;
    for (int64_t s = across.low; s < across.high; s++) {
      const int64_t at = line + across.start + s * columns.dilation;
      if (position < 0 || beats(x[at], best)) {
        best = x[at];
        position = at;
      }
    }
  }
  *out = best;
  *index = int32_t(position);
}

// The first `count` floats, at most a vector of them, zeros behind; Full: there are as many as a vector holds.
template <bool Full>
FIRESTEEL_INLINE Vec load_up_to(const float* from, int64_t count) {
  return Full || count >= lanes ? simd::load(from) : count > 0 ? simd::load_partial(from, int(count)) : simd::zero();
}

// The even and the odd floats of `count` consecutive pairs, at most a vector of them.
template <bool Full>
FIRESTEEL_INLINE void split_pairs(const float* from, int64_t count, Vec& even, Vec& odd) {
  const simd::NativeFloat a = load_up_to<Full>(from, 2 * count).v;
  const simd::NativeFloat b = load_up_to<Full>(from + lanes, 2 * count - lanes).v;
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

// Whether neighbouring windows can be read as vectors, and are enough of them: windows one apart, or two apart with
// pairs of taps.
bool has_vectors(const Axis& columns) {
  return columns.inner_high - columns.inner_low >= 3 &&
         (columns.stride == 1 || (columns.stride == 2 && columns.dilation == 1 && columns.taps >= 2));
}

// Calls take(values, offset) for all taps, in their order, of `count` neighbouring windows, at most a vector of them,
// that lie inside the plane; offset is the tap's distance from `from`, the first tap of the first window. Unrolled
// where the numbers are constants.
template <bool Full, class F>
FIRESTEEL_INLINE void each_tap(const float* from, int64_t count, int64_t taps_down, int64_t taps, int64_t stride,
                               int64_t line, int64_t dilation, const F& take) {
  for (int64_t r = 0; r < taps_down; r++) {
    const int64_t row = r * line;
    if (stride == 1) {
      for (int64_t s = 0; s < taps; s++) take(load_up_to<Full>(from + row + s * dilation, count), row + s * dilation);
      continue;
    }
    Vec even, odd;
    int64_t s = 0;
    for (; s + 2 <= taps; s += 2) {
      split_pairs<Full>(from + row + s, count, even, odd);
      take(even, row + s);
      take(odd, row + s + 1);
    }
    if (s < taps) {  // the last tap from the pair that ends with it: nothing behind the window is read
      split_pairs<Full>(from + row + s - 1, count, even, odd);
      take(odd, row + s);
    }
  }
}

// Calls body(q, count) for vectors of results that cover [low, high), the last two of which may overlap.
template <class F>
void each_vector(int64_t low, int64_t high, const F& body) {
  int64_t q = low;
  for (; q + lanes <= high; q += lanes) body(q, lanes);
  if (q < high) high - low >= lanes ? body(high - lanes, lanes) : body(q, high - q);
}

// The maxima of a row of windows that lie inside the plane `from`, those of [inner_low, inner_high), and their
// positions. Down x Taps windows, Stride apart, with dilation 1; 0: as the axes say. A vector that hangs over the row
// is read and written whole where `readable` floats follow `from` and `writable` results follow `to`: what it writes
// too much belongs to later rows.
template <int Down, int Taps, int Stride>
void maximum_row(const float* from, int64_t readable, const Range& down, const Axis& rows, const Axis& columns,
                 float* to, int32_t* index, int64_t writable) {
  const int64_t taps_down = Down ? Down : down.high - down.low, taps = Taps ? Taps : columns.taps;
  const int64_t stride = Stride ? Stride : columns.stride, dilation = Taps ? 1 : columns.dilation;
  const int64_t line = (Down ? 1 : rows.dilation) * columns.length;
  const int64_t origin = (down.start + down.low * rows.dilation) * columns.length - columns.pad;
  const int64_t reach = (taps_down - 1) * line + (taps - 1) * dilation + stride * lanes;
  int32_t numbers[lanes];
  for (int i = 0; i < lanes; i++) numbers[i] = int32_t(i * stride);
  const VecI steps = simd::load(numbers);
  each_vector(columns.inner_low, columns.inner_high, [&](int64_t q, int64_t count) {
    const int64_t first = origin + q * stride;
    // A window's first tap takes its place whatever it is; the index says so even if it is -infinity.
    Vec best = simd::set(-__builtin_inff()), sum = simd::zero();
    VecI position = simd::set_int(0);
    const auto visit = [&](const auto& take) __attribute__((always_inline)) {
      if (count == lanes || first + reach <= readable)
        each_tap<true>(from + first, lanes, taps_down, taps, stride, line, dilation, take);
      else
        each_tap<false>(from + first, count, taps_down, taps, stride, line, dilation, take);
    };
    visit([&](Vec value, int64_t offset) __attribute__((always_inline)) {
      const simd::Mask wins = value > best;
      best = simd::select(wins, value, best);
      position = simd::select(wins, simd::set_int(int32_t(offset)), position);
      sum = sum + value;  // tells of a NaN
    });
    if (simd::any(sum != sum)) {
      best = simd::set(-__builtin_inff());
      position = simd::set_int(0);
      visit([&](Vec value, int64_t offset) __attribute__((always_inline)) {
        const simd::Mask wins = ~(value <= best) & (best == best);  // a NaN wins, and stays
        best = simd::select(wins, value, best);
        position = simd::select(wins, simd::set_int(int32_t(offset)), position);
      });
    }
    position = position + steps + simd::set_int(int32_t(first));
    if (count == lanes || q + lanes <= writable) {
      simd::store(to + q, best);
      simd::store(index + q, position);
    } else {
      simd::store_partial(to + q, best, int(count));
      simd::store_partial(index + q, position, int(count));
    }
  });
}

using MaximumRow = decltype(&maximum_row<0, 0, 0>);

// For rows of windows with all their taps: the usual windows have their loops unrolled.
MaximumRow find_maximum_row(const Axis& rows, const Axis& columns) {
  const int64_t stride = columns.stride;
  if (rows.dilation != 1 || columns.dilation != 1 || rows.taps != columns.taps) return maximum_row<0, 0, 0>;
  if (rows.taps == 2 && stride <= 2) return stride == 1 ? maximum_row<2, 2, 1> : maximum_row<2, 2, 2>;
  if (rows.taps == 3 && stride <= 2) return stride == 1 ? maximum_row<3, 3, 1> : maximum_row<3, 3, 2>;
  return maximum_row<0, 0, 0>;
}

void add_row(float* to, const float* from, int64_t count) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) simd::store(to + i, simd::load(to + i) + simd::load(from + i));
  for (; i < count; i++) to[i] += from[i];
}

// to = from / (widths * height).
void divide_by(float* to, const float* from, const float* widths, float height, int64_t count) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    simd::store(to + i, simd::load(from + i) / (simd::load(widths + i) * simd::set(height)));
  for (; i < count; i++) to[i] = from[i] / (widths[i] * height);
}

size_t row_bytes(const Axis& columns) { return size_t(columns.length) * sizeof(float); }

// The windows [low, high) whose tap t lies inside the source.
void windows_of_tap(const Axis& axis, int64_t t, int64_t& low, int64_t& high) {
  const int64_t before = axis.pad - t, room = axis.length - 1 + before;
  low = before > 0 ? smaller(axis.result, (before + axis.stride - 1) / axis.stride) : 0;
  high = room >= 0 ? larger(low, smaller(axis.result, room / axis.stride + 1)) : low;
}

// line: for each position of the source, the sum of the shares of the windows that cover it. Tap by tap, or window by
// window where these are few.
void spread_row(float* line, const float* shares, const Axis& columns, const Range* across) {
  memset(line, 0, row_bytes(columns));
  if (columns.taps > columns.result) {
    for (int64_t q = 0; q < columns.result; q++)
      for (int64_t s = across[q].low; s < across[q].high; s++) line[across[q].start + s] += shares[q];
    return;
  }
  for (int64_t s = 0; s < columns.taps; s++) {
    int64_t low, high;
    windows_of_tap(columns, s, low, high);
    float* to = line + s - columns.pad;
    if (columns.stride == 1)
      add_row(to + low, shares + low, high - low);
    else
      for (int64_t q = low; q < high; q++) to[q * columns.stride] += shares[q];
  }
}

// The sum of a window, the first of whose `tall` rows, `pitch` apart, is at `from`.
float sum_of_window(const float* from, int64_t tall, int64_t pitch, const Range& across) {
  float sum = 0;
  for (int64_t r = 0; r < tall; r++)
    for (int64_t s = across.low; s < across.high; s++) sum += from[r * pitch + across.start + s];
  return sum;
}

// The reverse: for each window, the sum of the positions that it covers. The line is followed by a vector of slack.
void gather_row(float* sums, const float* line, const Axis& columns, const Range* across) {
  if (columns.taps > columns.result) {
    for (int64_t q = 0; q < columns.result; q++) sums[q] = sum_of_window(line, 1, 0, across[q]);
    return;
  }
  memset(sums, 0, size_t(columns.result) * sizeof(float));
  for (int64_t s = 0; s < columns.taps; s++) {
    int64_t low, high;
    windows_of_tap(columns, s, low, high);
    const float* from = line + s - columns.pad;
    if (columns.stride == 1) {
      add_row(sums + low, from + low, high - low);
      continue;
    }
    int64_t q = low;
    for (; columns.stride == 2 && q + lanes <= high; q += lanes) {
      Vec even, odd;
      split_pairs<true>(from + 2 * q, lanes, even, odd);
      simd::store(sums + q, simd::load(sums + q) + even);
    }
    for (; q < high; q++) sums[q] += from[q * columns.stride];
  }
}

float* floats_of(Context& context, int64_t count) {
  return static_cast<float*>(scratch(context, size_t(count) * sizeof(float)));
}

// Elements of a window that count in the average: those in the source, or also the padding (but not what hangs over
// it).
int64_t counted(const Axis& axis, int64_t q, bool padding) {
  const Range range = range_of(axis, q);
  if (!padding) return range.high - range.low;
  return smaller(range.start + axis.taps, axis.length + axis.pad) - range.start;
}

// The ranges of all windows of an axis.
const Range* ranges_of(Context& context, const Axis& axis) {
  Range* const ranges = static_cast<Range*>(scratch(context, size_t(axis.result) * sizeof(Range)));
  for (int64_t q = 0; q < axis.result; q++) ranges[q] = range_of(axis, q);
  return ranges;
}

float* widths_of(Context& context, const Axis& columns, bool padding) {
  float* const widths = floats_of(context, columns.result);
  for (int64_t q = 0; q < columns.result; q++) widths[q] = float(counted(columns, q, padding));
  return widths;
}

}  // namespace

void max_pool2d_forward(Context& context, const View& out, const View& indices, const View& x, int64_t kernel_h,
                        int64_t kernel_w, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w,
                        int64_t dilation_h, int64_t dilation_w) {
  Axis rows, columns;
  if (!read_planes(context, x, out) ||
      !expect(context, same_shape(out, indices) && indices.dtype == DType::int32,
              "max_pool2d's indices differ from its result") ||
      !expect(context,
              read_axis(x, out, 2, kernel_h, stride_h, pad_h, dilation_h, rows) &&
                  read_axis(x, out, 3, kernel_w, stride_w, pad_w, dilation_w, columns),
              "max_pool2d's planes do not follow from its window"))
    return;
  const int64_t plane_x = rows.length * columns.length, plane = rows.result * columns.result;
  if (out.count == 0) return;
  const int64_t low = columns.inner_low, high = columns.inner_high;
  const Range* const across = ranges_of(context, columns);
  const float *const source = pointer<const float>(x), *const end = source + x.count;
  const MaximumRow row_of_maxima = find_maximum_row(rows, columns);
  for_planes(context, x.sizes[0] * x.sizes[1], larger(plane_x, plane * kernel_h * kernel_w), [&](int64_t number) {
    const float* from = source + number * plane_x;
    float* to = pointer<float>(out) + number * plane;
    int32_t* index = pointer<int32_t>(indices) + number * plane;
    const int64_t room = end - from;
    for (int64_t p = 0; p < rows.result; p++, to += columns.result, index += columns.result) {
      const Range down = range_of(rows, p);
      const bool vectors = down.low < down.high && has_vectors(columns);
      if (vectors) {
        const MaximumRow row = down.high - down.low == rows.taps ? row_of_maxima : maximum_row<0, 0, 0>;
        row(from, room, down, rows, columns, to, index, plane - p * columns.result);
      }
      for (int64_t q = 0; q < (vectors ? low : columns.result); q++)
        window_maximum(from, rows, columns, down, across[q], to + q, index + q);
      for (int64_t q = vectors ? high : columns.result; q < columns.result; q++)
        window_maximum(from, rows, columns, down, across[q], to + q, index + q);
    }
  });
}

void max_pool2d_backward(Context& context, const View& dx, const View& dy, const View& indices) {
  if (!read_planes(context, dx, dy) ||
      !expect(context, same_shape(dy, indices) && indices.dtype == DType::int32, "max_pool2d's indices differ from dy"))
    return;
  const int64_t plane_x = dx.sizes[2] * dx.sizes[3], plane = dy.sizes[2] * dy.sizes[3];
  for_planes(context, dx.sizes[0] * dx.sizes[1], plane_x + plane, [&](int64_t number) {
    float* to = pointer<float>(dx) + number * plane_x;
    const float* from = pointer<const float>(dy) + number * plane;
    const int32_t* index = pointer<const int32_t>(indices) + number * plane;
    memset(to, 0, size_t(plane_x) * sizeof(float));
    for (int64_t i = 0; i < plane; i++) {
      if (index[i] >= 0 && index[i] < plane_x)
        to[index[i]] += from[i];
      else if (index[i] != -1)  // of a window that lies in the padding
        record_error(context, ErrorCode::index, "max_pool2d_backward: index %d of plane %lld, allowed are 0 to %lld",
                     int(index[i]), static_cast<long long>(number), static_cast<long long>(plane_x - 1));
    }
  });
}

void avg_pool2d_forward(Context& context, const View& out, const View& x, int64_t kernel_h, int64_t kernel_w,
                        int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, bool count_include_pad) {
  Axis rows, columns;
  if (!read_planes(context, x, out) || !expect(context,
                                               read_axis(x, out, 2, kernel_h, stride_h, pad_h, 1, rows) &&
                                                   read_axis(x, out, 3, kernel_w, stride_w, pad_w, 1, columns),
                                               "avg_pool2d's planes do not follow from its window"))
    return;
  if (out.count == 0) return;
  const int64_t plane_x = rows.length * columns.length, plane = rows.result * columns.result;
  const int64_t planes = x.sizes[0] * x.sizes[1], room = columns.length + lanes;
  const float* const widths = widths_of(context, columns, count_include_pad);
  const Range* const across = ranges_of(context, columns);
  float* const rooms = floats_of(context, planes * room);
  // Small windows one apart are added up in registers; else the rows of a window first, then its columns.
  const bool in_registers = columns.stride == 1 && has_vectors(columns) && kernel_h <= 8 && kernel_w <= 8;
  const int64_t low = columns.inner_low, high = columns.inner_high;
  for_planes(context, planes, plane_x + plane, [&](int64_t number) {
    float *line = rooms + number * room, *to = pointer<float>(out) + number * plane;
    for (int64_t p = 0; p < rows.result; p++, to += columns.result) {
      const Range down = range_of(rows, p);
      const float* from = pointer<const float>(x) + number * plane_x + (down.start + down.low) * columns.length;
      const int64_t tall = larger(0, down.high - down.low);
      if (in_registers) {
        each_vector(low, high, [&](int64_t q, int64_t count) {
          Vec sum = simd::zero();
          const auto take = [&](Vec value, int64_t) __attribute__((always_inline)) { sum = sum + value; };
          const float* first = from + q - columns.pad;
          if (count == lanes) {
            each_tap<true>(first, lanes, tall, columns.taps, 1, columns.length, 1, take);
            simd::store(to + q, sum);
          } else {
            each_tap<false>(first, count, tall, columns.taps, 1, columns.length, 1, take);
            simd::store_partial(to + q, sum, int(count));
          }
        });
        for (int64_t q = 0; q < low; q++) to[q] = sum_of_window(from, tall, columns.length, across[q]);
        for (int64_t q = high; q < columns.result; q++) to[q] = sum_of_window(from, tall, columns.length, across[q]);
      } else {
        tall > 0 ? memcpy(line, from, row_bytes(columns)) : memset(line, 0, row_bytes(columns));
        for (int64_t r = 1; r < tall; r++) add_row(line, from + r * columns.length, columns.length);
        gather_row(to, line, columns, across);
      }
      divide_by(to, to, widths, float(counted(rows, p, count_include_pad)), columns.result);
    }
  });
}

void avg_pool2d_backward(Context& context, const View& dx, const View& dy, int64_t kernel_h, int64_t kernel_w,
                         int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, bool count_include_pad) {
  Axis rows, columns;
  if (!read_planes(context, dx, dy) || !expect(context,
                                               read_axis(dx, dy, 2, kernel_h, stride_h, pad_h, 1, rows) &&
                                                   read_axis(dx, dy, 3, kernel_w, stride_w, pad_w, 1, columns),
                                               "avg_pool2d's planes do not follow from its window"))
    return;
  const int64_t plane_x = rows.length * columns.length, plane = rows.result * columns.result;
  if (dx.count == 0) return;
  const int64_t planes = dx.sizes[0] * dx.sizes[1], room = columns.length + columns.result;
  const float* const widths = widths_of(context, columns, count_include_pad);
  const Range* const across = ranges_of(context, columns);
  float* const rooms = floats_of(context, planes * room);
  for_planes(context, planes, plane_x + plane, [&](int64_t number) {
    float *to = pointer<float>(dx) + number * plane_x, *line = rooms + number * room, *shares = line + columns.length;
    const float* from = pointer<const float>(dy) + number * plane;
    int64_t written = 0;  // rows of dx
    for (int64_t p = 0; p < rows.result; p++, from += columns.result) {
      const Range down = range_of(rows, p);
      if (down.low >= down.high) continue;
      divide_by(shares, from, widths, float(counted(rows, p, count_include_pad)), columns.result);
      spread_row(line, shares, columns, across);
      for (; written < down.start + down.low; written++) memset(to + written * columns.length, 0, row_bytes(columns));
      for (int64_t h = down.start + down.low; h < down.start + down.high; h++) {
        if (h < written)
          add_row(to + h * columns.length, line, columns.length);
        else
          memcpy(to + written++ * columns.length, line, row_bytes(columns));
      }
    }
    memset(to + written * columns.length, 0, size_t(rows.length - written) * row_bytes(columns));
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
