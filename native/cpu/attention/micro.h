// The products of attention: micro-kernels that read their operands where they lie.
//
// Depth is short here (the size of a head, a tile of keys) and operands serve few products, so that packing them, or a
// call for each tile of sums, would cost as much as a part of the products. A left operand lies by rows (keys, or a
// tile's) or by columns (a tile that stands for its transpose); a right one and C have rows of whole vectors, any
// stride apart. So the tile of scores and weights is operand and result of everything without ever being copied.
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
// sums, because a processor begins two multiply-adds a cycle, each of which takes four.
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
// The number of vectors to multiply next, of the `left` ones. Single vectors are slower.
constexpr int64_t next_vectors(int64_t left) { return left == 1 ? 1 : left % 2 == 1 ? 3 : 2; }

// Element (i, d) of A is a[i * a_stride + d] by rows, a[d * a_stride + i] by columns.
enum class Left { rows, columns };
// The values that were in C before.
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

// C [rows][vectors], 1 <= vectors <= most_vectors. Uses p up. (To copy what was written just now would make the
// processor wait for it.)
void multiply(Left left, int64_t rows, int64_t vectors, Product&& p);

}  // namespace firesteel::FIRESTEEL_ISA::attention
