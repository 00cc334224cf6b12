// C = A B for few rows of A, as in text generation. The columns of B are whole blocks of q8_0 or q4_0, as those of the
// weight [N, K] of a linear layer. Each block is read once, becomes floats in registers, and is multiplied there with
// all rows. A multiply-add of a row takes one byte or half a byte, so memory is the limit if the processor keeps up.
//
// Legend: B is K x N. A chunk is some columns over the whole depth. Converting numbers is most of the work. So the
// scale of a block multiplies its sum, once for each row, unless there are so many rows that scaling the numbers takes
// fewer multiplications. Columns are taken one after the other, so that memory is read in one stream, which hardware
// and the prefetching ahead of it keep up with. The order of a sum follows from K, the number of rows and the
// instruction set.
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

// Whether the scale of a block multiplies each row's sum or the block's numbers, whichever is fewer.
template <int Rows>
constexpr bool scales_sums = Rows <= vectors_of_32;

// The scales of the blocks of a column, a run of them at a time. They are widened together, because one conversion
// takes as long as many. A block then loads its scale as a broadcast, which costs no more than a load. The halves of
// the next run are gathered while this one is multiplied, because their loads and stores are free beside arithmetic,
// unless it has another length, as the last run of a long column.
class Scales {
 public:
  void gather(int64_t b, const uint8_t* block) {
    uint16_t half;
    memcpy(&half, block, sizeof half);
    // Without this, g++ would gather halves by shuffles of vectors, which the conversions of numbers already saturate.
    __asm__("" : "+r"(half));
    halves[b] = half;
  }
  void gather(const uint8_t* column, int64_t block_bytes, int64_t blocks) {
    for (int64_t b = 0; b < blocks; b++) gather(b, column + b * block_bytes);
  }
  // Begins with a run, whose halves were gathered.
  void widen(int64_t run) { simd::widen_float16(round_up(run, 16), scales, halves); }
  Vec operator[](int64_t b) const { return simd::set(scales[b]); }

 private:
  alignas(64) uint16_t halves[scales_at_once] = {};
  alignas(64) float scales[scales_at_once];
};

// sums[row] = row . column, over `blocks` blocks. The first scales of `column` were gathered, and those of `next` are.
template <class Format, int Rows>
FIRESTEEL_INLINE void dot(float* sums, const float* x, int64_t x_stride, const uint8_t* column, const uint8_t* next,
                          int64_t blocks, Scales& scales) {
  Vec sum[Rows];
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED { sum[r.value] = simd::zero(); });
  const int64_t first = min(blocks, scales_at_once);
  while (blocks > 0) {
    const int64_t run = min(blocks, scales_at_once), rest = blocks - run;
    const int64_t coming = rest > 0 ? min(rest, scales_at_once) : first;
    const uint8_t* from = rest > 0 ? column + run * Format::bytes : next;
    const int64_t step = coming == run ? Format::bytes : 0;
    if constexpr (scales_sums<Rows>) scales.widen(run);
    for (int64_t b = 0; b < run; b++, x += block, column += Format::bytes) {
      __builtin_prefetch(column + decoded_bytes_ahead);
      Vec numbers[vectors_of_32];
      Format::numbers(numbers, column);
      if constexpr (scales_sums<Rows>) {
        scales.gather(b, from + b * step);
        const Vec scale = scales[b];
        repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
          const float* row = x + r.value * x_stride;
          Vec part = simd::load(row) * numbers[0];
          repeat<vectors_of_32 - 1>([&](auto v) FIRESTEEL_UNROLLED {
            part = simd::fma(simd::load(row + (v.value + 1) * simd::lanes), numbers[v.value + 1], part);
          });
          sum[r.value] = simd::fma(part, scale, sum[r.value]);
        });
      } else {
        const Vec scale = simd::float16_at(column);
        repeat<vectors_of_32>([&](auto v) FIRESTEEL_UNROLLED { numbers[v.value] = numbers[v.value] * scale; });
        repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED {
          const float* row = x + r.value * x_stride;
          repeat<vectors_of_32>([&](auto v) FIRESTEEL_UNROLLED {
            sum[r.value] = simd::fma(simd::load(row + v.value * simd::lanes), numbers[v.value], sum[r.value]);
          });
        });
      }
    }
    if (scales_sums<Rows> && coming != run) scales.gather(from, Format::bytes, coming);
    blocks = rest;
  }
  repeat<Rows>([&](auto r) FIRESTEEL_UNROLLED { sums[r.value] = simd::reduce_add(sum[r.value]); });
}

// Multiplies columns [j, end), beginning with the one at `column`.
template <class Format, int Rows>
void multiply_columns(const Product& p, const float* x, const uint8_t* column, int64_t column_bytes, int64_t j,
                      int64_t end) {
  const int64_t blocks = p.k / block;
  Scales scales;
  scales.gather(column, Format::bytes, min(blocks, scales_at_once));
  for (; j < end; j++, column += column_bytes) {
    float sums[Rows];
    dot<Format, Rows>(sums, x, p.k, column, j + 1 < end ? column + column_bytes : column, blocks, scales);
    for (int r = 0; r < Rows; r++) {
      float* to = p.c + r * p.ldc + j;
      const float sum = p.epilogue.accumulate ? *to + sums[r] : sums[r];
      *to = p.epilogue.bias ? sum + p.epilogue.bias[j] : sum;
    }
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
  const int64_t width = chunk_columns(context, p.n, p.k);
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
