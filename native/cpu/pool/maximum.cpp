// Maximum pooling over windows of a plane, with the position of the first maximum, and its gradient (windows.h).
// Forward reads x once if windows do not overlap, N C H W floats; backward writes dx once.
#include <string.h>

#include "../../generated/kernels.h"
#include "../rooms.h"
#include "../simd/row.h"
#include "windows.h"

namespace firesteel::FIRESTEEL_ISA {

using namespace pool;

namespace {

FIRESTEEL_INLINE VecI numbers() {
  static const int32_t index[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return simd::load(index);
}

// Whether `value` replaces `best`. A later equal value does not, and a NaN is never replaced.
bool beats(float value, float best) { return value > best || (value != value && best == best); }

// The first maximum among the taps of window (p, q), where `range` has the taps of row p. It is -infinity at -1 if
// there are none.
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

// Whether `value` at `at` replaces `best` at `position`, for maxima that come in any order.
bool comes_before(float value, int32_t at, float best, int32_t position) {
  const bool equal = value == best || (value != value && best != best);
  return equal ? at < position : beats(value, best);
}

// The first maximum, with its position, of each column of a plane among the rows of a window's taps. There is at least
// one row. If neighbouring windows cannot be read as vectors, their columns still can.
void column_maxima(const float* x, const Axis& rows, const Axis& columns, const Range& down, float* best,
                   int32_t* position) {
  const int64_t step = rows.dilation * columns.length, first = (down.start + down.low * rows.dilation) * columns.length;
  simd::for_row(columns.length, [&](int64_t w, int64_t n) {
    const float* from = x + first + w;
    Vec largest = simd::load_some(from, n);
    VecI line = simd::set_int(int32_t(first));
    for (int64_t r = down.low + 1, at = first + step; r < down.high; r++, at += step) {
      from += step;
      const Vec value = simd::load_some(from, n);
      const simd::Mask wins = (value > largest) | ((value != value) & (largest == largest));
      largest = simd::select(wins, value, largest);
      line = simd::select(wins, simd::set_int(int32_t(at)), line);
    }
    simd::store_some(best + w, largest, n);
    line = line + simd::set_int(int32_t(w)) + numbers();
    n == lanes ? simd::store(position + w, line) : simd::store_partial(position + w, line, int(n));
  });
}

// The first maximum of a window among its columns' maxima.
void window_of_columns(const float* best, const int32_t* position, const Axis& columns, const Range& across, float* out,
                       int32_t* index) {
  int64_t w = across.start + across.low * columns.dilation;
  float largest = across.low < across.high ? best[w] : -__builtin_inff();
  int32_t at = across.low < across.high ? position[w] : -1;
  for (int64_t s = across.low + 1; s < across.high; s++) {
    w += columns.dilation;
    if (!comes_before(best[w], position[w], largest, at)) continue;
    largest = best[w];
    at = position[w];
  }
  *out = largest;
  *index = at;
}

// Computes a row of windows, each of which covers at least one row of the plane.
void maximum_row_by_columns(const Rooms& rooms, const float* x, const Axis& rows, const Axis& columns,
                            const Range& down, const Range* across, float* out, int32_t* index) {
  int64_t number;
  float* const best = enter_room(rooms, number);
  int32_t* const position = reinterpret_cast<int32_t*>(best + columns.length);
  column_maxima(x, rows, columns, down, best, position);
  for (int64_t q = 0; q < columns.result; q++)
    window_of_columns(best, position, columns, across[q], out + q, index + q);
  leave_room(rooms, number);
}

// A plane of x and its results, with the number of floats that may be read from there on, and of results that may be
// written.
struct Plane {
  const float* from;
  int64_t readable;  // floats
  float* to;
  int32_t* index;
  int64_t writable;  // results
};

// The distance in floats from a read to its prefetch, because the processor notices too late that planes follow one
// another.
constexpr int64_t ahead = 512;

struct Maxima {
  Vec best;
  VecI offset;  // offset of the first tap that is best
};

// The windows and taps of each_tap.
template <bool Full>
FIRESTEEL_INLINE Maxima maxima_of(const float* from, int64_t count, int64_t taps_down, int64_t taps, int64_t stride,
                                  int64_t line, int64_t dilation, int64_t second = lanes) {
  // A window's first tap always wins, so that the index names it even if it is -infinity.
  const Maxima none = {simd::set(-__builtin_inff()), simd::set_int(0)};
  Maxima maxima = none;
  Vec sum = simd::zero();
  const auto visit = [&](const auto& take) __attribute__((always_inline)) {
    each_tap<Full>(from, count, taps_down, taps, stride, line, dilation, take, second);
  };
  visit([&](Vec value, int64_t offset) __attribute__((always_inline)) {
    maxima.offset = simd::select(value > maxima.best, simd::set_int(int32_t(offset)), maxima.offset);
    maxima.best = simd::larger(value, maxima.best);
    sum = sum + value;  // the sum reveals a NaN
  });
  if (simd::any(sum != sum)) {
    maxima = none;
    visit([&](Vec value, int64_t offset) __attribute__((always_inline)) {
      const simd::Mask wins = ~(value <= maxima.best) & (maxima.best == maxima.best);  // a NaN wins and remains
      maxima.best = simd::select(wins, value, maxima.best);
      maxima.offset = simd::select(wins, simd::set_int(int32_t(offset)), maxima.offset);
    });
  }
  return maxima;
}

// Stores half of the lanes at `low`, and the others at `high`.
FIRESTEEL_INLINE void store_halves(float* low, float* high, Vec value) {
  typedef float Half __attribute__((vector_size(2 * lanes)));
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  const Half a = __builtin_shufflevector(value.v, value.v, 0, 1, 2, 3, 4, 5, 6, 7);
  const Half b = __builtin_shufflevector(value.v, value.v, 8, 9, 10, 11, 12, 13, 14, 15);
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  const Half a = __builtin_shufflevector(value.v, value.v, 0, 1, 2, 3);
  const Half b = __builtin_shufflevector(value.v, value.v, 4, 5, 6, 7);
#else
  const Half a = __builtin_shufflevector(value.v, value.v, 0, 1);
  const Half b = __builtin_shufflevector(value.v, value.v, 2, 3);
#endif
  memcpy(low, &a, sizeof a);
  memcpy(high, &b, sizeof b);
}
FIRESTEEL_INLINE void store_halves(int32_t* low, int32_t* high, VecI value) {
  store_halves(reinterpret_cast<float*>(low), reinterpret_cast<float*>(high), simd::as_float(value));
}

// The maxima, with their positions, of rows [begin, end) of windows. Only windows [inner_low, inner_high) of each row
// are computed, which lie inside the plane. Windows are Down x Taps, Stride apart, with dilation 1; a 0 leaves the
// number to the axes. A vector that extends beyond the row is read and written whole if there is room, because the
// surplus belongs to later rows. Two rows that each fill at most half a vector share one.
template <int Down, int Taps, int Stride>
void maximum_rows(const Plane& plane, const Axis& rows, const Axis& columns, int64_t begin, int64_t end) {
  const int64_t taps = Taps ? Taps : columns.taps, stride = Stride ? Stride : columns.stride;
  const int64_t dilation = Taps ? 1 : columns.dilation, line = (Down ? 1 : rows.dilation) * columns.length;
  const int64_t low = columns.inner_low, high = columns.inner_high, step = rows.stride * columns.length;
  const VecI number = numbers(), steps = number * simd::set_int(int32_t(stride));
  constexpr int half = lanes / 2;
  const bool short_rows = Down && Stride == 2 && high - low <= half;
  const VecI second_steps =
      simd::select(number < simd::set_int(half), steps, steps + simd::set_int(int32_t(step - lanes)));
  const auto ask_for = [&](int64_t first, int64_t floats) __attribute__((always_inline)) {
    if constexpr (Down > 0)
      for (int64_t r = 0; r < Down; r++)
        for (int64_t i = 0; i < floats; i += 16) __builtin_prefetch(plane.from + first + ahead + r * line + i);
  };
  for (int64_t p = begin; p < end; p++) {
    const Range down = range_of(rows, p);
    const int64_t taps_down = Down ? Down : down.high - down.low;
    const int64_t origin = (down.start + down.low * rows.dilation) * columns.length - columns.pad;
    const int64_t reach = (taps_down - 1) * line + (taps - 1) * dilation + stride * lanes;
    if constexpr (Down > 0 && Stride == 2) {
      const int64_t first = origin + low * Stride, result = p * columns.result + low, next = result + columns.result;
      if (short_rows && p + 1 < end && first + step + reach <= plane.readable && next + half <= plane.writable) {
        ask_for(first, lanes);
        ask_for(first + step, lanes);
        const Maxima maxima = maxima_of<true>(plane.from + first, lanes, taps_down, taps, stride, line, dilation, step);
        store_halves(plane.to + result, plane.to + next, maxima.best);
        store_halves(plane.index + result, plane.index + next,
                     maxima.offset + second_steps + simd::set_int(int32_t(first)));
        p++;
        continue;
      }
    }
    each_vector(
        low, high, [&](int64_t q, int64_t count) __attribute__((always_inline)) {
          const int64_t first = origin + q * stride, result = p * columns.result + q;
          ask_for(first, stride * lanes);
          const float* const from = plane.from + first;
          const Maxima maxima = count == lanes || first + reach <= plane.readable
                                    ? maxima_of<true>(from, lanes, taps_down, taps, stride, line, dilation)
                                    : maxima_of<false>(from, count, taps_down, taps, stride, line, dilation);
          const VecI position = maxima.offset + steps + simd::set_int(int32_t(first));
          if (count == lanes || result + lanes <= plane.writable) {
            simd::store(plane.to + result, maxima.best);
            simd::store(plane.index + result, position);
          } else {
            simd::store_partial(plane.to + result, maxima.best, int(count));
            simd::store_partial(plane.index + result, position, int(count));
          }
        });
  }
}

using MaximumRows = decltype(&maximum_rows<0, 0, 0>);

// Chooses the function for rows of whole windows. Usual windows have unrolled loops.
MaximumRows find_maximum_rows(const Axis& rows, const Axis& columns) {
  const int64_t stride = columns.stride;
  if (rows.dilation != 1 || columns.dilation != 1 || rows.taps != columns.taps) return maximum_rows<0, 0, 0>;
  if (rows.taps == 2 && stride <= 2) return stride == 1 ? maximum_rows<2, 2, 1> : maximum_rows<2, 2, 2>;
  if (rows.taps == 3 && stride <= 2) return stride == 1 ? maximum_rows<3, 3, 1> : maximum_rows<3, 3, 2>;
  return maximum_rows<0, 0, 0>;
}

// Each of the first `count` numbers twice, up to half of the lanes.
FIRESTEEL_INLINE VecI doubled(const int32_t* from, int64_t count) {
  const simd::NativeInt v = (count >= lanes ? simd::load(from) : simd::load_partial(from, max(0, count))).v;
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  return {__builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7)};
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return {__builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3)};
#else
  return {__builtin_shufflevector(v, v, 0, 0, 1, 1)};
#endif
}
FIRESTEEL_INLINE Vec doubled(const float* from, int64_t count) {
  return simd::as_float(doubled(reinterpret_cast<const int32_t*>(from), count));
}

// A plane of dx, of dy and of the indices.
struct Gradient {
  float* to;
  const float* from;
  const int32_t* index;
  int64_t H, W, P, Q, readable;  // floats of dy, and indices, from here on
};

// If windows are two columns apart and do not overlap, each index lies in its own cell of two columns and a few rows.
// So each row of dx is written once: a position gets its cell's gradient if the cell's index names the position, else
// 0. Returns false if an index is not in its cell.
bool fill_cells(const Gradient& plane) {
  const int64_t W = plane.W, Q = plane.Q, width = 2 * Q, tall = plane.P ? plane.H / plane.P : 0;
  if (tall < 1 || Q < 1 || W / Q != 2) return false;
  const VecI steps = numbers(), line = simd::set_int(int32_t(W));
  for (int64_t p = 0; p < plane.P; p++) {
    const int64_t top = p * tall * W;
    int found = 0;
    // Writes columns [w, w + lanes). The vector before has already written the first `known` of them.
    const auto fill = [&](int64_t w, int64_t known, int64_t count) __attribute__((always_inline)) {
      const int64_t at = p * Q + w / 2, readable = plane.readable - at;
      // (Adding 0 turns -0 into 0, as a sum that begins with 0 would.)
      const Vec value = doubled(plane.from + at, readable) + simd::zero();
      VecI index = doubled(plane.index + at, readable) - simd::set_int(int32_t(top + w));
      int where = 0;
      for (int64_t row = 0, position = top + w; row < tall; row++, position += W, index = index - line) {
        const simd::Mask here = index == steps;
        where |= simd::bits(here);
        const Vec result = simd::select(here, value, simd::zero());
        // A vector may write beyond its row, into the next one.
        if (count == lanes || position + lanes <= plane.H * W)
          simd::store(plane.to + position, result);
        else
          simd::store_partial(plane.to + position, result, count);
      }
      found += __builtin_popcount(unsigned(where) >> known & ((1u << (count - known)) - 1));
    };
    int64_t w = 0;
    for (; w + lanes <= width; w += lanes) fill(w, 0, lanes);
    if (w < width) width >= lanes ? fill(width - lanes, w + lanes - width, lanes) : fill(0, 0, width);
    if (found != Q) return false;
    for (int64_t row = 0; width < W && row < tall; row++)
      memset(plane.to + top + row * W + width, 0, size_t(W - width) * sizeof(float));
  }
  memset(plane.to + plane.P * tall * W, 0, size_t((plane.H - plane.P * tall) * W) * sizeof(float));
  return true;
}

void scatter(Context& context, const Gradient& plane, int64_t number) {
  const int64_t size = plane.H * plane.W;
  memset(plane.to, 0, size_t(size) * sizeof(float));
  for (int64_t i = 0; i < plane.P * plane.Q; i++) {
    const int32_t index = plane.index[i];
    if (index >= 0 && index < size)
      plane.to[index] += plane.from[i];
    else if (index != -1)  // -1 belongs to a window that lies in the padding
      record_error(context, ErrorCode::index,
                   "max_pool2d_backward: index %d of plane %lld is out of range; allowed are 0 to %lld", int(index),
                   static_cast<long long>(number), static_cast<long long>(size - 1));
  }
}

// The axis of windows that fill the source and have equal sizes up to rounding: window q covers positions from floor(q
// length / result) to ceil((q + 1) length / result).
Axis adaptive_axis(const View& x, const View& out, int dim) { return {x.sizes[dim], out.sizes[dim], 1, 1, 0, 1, 0, 0}; }
const Range* adaptive_ranges(Context& context, const Axis& axis) {
  Range* const ranges = static_cast<Range*>(scratch(context, size_t(axis.result) * sizeof(Range)));
  for (int64_t q = 0; q < axis.result; q++) {
    const int64_t start = q * axis.length / axis.result;
    ranges[q] = {start, 0, ceil_div((q + 1) * axis.length, axis.result) - start};
  }
  return ranges;
}

}  // namespace

void max_pool2d_forward(Context& context, const View& out, const View& indices, const View& x, Integers kernel,
                        Integers stride, Integers padding, Integers dilation) {
  Axis rows, columns;
  if (!read_planes(context, x, out) ||
      !expect(context, same_shape(out, indices) && indices.dtype == DType::int32,
              "max_pool2d's indices differ from its result") ||
      !read_axes(context, x, out, kernel, stride, padding, dilation, rows, columns))
    return;
  const int64_t size_x = rows.length * columns.length, size = rows.result * columns.result;
  if (out.count == 0) return;
  const Range* const across = ranges_of(context, columns);
  const float *const source = pointer<const float>(x), *const end = source + x.count;
  const MaximumRows rows_of_maxima = find_maximum_rows(rows, columns);
  const bool vectors = has_vectors(columns), by_columns = !vectors && rows.taps > 1;
  const Rooms rooms = make_rooms(context, by_columns ? 2 * columns.length : 0, x.sizes[0] * x.sizes[1]);
  for_planes(context, x.sizes[0] * x.sizes[1], max(size_x, size * rows.taps * columns.taps), [&](int64_t number) {
    const float* const from = source + number * size_x;
    const Plane plane = {from, end - from, pointer<float>(out) + number * size,
                         pointer<int32_t>(indices) + number * size, size};
    // Rows of windows that lie inside the plane from top to bottom are computed together, and the others one by one.
    for (int64_t p = 0; p < rows.result;) {
      const bool inside = p >= rows.inner_low && p < rows.inner_high;
      const int64_t next = inside ? rows.inner_high : p + 1;
      const Range down = range_of(rows, p);
      const bool fill = vectors && down.low < down.high;
      if (fill) (inside ? rows_of_maxima : maximum_rows<0, 0, 0>)(plane, rows, columns, p, next);
      for (; p < next; p++) {
        const Range range = range_of(rows, p);
        const int64_t row = p * columns.result;
        if (by_columns && range.low < range.high) {
          maximum_row_by_columns(rooms, from, rows, columns, range, across, plane.to + row, plane.index + row);
          continue;
        }
        for (int64_t q = 0; q < (fill ? columns.inner_low : columns.result); q++)
          window_maximum(from, rows, columns, range, across[q], plane.to + row + q, plane.index + row + q);
        for (int64_t q = fill ? columns.inner_high : columns.result; q < columns.result; q++)
          window_maximum(from, rows, columns, range, across[q], plane.to + row + q, plane.index + row + q);
      }
    }
  });
}

void adaptive_max_pool2d_forward(Context& context, const View& out, const View& indices, const View& x) {
  if (!read_planes(context, x, out) || !expect(context, same_shape(out, indices) && indices.dtype == DType::int32,
                                               "adaptive_max_pool2d's indices differ from its result"))
    return;
  if (out.count == 0) return;
  const Axis rows = adaptive_axis(x, out, 2), columns = adaptive_axis(x, out, 3);
  const Range *const down = adaptive_ranges(context, rows), *const across = adaptive_ranges(context, columns);
  const int64_t size_x = rows.length * columns.length, size = rows.result * columns.result;
  const Rooms rooms = make_rooms(context, 2 * columns.length, x.sizes[0] * x.sizes[1]);
  for_planes(context, x.sizes[0] * x.sizes[1], size_x + size, [&](int64_t number) {
    for (int64_t p = 0; p < rows.result; p++) {
      const int64_t row = number * size + p * columns.result;
      maximum_row_by_columns(rooms, pointer<const float>(x) + number * size_x, rows, columns, down[p], across,
                             pointer<float>(out) + row, pointer<int32_t>(indices) + row);
    }
  });
}

void max_pool2d_backward(Context& context, const View& dx, const View& dy, const View& indices) {
  if (!read_planes(context, dx, dy) || !expect(context, same_shape(dy, indices) && indices.dtype == DType::int32,
                                               "max_pool2d: the indices must be int32, in dy's shape"))
    return;
  const int64_t size_x = dx.sizes[2] * dx.sizes[3], size = dy.sizes[2] * dy.sizes[3];
  for_planes(context, dx.sizes[0] * dx.sizes[1], size_x + size, [&](int64_t number) {
    const Gradient plane = {pointer<float>(dx) + number * size_x,
                            pointer<const float>(dy) + number * size,
                            pointer<const int32_t>(indices) + number * size,
                            dx.sizes[2],
                            dx.sizes[3],
                            dy.sizes[2],
                            dy.sizes[3],
                            dy.count - number * size};
    if (!fill_cells(plane)) scatter(context, plane, number);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
