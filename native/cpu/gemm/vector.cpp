// y = x B for one row x. Each element of B is used once, so memory is the limit, at 4 bytes per multiply-add.
//
// Legend: B is K x N. It is cut by shape into chunks of `depth` x `width` elements. Each chunk writes its sums to a row
// of partial[K / depth][N], and the rows are added in order. Within a chunk B is read along its consecutive dimension,
// several lines at a time, so that the hardware prefetcher sees a few long streams:
//   rows consecutive     eight rows are scaled by x and added into sums that stay in the first-level cache
//   columns consecutive  four columns are multiplied by x, element by element, into sums that stay in registers
#include "vector.h"

#include "../simd/blocks.h"
#include "../simd/half.h"
#include "../simd/vector.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

using simd::lanes;
using simd::Vec;

using namespace vector_blocks;

Vec load(const float* from) { return simd::load(from); }
Vec load(const uint16_t* from) { return simd::load_bfloat16(from); }

Vec load_partial(const float* from, int count) { return simd::load_partial(from, count); }
Vec load_partial(const uint16_t* from, int count) {
  uint16_t halves[lanes] = {};
  memcpy(halves, from, size_t(count) * sizeof(uint16_t));
  return simd::load_bfloat16(halves);
}

template <int Count, class T>
FIRESTEEL_INLINE void prefetch(const T* from) {
  for (int i = 0; i < Count; i += int(line_bytes / sizeof(T))) __builtin_prefetch(from + i);
}

// sum[j] += x[0] row0[j] + x[1] row1[j] + ... for `Rows` rows of B, `stride` apart. The same place of the next rows is
// prefetched into the second-level cache, because rows are too short for the hardware to notice them.
template <int Rows, class T>
void add_rows(float* sum, const float* x, const T* rows, int64_t stride, int64_t width) {
  Vec scale[Rows];
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED { scale[r.value] = simd::set(x[r.value]); });
  int64_t j = 0;
  for (; j + lanes <= width; j += lanes) {
    Vec value = simd::load(sum + j);
    repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
      const T* row = rows + r.value * stride + j;
      __builtin_prefetch(row + Rows * stride, 0, 2);
      value = simd::fma(scale[r.value], load(row), value);
    });
    simd::store(sum + j, value);
  }
  if (j == width) return;
  const int tail = int(width - j);
  Vec value = simd::load_partial(sum + j, tail);
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
    value = simd::fma(scale[r.value], load_partial(rows + r.value * stride + j, tail), value);
  });
  simd::store_partial(sum + j, value, tail);
}

template <class T>
void sum_rows(float* sum, const float* x, const T* b, int64_t stride, int64_t width, int64_t depth) {
  memset(sum, 0, size_t(width) * sizeof(float));
  int64_t d = 0;
  for (; d + rows_at_once <= depth; d += rows_at_once)
    add_rows<int(rows_at_once)>(sum, x + d, b + d * stride, stride, width);
  for (; d < depth; d++) add_rows<1>(sum, x + d, b + d * stride, stride, width);
}

// sum[j] = x . column j for `Columns` columns of B, `stride` apart.
template <int Columns, class T>
void dot_columns(float* sum, const float* x, const T* columns, int64_t stride, int64_t depth) {
  const int64_t ahead = prefetched(Columns * stride * int64_t(sizeof(T))) / int64_t(sizeof(T));
  Vec even[Columns], odd[Columns];
  repeat<Columns>([&](auto j) FIRESTEEL_UNROLLED { even[j.value] = odd[j.value] = simd::zero(); });
  int64_t d = 0;
  for (; d + 2 * lanes <= depth; d += 2 * lanes) {
    const Vec x_even = simd::load(x + d), x_odd = simd::load(x + d + lanes);
    repeat<Columns>([&](auto j) FIRESTEEL_UNROLLED {
      const T* column = columns + j.value * stride + d;
      prefetch<2 * lanes>(column + ahead);
      even[j.value] = simd::fma(x_even, load(column), even[j.value]);
      odd[j.value] = simd::fma(x_odd, load(column + lanes), odd[j.value]);
    });
  }
  for (; d < depth; d += lanes) {
    const int count = int(min(lanes, depth - d));
    const Vec part = count == lanes ? simd::load(x + d) : simd::load_partial(x + d, count);
    repeat<Columns>([&](auto j) FIRESTEEL_UNROLLED {
      const T* column = columns + j.value * stride + d;
      const Vec value = count == lanes ? load(column) : load_partial(column, count);
      even[j.value] = simd::fma(part, value, even[j.value]);
    });
  }
  repeat<Columns>([&](auto j) FIRESTEEL_UNROLLED { sum[j.value] = simd::reduce_add(even[j.value] + odd[j.value]); });
}

template <class T>
void sum_columns(float* sum, const float* x, const T* b, int64_t stride, int64_t width, int64_t depth) {
  int64_t j = 0;
  for (; j + columns_at_once <= width; j += columns_at_once)
    dot_columns<int(columns_at_once)>(sum + j, x, b + j * stride, stride, depth);
  for (; j < width; j++) dot_columns<1>(sum + j, x, b + j * stride, stride, depth);
}

template <class T>
void sum_chunk(float* sum, const float* x, Matrix b, bool by_rows, int64_t width, int64_t depth) {
  const T* data = static_cast<const T*>(b.data);
  if (by_rows)
    sum_rows(sum, x, data, b.row_stride, width, depth);
  else
    sum_columns(sum, x, data, b.column_stride, width, depth);
}

// Blocks are decoded a few lines, and a part of each, at a time, into memory that stays in the first-level cache. Sums
// of columns continue with each part.
void sum_decoded(float* sum, const float* x, Matrix b, bool by_rows, int64_t width, int64_t depth) {
  alignas(64) float lines[max(rows_at_once, columns_at_once) * decoded_part];
  const auto decode = [&](int64_t element, int64_t count, int64_t line) {
    simd::decode_blocks(b.dtype, b.data, b.first + element, count, lines + line * decoded_part);
  };
  memset(sum, 0, size_t(width) * sizeof(float));
  if (by_rows) {
    for (int64_t j = 0; j < width; j += decoded_part) {
      const int64_t count = min(decoded_part, width - j);
      for (int64_t d = 0; d < depth;) {
        const int64_t rows = depth - d >= rows_at_once ? rows_at_once : 1;
        for (int64_t i = 0; i < rows; i++) decode((d + i) * b.row_stride + j, count, i);
        if (rows == 1)
          add_rows<1>(sum + j, x + d, lines, decoded_part, count);
        else
          add_rows<int(rows_at_once)>(sum + j, x + d, lines, decoded_part, count);
        d += rows;
      }
    }
    return;
  }
  for (int64_t j = 0; j < width;) {
    const int64_t columns = width - j >= columns_at_once ? columns_at_once : 1;
    for (int64_t d = 0; d < depth; d += decoded_part) {
      const int64_t count = min(decoded_part, depth - d);
      for (int64_t i = 0; i < columns; i++) decode((j + i) * b.column_stride + d, count, i);
      float part[columns_at_once];
      if (columns == 1)
        dot_columns<1>(part, x + d, lines, decoded_part, count);
      else
        dot_columns<int(columns_at_once)>(part, x + d, lines, decoded_part, count);
      for (int64_t i = 0; i < columns; i++) sum[j + i] += part[i];
    }
    j += columns;
  }
}

template <class T>
void copy_row(float* to, Matrix row, int64_t count) {
  const T* from = static_cast<const T*>(row.data);
  for (int64_t i = 0; i < count; i++) to[i] = widen(from[i * row.column_stride]);
}

}  // namespace

void multiply_vector(Context& context, const VectorProduct& p) {
  const bool by_rows = p.b.column_stride == 1;
  const int64_t width = min(
      p.n, by_rows ? widest_rows : round_up(chunk_columns(context, p.n, min(p.k, deepest_columns)), columns_at_once));
  const int64_t depth = by_rows ? min(p.k, round_up(chunk_elements / width, rows_at_once)) : min(p.k, deepest_columns);
  const int64_t across = ceil_div(p.n, width), parts = ceil_div(p.k, depth);

  float* partial = static_cast<float*>(scratch(context, size_t(parts * p.n) * sizeof(float)));
  const float* x = static_cast<const float*>(p.x.data);
  if (p.x.column_stride != 1 || p.x.dtype != DType::float32) {
    float* dense = static_cast<float*>(scratch(context, size_t(p.k) * sizeof(float)));
    (p.x.dtype == DType::bfloat16 ? copy_row<uint16_t> : copy_row<float>)(dense, p.x, p.k);
    x = dense;
  }
  parallel(context, across * parts, [&](int64_t chunk) {
    const int64_t j = chunk % across * width, part = chunk / across, d = part * depth;
    const Matrix b = part_of(p.b, d, j);
    const auto sum = simd::is_blocks(b.dtype)     ? sum_decoded
                     : b.dtype == DType::bfloat16 ? sum_chunk<uint16_t>
                                                  : sum_chunk<float>;
    sum(partial + part * p.n + j, x + d, b, by_rows, min(width, p.n - j), min(depth, p.k - d));
  });

  const int64_t columns = max(chunk_elements / parts, 1);
  parallel(context, ceil_div(p.n, columns), [&](int64_t chunk) {
    for (int64_t j = chunk * columns, end = min(p.n, j + columns); j < end; j++) {
      float sum = 0;
      for (int64_t part = 0; part < parts; part++) sum += partial[part * p.n + j];
      float* y = p.y + j * p.y_stride;
      if (p.accumulate) sum += *y;
      *y = p.bias ? sum + p.bias[j * p.bias_stride] : sum;
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
