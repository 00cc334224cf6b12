// Resampling of planes along rows and columns. Results are weighted sums, whose terms are listed in tables. All modes
// of interpolation are such tables, and so are their gradients, with the tables transposed.
//
// Legend: x has H x W planes, the result P x Q. The axes are independent. Within a plane one pass follows the other.
// The order is the one that leaves fewer rows to the pass along columns. This pass takes a register of rows at once, as
// columns, so every term is one multiplication of registers.
#include <string.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../rooms.h"
#include "../simd/half.h"
#include "../simd/row.h"
#include "../simd/transpose.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using simd::Vec;
constexpr int lanes = simd::lanes;

// The table of one axis, null if the axis stays as it is.
struct Table {
  const int32_t *ends, *index;
  const float* weight;
};

// Reads a table of `results` sums of elements of an axis of `length`. Every word is checked, because the words tell
// where to read.
bool read_table(Context& context, const View* taps, const View* weights, int64_t length, int64_t results,
                Table& table) {
  table = {nullptr, nullptr, nullptr};
  if (taps == nullptr && weights == nullptr)
    return expect(context, length == results, "resample: an axis without a table must keep its size");
  if (!expect(context,
              taps != nullptr && weights != nullptr && taps->dtype == DType::int32 &&
                  weights->dtype == DType::float32 && weights->count == taps->count - results - 1,
              "resample's taps and weights do not fit"))
    return false;
  const int32_t *const ends = pointer<const int32_t>(*taps), *const index = ends + results + 1;
  bool right = ends[0] == 0 && ends[results] == weights->count;
  for (int64_t r = 0; r < results; r++) right = right && ends[r] <= ends[r + 1];
  for (int64_t k = 0; k < weights->count; k++) right = right && index[k] >= 0 && index[k] < length;
  table = {ends, index, pointer<const float>(*weights)};
  return expect(context, right, "resample: a tap lies outside the axis");
}

// Rows [first, end).
struct Band {
  int64_t first, end;
};

// The rows from which the results of a band are computed.
Band sources_of(const Table& table, const Band& results) {
  const int64_t begin = table.ends[results.first], end = table.ends[results.end];
  if (begin == end) return {0, 0};
  Band rows = {table.index[begin], table.index[begin] + 1};
  for (int64_t k = begin + 1; k < end; k++) rows = {min(rows.first, table.index[k]), max(rows.end, table.index[k] + 1)};
  return rows;
}

// Computes one row of results from rows `pitch` apart. `from` is the row with number `origin`.
void sum_rows(float* to, const float* from, int64_t origin, int64_t pitch, int64_t count, const Table& table,
              int64_t result) {
  const int64_t begin = table.ends[result], end = table.ends[result + 1];
  if (begin == end) return (void)memset(to, 0, size_t(count) * sizeof(float));
  simd::for_row(
      count, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
        const auto term = [&](int64_t k) __attribute__((always_inline)) {
          return simd::load_some(from + (table.index[k] - origin) * pitch + i, n);
        };
        // (The first term is not added to 0, which would turn -0 into 0.)
        Vec sum = simd::set(table.weight[begin]) * term(begin);
        for (int64_t k = begin + 1; k < end; k++) sum = simd::fma(simd::set(table.weight[k]), term(k), sum);
        simd::store_some(to + i, sum, n);
      });
}

// The memory that the pass along columns needs for itself.
struct Columns {
  const Table& table;
  int64_t W, Q, pitch;  // pitch: of rows of results, in whole registers
  float *across, *sums;
};
int64_t room_of_columns(int64_t W, int64_t Q) { return (W + Q) * lanes; }

// Computes rows of results, `pitch` apart, from at most a register of rows of `from`, W apart.
void sum_columns(float* to, const float* from, int64_t rows, const Columns& columns) {
  const Table& table = columns.table;
  simd::transpose(columns.across, lanes, from, columns.W, rows, columns.W, 1.0f);
  for (int64_t q = 0; q < columns.Q; q++) {
    const int64_t begin = table.ends[q], end = table.ends[q + 1];
    Vec sum = simd::zero();
    if (begin < end) sum = simd::set(table.weight[begin]) * simd::load(columns.across + table.index[begin] * lanes);
    for (int64_t k = begin + 1; k < end; k++)
      sum = simd::fma(simd::set(table.weight[k]), simd::load(columns.across + table.index[k] * lanes), sum);
    simd::store(columns.sums + q * lanes, sum);
  }
  simd::transpose(to, columns.pitch, columns.sums, lanes, columns.Q, rows, 1.0f);
}

// Rows of float32, or of bfloat16 through a room, seen as float32.
struct Reader {
  const View& x;
  const float* read(int64_t first, int64_t count, float* room) const {
    if (x.dtype == DType::float32) return pointer<const float>(x) + first;
    simd::widen_bfloat16(count, room, pointer<const uint16_t>(x) + first);
    return room;
  }
};
struct Writer {
  const View& out;
  // The address at which `count` floats from `first` on may be written. The caller tells when they are written.
  float* place(int64_t first, float* room) const {
    return out.dtype == DType::float32 ? pointer<float>(out) + first : room;
  }
  void written(int64_t first, int64_t count, const float* from) const {
    if (out.dtype != DType::float32) return simd::narrow_bfloat16(count, pointer<uint16_t>(out) + first, from);
    if (from != pointer<float>(out) + first) memcpy(pointer<float>(out) + first, from, size_t(count) * sizeof(float));
  }
};

// Without a table for rows, all rows of all planes form one list.
void resample_columns(Context& context, const View& out, const View& x, const Table& table) {
  const int64_t rows = x.sizes[0] * x.sizes[1], W = x.sizes[2], Q = out.sizes[2], pitch = round_up(Q, lanes);
  const Reader reader = {x};
  const Writer writer = {out};
  const Chunks chunks = {ceil_div(rows, lanes), max(1, resample_elements / ((W + Q) * lanes))};
  const Rooms rooms = make_rooms(context, room_of_columns(W, Q) + lanes * (W + pitch), chunks);
  for_chunks(context, chunks, rooms, [&](int64_t first, int64_t end, float* room) {
    float *const lines = room + room_of_columns(W, Q), *const widened = lines + lanes * pitch;
    const Columns columns = {table, W, Q, pitch, room, room + W * lanes};
    for (int64_t row = first * lanes; row < min(rows, end * lanes); row += lanes) {
      const int64_t count = min(lanes, rows - row);
      sum_columns(lines, reader.read(row * W, count * W, widened), count, columns);
      for (int64_t i = 0; i < count; i++) writer.written((row + i) * Q, Q, lines + i * pitch);
    }
  });
}

// Resamples along rows, and along columns if there is a table for them.
void resample_planes(Context& context, const View& out, const View& x, const Table& down, const Table& across) {
  const int64_t H = x.sizes[1], W = x.sizes[2], P = out.sizes[1], Q = out.sizes[2];
  const bool both = across.ends != nullptr, columns_first = both && H <= P;
  const int64_t pitch = both ? round_up(Q, lanes) : Q;
  // A plane after the first of the two passes, in whole registers of rows.
  const int64_t between = !both ? 0 : columns_first ? round_up(H, lanes) * pitch : P * W;
  const int64_t widened = x.dtype == DType::float32 ? 0 : H * W;
  const int64_t own = both ? room_of_columns(W, Q) : 0, line = both ? lanes * pitch : Q;
  const Reader reader = {x};
  const Writer writer = {out};
  const int64_t planes = x.sizes[0], work = H * W + P * Q;
  const int64_t bands = planes >= enough_planes ? 1 : min(min(enough_bands / planes, work / resample_elements + 1), P);
  const int64_t height = ceil_div(P, bands);
  const Chunks chunks = {planes * bands, max(1, resample_elements / (work / bands + 1))};
  const Rooms rooms = make_rooms(context, own + line + between + widened, chunks);
  for_items(context, chunks, rooms, [&](int64_t item, float* room) {
    const int64_t plane = item / bands, first = item % bands * height;
    const Band results = {first, min(first + height, P)};
    if (results.first >= results.end) return;
    const Band rows = sources_of(down, results);
    const int64_t count = rows.end - rows.first;
    const Columns columns = {across, W, Q, pitch, room, room + W * lanes};
    float *const lines = room + own, *const middle = lines + line;
    const float* const from = reader.read((plane * H + rows.first) * W, count * W, middle + between);
    if (both && !columns_first) {
      for (int64_t p = results.first; p < results.end; p++)
        sum_rows(middle + (p - results.first) * W, from, rows.first, W, W, down, p);
      for (int64_t p = results.first; p < results.end; p += lanes) {
        const int64_t together = min(lanes, results.end - p);
        sum_columns(lines, middle + (p - results.first) * W, together, columns);
        for (int64_t i = 0; i < together; i++) writer.written((plane * P + p + i) * Q, Q, lines + i * pitch);
      }
    } else {
      for (int64_t h = 0; columns_first && h < count; h += lanes)
        sum_columns(middle + h * pitch, from + h * W, min(lanes, count - h), columns);
      for (int64_t p = results.first; p < results.end; p++) {
        const int64_t at = (plane * P + p) * Q;
        float* const to = writer.place(at, lines);
        sum_rows(to, columns_first ? middle : from, rows.first, columns_first ? pitch : W, Q, down, p);
        writer.written(at, Q, to);
      }
    }
  });
}

}  // namespace

void resample(Context& context, const View& out, const View& x, const View* row_taps, const View* row_weights,
              const View* column_taps, const View* column_weights) {
  if (!expect(context, x.ndim == 3 && out.ndim == 3 && x.sizes[0] == out.sizes[0],
              "resample takes planes, and keeps their number") ||
      !expect(context, x.dtype == out.dtype && (x.dtype == DType::float32 || x.dtype == DType::bfloat16),
              "resample takes float32 or bfloat16") ||
      !expect(context, row_taps != nullptr || column_taps != nullptr, "resample: at least one axis must have a table"))
    return;
  Table down, across;
  if (!read_table(context, row_taps, row_weights, x.sizes[1], out.sizes[1], down) ||
      !read_table(context, column_taps, column_weights, x.sizes[2], out.sizes[2], across))
    return;
  if (out.count == 0) return;
  down.ends != nullptr ? resample_planes(context, out, x, down, across) : resample_columns(context, out, x, across);
}

}  // namespace firesteel::FIRESTEEL_ISA
