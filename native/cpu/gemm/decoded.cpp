// C = A B for few rows of A, as in text generation. The columns of B are whole blocks of q8_0 or q4_0, as those of the
// weight [N, K] of a linear layer. Each block is read once, becomes floats in registers, and is multiplied there with
// all rows. A multiply-add of a row takes one byte or half a byte, so memory is the limit if the processor keeps up.
//
// Legend: B is K x N. A chunk is some columns over the whole depth. Several columns are taken together, so that no sum
// waits for its last addition. Converting numbers is most of the work. So the scale of a block multiplies its sum, once
// for each row, unless there are so many rows that scaling the numbers takes fewer multiplications. The order of a sum
// follows from K, the number of rows and the instruction set.
#include "../simd/blocks.h"
#include "../simd/half.h"
#include "../simd/vector.h"
#include "blocks.h"
#include "vector.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

namespace {

using simd::Vec;
using simd::vectors_of_32;
using namespace vector_blocks;

constexpr int64_t block = 32;

struct Q8 {
  static constexpr int64_t bytes = 34;
  FIRESTEEL_INLINE void numbers(Vec (&to)[vectors_of_32], const uint8_t* from) { simd::numbers_of_q8_0(to, from); }
};
struct Q4 {
  static constexpr int64_t bytes = 18;
  FIRESTEEL_INLINE void numbers(Vec (&to)[vectors_of_32], const uint8_t* from) { simd::numbers_of_q4_0(to, from); }
};

// Columns that are taken together. Together with the rows they make at most eight sums.
constexpr int columns_together(int rows) { return int(rows == 1 ? columns_at_once : columns_at_once / 2); }

// Whether the scale of a block multiplies each row's sum or the block's numbers, whichever is fewer.
template <int Rows>
constexpr bool scales_sums = Rows <= vectors_of_32;

// The scales of a run of blocks of each column. They are widened many at a time, because one conversion takes as long
// as many. A block then loads its scale as a broadcast, which costs no more than a load.
template <class Format, int Columns>
FIRESTEEL_INLINE void read_scales(float (&to)[Columns][scales_at_once], const uint8_t* columns, int64_t column_bytes,
                                  int64_t blocks) {
  alignas(64) uint16_t halves[Columns][scales_at_once] = {};
  for (int64_t b = 0; b < blocks; b++)
    for (int c = 0; c < Columns; c++)
      memcpy(&halves[c][b], columns + c * column_bytes + b * Format::bytes, sizeof(uint16_t));
  simd::widen_float16(Columns * scales_at_once, to[0], halves[0]);
}

// sums[row * Columns + column] over `blocks` blocks of each column.
template <class Format, int Rows, int Columns>
void dot(float* sums, const float* x, int64_t x_stride, const uint8_t* columns, int64_t column_bytes, int64_t blocks) {
  Vec sum[Rows][Columns];
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
    repeat<Columns>([&](auto c) FIRESTEEL_UNROLLED { sum[r.value][c.value] = simd::zero(); });
  });
  const int64_t ahead = prefetched(Columns * column_bytes);
  while (blocks > 0) {
    const int64_t run = min(blocks, scales_at_once);
    alignas(64) float scales[Columns][scales_at_once];
    if constexpr (scales_sums<Rows>) read_scales<Format, Columns>(scales, columns, column_bytes, run);
    for (int64_t b = 0; b < run; b++, x += block, columns += Format::bytes) {
      repeat<Columns>([&](auto c) FIRESTEEL_UNROLLED {
        Vec numbers[vectors_of_32];
        const uint8_t* from = columns + c.value * column_bytes;
        __builtin_prefetch(from + ahead);
        Format::numbers(numbers, from);
        if constexpr (scales_sums<Rows>) {
          const Vec scale = simd::set(scales[c.value][b]);
          repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
            const float* row = x + r.value * x_stride;
            Vec part = simd::load(row) * numbers[0];
            repeat<vectors_of_32 - 1>([&](auto v) FIRESTEEL_UNROLLED {
              part = simd::fma(simd::load(row + (v.value + 1) * simd::lanes), numbers[v.value + 1], part);
            });
            sum[r.value][c.value] = simd::fma(part, scale, sum[r.value][c.value]);
          });
        } else {
          const Vec scale = simd::float16_at(from);
          repeat<vectors_of_32>([&](auto v) FIRESTEEL_UNROLLED { numbers[v.value] = numbers[v.value] * scale; });
          repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
            const float* row = x + r.value * x_stride;
            repeat<vectors_of_32>([&](auto v) FIRESTEEL_UNROLLED {
              sum[r.value][c.value] =
                  simd::fma(simd::load(row + v.value * simd::lanes), numbers[v.value], sum[r.value][c.value]);
            });
          });
        }
      });
    }
    blocks -= run;
  }
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
    repeat<Columns>([&](auto c) FIRESTEEL_UNROLLED {
      sums[r.value * Columns + c.value] = simd::reduce_add(sum[r.value][c.value]);
    });
  });
}

// Multiplies columns [j, end), beginning with the one at `data`.
template <class Format, int Rows>
void multiply_columns(const Product& p, const float* x, const uint8_t* data, int64_t column_bytes, int64_t j,
                      int64_t end) {
  constexpr int together = columns_together(Rows);
  float sums[Rows * together];
  const auto write = [&](int columns) {
    for (int r = 0; r < Rows; r++)
      for (int c = 0; c < columns; c++) {
        float* to = p.c + r * p.ldc + j + c;
        const float sum = p.epilogue.accumulate ? *to + sums[r * columns + c] : sums[r * columns + c];
        *to = p.epilogue.bias ? sum + p.epilogue.bias[j + c] : sum;
      }
  };
  for (; j + together <= end; j += together, data += together * column_bytes) {
    dot<Format, Rows, together>(sums, x, p.k, data, column_bytes, p.k / block);
    write(together);
  }
  for (; j < end; j++, data += column_bytes) {
    dot<Format, Rows, 1>(sums, x, p.k, data, column_bytes, p.k / block);
    write(1);
  }
}

// The rows of A as dense floats.
const float* dense_rows(Context& context, const Product& p) {
  if (p.a.dtype == DType::float32 && p.a.column_stride == 1 && (p.m == 1 || p.a.row_stride == p.k))
    return static_cast<const float*>(p.a.data);
  float* dense = static_cast<float*>(scratch(context, size_t(p.m * p.k) * sizeof(float)));
  for (int64_t i = 0; i < p.m; i++)
    for (int64_t d = 0; d < p.k; d++) {
      const int64_t at = i * p.a.row_stride + d * p.a.column_stride;
      dense[i * p.k + d] = p.a.dtype == DType::bfloat16 ? widen(static_cast<const uint16_t*>(p.a.data)[at])
                                                        : static_cast<const float*>(p.a.data)[at];
    }
  return dense;
}

}  // namespace

bool has_whole_columns(Matrix b, int64_t n, int64_t k) {
  if (b.dtype != DType::q8_0 && b.dtype != DType::q4_0) return false;
  return b.row_stride == 1 && k % block == 0 && b.first % block == 0 && (n == 1 || b.column_stride % block == 0);
}

void multiply_decoded(Context& context, const Product& p) {
  const float* x = dense_rows(context, p);
  const int64_t width = round_up(max(column_chunk_elements / p.k, 1), columns_at_once);
  parallel(context, ceil_div(p.n, width), [&](int64_t chunk) {
    const int64_t j = chunk * width, end = min(p.n, j + width);
    with_rows<int(most_decoded_rows)>(p.m, [&](auto rows) {
      const auto multiply_as = [&](auto format) {
        using Format = decltype(format);
        const uint8_t* data = static_cast<const uint8_t*>(p.b.data);
        const int64_t column_bytes = p.b.column_stride / block * Format::bytes;
        data += p.b.first / block * Format::bytes + j * column_bytes;
        multiply_columns<Format, rows.value>(p, x, data, column_bytes, j, end);
      };
      p.b.dtype == DType::q8_0 ? multiply_as(Q8()) : multiply_as(Q4());
    });
  });
}

}  // namespace firesteel::FIRESTEEL_ISA::gemm
