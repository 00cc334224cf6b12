// Packing of a part of an operand, for drivers that cut it up between threads. Private to native/cpu/gemm.
#pragma once
#include "../integers.h"
#include "micro.h"

namespace firesteel::FIRESTEEL_ISA::gemm {

// bfloat16 is the upper half of a float.
static inline float widen(uint16_t half) {
  const uint32_t bits = uint32_t(half) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float widen(float value) { return value; }

// Packs a part of A or B, panel after panel, each [depth][panels.rows] or [depth][panels.columns]; depth is at most KC.
void pack_a_block(float* to, Matrix a, int64_t row, int64_t rows, int64_t k, int64_t depth, Panels panels = narrow);
void pack_b_block(float* to, Matrix b, int64_t k, int64_t depth, int64_t column, int64_t columns,
                  Panels panels = narrow);

}  // namespace firesteel::FIRESTEEL_ISA::gemm
