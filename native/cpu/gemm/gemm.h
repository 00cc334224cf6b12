// Matrix multiplication for every family that reduces to it: packing, micro-kernels, and drivers over them.
//
// Legend: M rows of C, N columns of C, K inner size. A matrix is a pointer with a row and a column stride, so that a
// transpose costs nothing: packing absorbs it, and widens bfloat16. All results are float32, accumulated in float32
// with explicit fused multiply-adds if the instruction set has them. The depth of a block is fixed per instruction set,
// so bits do not depend on the number of threads. M, N, K and the instruction set fix the order in which an element of
// C is computed.
#pragma once
#include "../../core/kernel.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

// Micro-tile and depth of a block; the values stand in the micro-kernel's source (micro_*.cpp).
extern const int64_t MR, NR, KC;

// The dimension of a bfloat16 matrix that counts pairs, which packing leaves as they are (micro_pairs.cpp). Only the
// drivers set it.
enum class Pairs { none, of_rows, of_columns };

// A matrix of float32 or bfloat16, which packing makes float32. The right one may also be of blocks, which lie along
// the dimension of stride 1.
struct Matrix {
  const void* data;
  int64_t row_stride, column_stride;
  DType dtype = DType::float32;
  Pairs pairs = Pairs::none;
  int64_t singles = 0;  // elements that make the pairs: if they are odd, the last pair lacks its second
  int64_t first = 0;    // where data is blocks: the number of the matrix's first element, from data on
};

// The part of the matrix that begins at a row and a column.
static inline Matrix part_of(Matrix a, int64_t row, int64_t column) {
  const int64_t offset = row * a.row_stride + column * a.column_stride;
  if (a.dtype >= first_block_dtype)
    return {a.data, a.row_stride, a.column_stride, a.dtype, a.pairs, 0, a.first + offset};
  const char* data = static_cast<const char*>(a.data) + offset * (a.dtype == DType::bfloat16 ? 2 : 4);
  const int64_t pairs = a.pairs == Pairs::of_rows ? row : a.pairs == Pairs::of_columns ? column : 0;
  return {data, a.row_stride, a.column_stride, a.dtype, a.pairs, a.singles - 2 * pairs, 0};
}

static inline Matrix transposed(Matrix a) {
  const Pairs turned[] = {Pairs::none, Pairs::of_columns, Pairs::of_rows};
  return {a.data, a.column_stride, a.row_stride, a.dtype, turned[int(a.pairs)], a.singles, a.first};
}

// The last step of an element of C: c = (accumulate ? c : 0) + sum + bias[n] (bias may be null).
struct Epilogue {
  bool accumulate;
  const float* bias;
  // The place for C as bfloat16 instead of float32, with a row stride of n, or null. Only multiply can write bfloat16,
  // and it does not accumulate then.
  uint16_t* rounded = nullptr;
};

// The floats that a packed operand takes: all of A [m, k] in panels of MR rows, of B [k, n] in panels of NR columns
// (zero padded).
int64_t packed_a_size(int64_t m, int64_t k);
int64_t packed_b_size(int64_t k, int64_t n);

// Packs the whole operand: for each block of KC in depth, panel after panel, a panel is [depth][MR] or [depth][NR].
void pack_a(float* to, Matrix a, int64_t m, int64_t k);
void pack_b(float* to, Matrix b, int64_t k, int64_t n);

// Multiplies operands packed by pack_a and pack_b into C [m, n] (row stride ldc), on the calling thread. It serves
// parallel chunks, and operands that are used many times (an LSTM's recurrent weights).
void multiply_packed(int64_t m, int64_t n, int64_t k, const float* packed_a, const float* packed_b, float* c,
                     int64_t ldc, Epilogue epilogue);

// Does the same with an A that is small or used once, and not packed: packs it block by block into `room`, which has
// room_for_rows(m, k) floats.
int64_t room_for_rows(int64_t m, int64_t k);
void multiply_rows(int64_t m, int64_t n, int64_t k, Matrix a, const float* packed_b, float* c, int64_t ldc,
                   Epilogue epilogue, float* room);

// C = A B on the calling thread, without scratch memory: A is read in place, B is packed panel by panel on the stack.
// It serves parallel chunks, on matrices that are used once.
void multiply_here(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc, Epilogue epilogue);

// A product that one of several threads makes alone, as multiply would, bit by bit. A batch takes less time so, because
// nothing passes between the caches of two cores. It needs `room` floats; if that is negative, only multiply gives its
// bits. C is dense.
int64_t room_alone(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, bool rounds);
void multiply_alone(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, Epilogue epilogue, float* room);

// C = A B on all threads, packing included; picks its blocking and its split from the shape. The general driver.
void multiply(Context& context, int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c, int64_t ldc,
              Epilogue epilogue);

}  // namespace firesteel::FIRESTEEL_ISA::gemm
