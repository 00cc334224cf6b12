// The products of attention: micro-kernels that read their operands where they lie.
//
// Depth is short here (the size of a head, or a tile of keys) and operands serve few products. So packing them, or
// calling a function for each tile of sums, would cost about as much as part of the products. A left operand lies by
// rows (keys, or a tile's rows) or by columns (a tile that stands for its transpose). A right operand and C have rows
// of whole vectors, any stride apart. So the tile of scores and weights serves every product as operand or result, and
// is never copied.
#pragma once
#include <string.h>

#include "../simd/vector.h"

// This comes after vector.h, which includes the intrinsics in a way that avoids a false warning of g++ 12 for AVX-512.
#include "../gemm/micro.h"
#include "../integers.h"

namespace firesteel::FIRESTEEL_ISA::attention {

using gemm::Matrix;
using simd::Vec;

// The number of vectors of a panel of queries.
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
constexpr int row_vectors = 3;
#else
constexpr int row_vectors = 2;
#endif
constexpr int64_t NR = row_vectors * simd::lanes;

// Rows and vectors of the sums that registers hold, beside a row of B and an element of A. There are at least eight
// sums, because a processor starts two multiply-adds a cycle, and each takes four cycles.
constexpr int most_vectors = 3;
constexpr int block_rows(int64_t vectors) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512 || FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
  return vectors == 1 ? 16 : vectors == 2 ? 12 : 8;
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return vectors == 1 ? 8 : vectors == 2 ? 6 : 4;
#else
  return vectors == 1 ? 8 : vectors == 2 ? 4 : 2;
#endif
}
constexpr int most_rows = block_rows(1);
// The number of vectors to multiply next, of the `left` remaining ones. Single vectors are slower.
constexpr int64_t next_vectors(int64_t left) { return left == 1 ? 1 : left % 2 == 1 ? 3 : 2; }

// Element (i, d) of A is a[i * a_stride + d] by rows, or a[d * a_stride + i] by columns.
enum class Left { rows, columns };
// Says what happens to the values that C held before.
enum class Before { nothing, kept, scaled };

// C = [factors C +] A B.
struct Product {
  int64_t depth;
  const float* a;
  int64_t a_stride;
  const float* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  Before before = Before::nothing;
  const float* factors = nullptr;  // by row
};

// C [rows][vectors], 1 <= vectors <= most_vectors. The call uses p up, because the processor would wait for a copy of
// values that were written just now.
void multiply(Left left, int64_t rows, int64_t vectors, Product&& p);

}  // namespace firesteel::FIRESTEEL_ISA::attention
