// Average pooling over windows of a plane, and its gradient (windows.h). Averages are separable, and go along rows and
// columns one after the other. Forward reads x once if windows do not overlap, N C H W floats; backward writes dx once.
#include <string.h>

#include "../../generated/kernels.h"
#include "windows.h"

namespace firesteel::FIRESTEEL_ISA {

using namespace pool;

namespace {

// The taps of an average are always adjacent.
constexpr int64_t neighbours[] = {1, 1};

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
  low = before > 0 ? min(axis.result, ceil_div(before, axis.stride)) : 0;
  high = room >= 0 ? max(low, min(axis.result, room / axis.stride + 1)) : low;
}

// Fills `line` with a sum for each position of the source: the shares of the windows that cover it. This goes tap by
// tap, or window by window if windows are few.
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

// The sum of a window. The first of its `tall` rows, which are `pitch` apart, is at `from`.
float sum_of_window(const float* from, int64_t tall, int64_t pitch, const Range& across) {
  float sum = 0;
  for (int64_t r = 0; r < tall; r++)
    for (int64_t s = across.low; s < across.high; s++) sum += from[r * pitch + across.start + s];
  return sum;
}

// The reverse of spread_row: for each window, the sum of the positions that it covers. A vector of slack follows the
// line.
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

// The number of a window's elements that count in the average: those in the source and, if asked, those in the padding,
// but never those beyond the padding.
int64_t counted(const Axis& axis, int64_t q, bool padding) {
  const Range range = range_of(axis, q);
  if (!padding) return range.high - range.low;
  return min(range.start + axis.taps, axis.length + axis.pad) - range.start;
}

// The widths of windows. Sums are divided by widths[q] * height_of(p). A divisor that the caller gives is in
// height_of(p) alone.
float* widths_of(Context& context, const Axis& columns, bool padding, int64_t divisor) {
  float* const widths = floats_of(context, columns.result);
  for (int64_t q = 0; q < columns.result; q++) widths[q] = divisor ? 1.0f : float(counted(columns, q, padding));
  return widths;
}
float height_of(const Axis& rows, int64_t p, bool padding, int64_t divisor) {
  return float(divisor ? divisor : counted(rows, p, padding));
}

}  // namespace

void avg_pool2d_forward(Context& context, const View& out, const View& x, Integers kernel, Integers stride,
                        Integers padding, bool count_include_pad, int64_t divisor) {
  Axis rows, columns;
  if (!read_planes(context, x, out) ||
      !read_axes(context, x, out, kernel, stride, padding, {neighbours, 2}, rows, columns))
    return;
  if (out.count == 0) return;
  const int64_t plane_x = rows.length * columns.length, plane = rows.result * columns.result;
  const int64_t planes = x.sizes[0] * x.sizes[1], room = columns.length + lanes;
  const float* const widths = widths_of(context, columns, count_include_pad, divisor);
  const Range* const across = ranges_of(context, columns);
  float* const rooms = floats_of(context, planes * room);
  // Small windows at stride 1 are added up in registers; other windows first by rows, then by columns.
  const bool in_registers = columns.stride == 1 && has_vectors(columns) && rows.taps <= 8 && columns.taps <= 8;
  const int64_t low = columns.inner_low, high = columns.inner_high;
  for_planes(context, planes, plane_x + plane, [&](int64_t number) {
    float *line = rooms + number * room, *to = pointer<float>(out) + number * plane;
    for (int64_t p = 0; p < rows.result; p++, to += columns.result) {
      const Range down = range_of(rows, p);
      const float* from = pointer<const float>(x) + number * plane_x + (down.start + down.low) * columns.length;
      const int64_t tall = max(0, down.high - down.low);
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
      divide_by(to, to, widths, height_of(rows, p, count_include_pad, divisor), columns.result);
    }
  });
}

void avg_pool2d_backward(Context& context, const View& dx, const View& dy, Integers kernel, Integers stride,
                         Integers padding, bool count_include_pad, int64_t divisor) {
  Axis rows, columns;
  if (!read_planes(context, dx, dy) ||
      !read_axes(context, dx, dy, kernel, stride, padding, {neighbours, 2}, rows, columns))
    return;
  const int64_t plane_x = rows.length * columns.length, plane = rows.result * columns.result;
  if (dx.count == 0) return;
  const int64_t planes = dx.sizes[0] * dx.sizes[1], room = columns.length + columns.result;
  const float* const widths = widths_of(context, columns, count_include_pad, divisor);
  const Range* const across = ranges_of(context, columns);
  float* const rooms = floats_of(context, planes * room);
  for_planes(context, planes, plane_x + plane, [&](int64_t number) {
    float *to = pointer<float>(dx) + number * plane_x, *line = rooms + number * room, *shares = line + columns.length;
    const float* from = pointer<const float>(dy) + number * plane;
    int64_t written = 0;  // rows of dx
    for (int64_t p = 0; p < rows.result; p++, from += columns.result) {
      const Range down = range_of(rows, p);
      if (down.low >= down.high) continue;
      divide_by(shares, from, widths, height_of(rows, p, count_include_pad, divisor), columns.result);
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
