// A tile of C. The drivers cut products into tiles (multiply.cpp). Private to native/cpu/gemm.
#pragma once
#include "../integers.h"
#include "blocks.h"
#include "pack.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

// A product as the tiles see it. A packed operand is packed whole, as by pack_a and pack_b but in `panels`; otherwise
// packed is null. If both operands are pairs of bfloat16, k counts pairs. If C is rounded, c is null.
struct Product {
  int64_t m, n, k;
  Matrix a, b;
  const float* packed_a;
  const float* packed_b;
  float* c;
  int64_t ldc;
  Epilogue epilogue;
  Panels panels = narrow;
};

// The epilogue of one block of depth out of K: later blocks accumulate, the last one adds the bias.
static inline Epilogue block_epilogue(Epilogue epilogue, int64_t k0, int64_t k) {
  return {epilogue.accumulate || k0 > 0, k0 + block_depth >= k ? epilogue.bias : nullptr};
}

static inline Epilogue at_column(Epilogue epilogue, int64_t column) {
  return {epilogue.accumulate, epilogue.bias ? epilogue.bias + column : nullptr};
}

// Computes rows [i, i + rows) and columns [j, j + columns) of C, the first of them at `c`. An unpacked A is read in
// place. So is an unpacked B if few rows use it; otherwise B is packed panel by panel on the stack, where it stays in
// the first-level cache.
void multiply_tile(const Product& product, int64_t i, int64_t rows, int64_t j, int64_t columns, float* c, int64_t ldc);

}  // namespace firesteel::FIRESTEEL_ISA::gemm
