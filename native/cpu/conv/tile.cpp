#include "tile.h"

#include <string.h>

#include "../simd/vector.h"

namespace firesteel::FIRESTEEL_ISA::conv {

namespace {

// The number of rows prefetched before they are copied. The next plane follows a plane's last row.
constexpr int64_t rows_ahead = 8;

// Slots [0, length) of a run read source positions first + i * stride; those inside [0, limit) are [low, high).
void clip(int64_t first, int64_t stride, int64_t length, int64_t limit, int64_t& low, int64_t& high) {
  if (stride == 1) {  // without divisions
    low = min(length, max(0, -first));
    high = max(low, min(length, limit - first));
    return;
  }
  low = first >= 0 ? 0 : min(length, ceil_div(-first, stride));
  high = first >= limit ? 0 : min(length, ceil_div(limit - first, stride));
  if (high < low) high = low;
}

void extent(const Axis& axis, int64_t& least, int64_t& greatest) {
  least = greatest = axis.taps ? axis.offsets[0] : 0;
  for (int64_t t = 1; t < axis.taps; t++) {
    least = min(least, axis.offsets[t]);
    greatest = max(greatest, axis.offsets[t]);
  }
}

void copy_run(float* to, const float* line, int64_t first, int64_t stride, int64_t length, int64_t limit) {
  int64_t low, high;
  clip(first, stride, length, limit, low, high);
  for (int64_t i = 0; i < low; i++) to[i] = 0;
  const float* from = line + first;
  if (stride == 1)
    copy_floats(to + low, from + low, high - low);
  else if (stride == 2)
    for (int64_t i = low; i < high; i++) to[i] = from[2 * i];
  else
    for (int64_t i = low; i < high; i++) to[i] = from[i * stride];
  for (int64_t i = high; i < length; i++) to[i] = 0;
}

// Copies the lines of four planes, every stride-th element of them, into four neighbouring channels of slots.
void interleave_four(float* to, int64_t slot_floats, const float* from, int64_t plane, int64_t stride, int64_t count) {
  using simd::Quad;
  int64_t i = 0;
  for (; stride == 1 && i + 4 <= count; i += 4, to += 4 * slot_floats) {
    Quad a, b, c, d;
    memcpy(&a, from + i, 16);
    memcpy(&b, from + plane + i, 16);
    memcpy(&c, from + 2 * plane + i, 16);
    memcpy(&d, from + 3 * plane + i, 16);
    const Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const Quad rows[4] = {
        __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
        __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
    for (int r = 0; r < 4; r++) memcpy(to + r * slot_floats, &rows[r], 16);
  }
  for (; i < count; i++, to += slot_floats)
    for (int c = 0; c < 4; c++) to[c] = from[c * plane + i * stride];
}

}  // namespace

int64_t span_room(const Axis& axis) { return 2 * axis.taps; }

Span make_span(const Axis& axis, int64_t results, bool dense, int64_t* tables) {
  Span span;
  span.origins = tables;
  span.slots = tables + axis.taps;
  int64_t least, greatest;
  extent(axis, least, greatest);
  const int64_t reach = greatest - least;
  const int64_t shared = dense ? axis.step * (results + reach / axis.step) : (results - 1) * axis.step + reach + 1;
  if (shared > axis.taps * results) {
    span.runs = axis.taps;
    span.length = results;
    span.stride = axis.step;
    span.advance = 1;
    for (int64_t t = 0; t < axis.taps; t++) {
      span.origins[t] = axis.offsets[t];
      span.slots[t] = t * results;
    }
  } else if (dense) {  // there are at most as many runs as taps, or dense would not have been shorter
    span.runs = axis.step;
    span.length = results + reach / axis.step;
    span.stride = axis.step;
    span.advance = 1;
    for (int64_t r = 0; r < axis.step; r++) span.origins[r] = least + r;
    for (int64_t t = 0; t < axis.taps; t++) {
      const int64_t distance = axis.offsets[t] - least;
      span.slots[t] = distance % axis.step * span.length + distance / axis.step;
    }
  } else {
    span.runs = 1;
    span.length = shared;
    span.stride = 1;
    span.advance = axis.step;
    span.origins[0] = least;
    for (int64_t t = 0; t < axis.taps; t++) span.slots[t] = axis.offsets[t] - least;
  }
  return span;
}

void fill_plane(float* to, const float* source, const Axis& rows, const Axis& columns, const Span& row_span,
                const Span& column_span, int64_t row0, int64_t column0) {
  const int64_t pitch = slots_of(column_span), first = column0 * columns.step + column_span.origins[0];
  // Adjacent columns are the usual case. All rows then meet the borders at the same columns.
  const bool dense = column_span.runs == 1 && column_span.stride == 1;
  int64_t low, high;
  clip(first, column_span.stride, column_span.length, columns.length, low, high);
  for (int64_t run = 0; run < row_span.runs; run++)
    for (int64_t i = 0; i < row_span.length; i++, to += pitch) {
      const int64_t row = row0 * rows.step + row_span.origins[run] + i * row_span.stride;
      if (row < 0 || row >= rows.length) {
        memset(to, 0, size_t(pitch) * sizeof(float));
        continue;
      }
      const float* line = source + row * columns.length;
      const float* const ahead = line + rows_ahead * columns.length;
      const int64_t ahead_end = dense ? first + high : columns.length;
      for (int64_t i = dense ? first + low : 0; i < ahead_end; i += 16) __builtin_prefetch(ahead + i);
      if (dense) {
        for (int64_t q = 0; q < low; q++) to[q] = 0;
        copy_floats(to + low, line + first + low, high - low);
        for (int64_t q = high; q < pitch; q++) to[q] = 0;
        continue;
      }
      for (int64_t r = 0; r < column_span.runs; r++)
        copy_run(to + r * column_span.length, line, column0 * columns.step + column_span.origins[r], column_span.stride,
                 column_span.length, columns.length);
    }
}

void fill_channels_last(float* to, int64_t slot_floats, const float* source, int64_t channels, const Axis& rows,
                        const Axis& columns, const Span& row_span, const Span& column_span, int64_t row0,
                        int64_t column0) {
  const int64_t pitch = slots_of(column_span) * slot_floats, plane = rows.length * columns.length;
  for (int64_t run = 0; run < row_span.runs; run++)
    for (int64_t i = 0; i < row_span.length; i++, to += pitch) {
      const int64_t row = row0 * rows.step + row_span.origins[run] + i * row_span.stride;
      if (row < 0 || row >= rows.length) {
        memset(to, 0, size_t(pitch) * sizeof(float));
        continue;
      }
      for (int64_t r = 0; r < column_span.runs; r++) {
        const int64_t first = column0 * columns.step + column_span.origins[r], stride = column_span.stride;
        float* slots = to + r * column_span.length * slot_floats;
        int64_t low, high;
        clip(first, stride, column_span.length, columns.length, low, high);
        memset(slots, 0, size_t(low * slot_floats) * sizeof(float));
        memset(slots + high * slot_floats, 0, size_t((column_span.length - high) * slot_floats) * sizeof(float));
        const float* line = source + row * columns.length + first;
        int64_t c = 0;
        for (; c + 4 <= channels; c += 4)
          interleave_four(slots + low * slot_floats + c, slot_floats, line + c * plane + low * stride, plane, stride,
                          high - low);
        for (; c < channels; c++)
          for (int64_t s = low; s < high; s++) slots[s * slot_floats + c] = line[c * plane + s * stride];
      }
    }
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
