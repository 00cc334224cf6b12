// C = A B for few rows of A, as decoding has them, and a B whose columns are whole blocks of q8_0 or q4_0: the weight
// [N, K] of a linear layer. Each block is read once, becomes floats in registers, and meets all rows there: a byte or
// half of one for each multiply-add of a row, so that the speed of memory is the limit where the processor keeps up.
//
// Legend: B is K x N. A chunk is some columns over the whole depth, several of which are taken together, lest a sum
// wait for its last addition; each has two sums, of even and odd vectors of a block. So the order of a sum follows from
// K and the instruction set alone.
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
// Columns are streams of their own, the next of which begins soon: no hardware looks so far ahead.
constexpr int64_t bytes_ahead = 1024;

struct Q8 {
  static constexpr int64_t bytes = 34;
  FIRESTEEL_INLINE void read(Vec (&to)[vectors_of_32], const uint8_t* from) { simd::read_q8_0(to, from); }
};
struct Q4 {
  static constexpr int64_t bytes = 18;
  FIRESTEEL_INLINE void read(Vec (&to)[vectors_of_32], const uint8_t* from) { simd::read_q4_0(to, from); }
};

// Columns taken together: with the rows they make at most four pairs of sums.
constexpr int columns_together(int rows) {
  return int(rows == 1 ? columns_at_once : rows == 2 ? columns_at_once / 2 : 1);
}

// sums[row * Columns + column] of `blocks` blocks of each column.
template <class Format, int Rows, int Columns>
void dot(float* sums, const float* x, int64_t x_stride, const uint8_t* columns, int64_t column_bytes, int64_t blocks) {
  Vec even[Rows][Columns], odd[Rows][Columns];
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
    repeat<Columns>([&](auto c) FIRESTEEL_UNROLLED { even[r.value][c.value] = odd[r.value][c.value] = simd::zero(); });
  });
  for (int64_t b = 0; b < blocks; b++, x += block, columns += Format::bytes) {
    repeat<Columns>([&](auto c) FIRESTEEL_UNROLLED {
      Vec numbers[vectors_of_32];
      const uint8_t* from = columns + c.value * column_bytes;
      __builtin_prefetch(from + bytes_ahead);
      Format::read(numbers, from);
      repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
        repeat<vectors_of_32>([&](auto v) FIRESTEEL_UNROLLED {
          Vec& sum = v.value % 2 ? odd[r.value][c.value] : even[r.value][c.value];
          sum = simd::fma(simd::load(x + r.value * x_stride + v.value * simd::lanes), numbers[v.value], sum);
        });
      });
    });
  }
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
    repeat<Columns>([&](auto c) FIRESTEEL_UNROLLED {
      sums[r.value * Columns + c.value] = simd::reduce_add(even[r.value][c.value] + odd[r.value][c.value]);
    });
  });
}

// The columns [j, end), from the one at `data` on.
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
  const int64_t width = round_up(max(chunk_elements / p.k, 1), columns_at_once);
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
