// Elements of tensors as kernels compute with them: 16-bit floats are widened when they are read, and rounded once when
// they are written.
#pragma once
#include "gpu.h"

struct bfloat16 {
  uint16_t bits;
};

DEVICE float widen(float x) { return x; }
DEVICE int32_t widen(int32_t x) { return x; }
DEVICE uint32_t widen(uint32_t x) { return x; }
DEVICE uint16_t widen(uint16_t x) { return x; }
DEVICE uint8_t widen(uint8_t x) { return x; }
DEVICE float widen(bfloat16 x) { return float_of(uint32_t(x.bits) << 16); }

template <class T>
DEVICE T narrow(float x) {
  return T(x);
}
// To the nearest, ties to even; NaN stays one.
template <>
DEVICE bfloat16 narrow<bfloat16>(float x) {
  const uint32_t bits = bits_of(x);
  if (x != x) return {uint16_t(bits >> 16 | 64)};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// Comparisons in which NaN wins, as in PyTorch.
DEVICE float largest(float a, float b) { return a > b || a != a ? a : b; }
DEVICE float smallest(float a, float b) { return a < b || a != a ? a : b; }
DEVICE int32_t largest(int32_t a, int32_t b) { return a > b ? a : b; }
DEVICE int32_t smallest(int32_t a, int32_t b) { return a < b ? a : b; }
