// Elements of tensors in the form in which kernels compute: 16-bit floats are widened when they are read, and rounded
// once when they are written.
#pragma once
#include "gpu.h"

struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};

DEVICE float widen(float x) { return x; }
DEVICE int32_t widen(int32_t x) { return x; }
DEVICE uint32_t widen(uint32_t x) { return x; }
DEVICE uint16_t widen(uint16_t x) { return x; }
DEVICE uint8_t widen(uint8_t x) { return x; }
DEVICE float widen(bfloat16 x) { return float_of(uint32_t(x.bits) << 16); }
DEVICE float widen(float16 x) {
  const uint32_t sign = uint32_t(x.bits & 0x8000) << 16, rest = x.bits & 0x7fff;
  // Numbers below the least normal one are multiples of 2^-24.
  if (rest < 0x400) return float_of(bits_of(float(rest) * (1.0f / 16777216)) | sign);
  return float_of(sign | ((rest << 13) + (rest < 0x7c00 ? 112u << 23 : 224u << 23)));
}

template <class T>
DEVICE T narrow(float x) {
  return T(x);
}
// Rounds to the nearest, ties to even. NaN stays NaN.
template <>
DEVICE bfloat16 narrow<bfloat16>(float x) {
  const uint32_t bits = bits_of(x);
  if (x != x) return {uint16_t(bits >> 16 | 64)};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
template <>
DEVICE float16 narrow<float16>(float x) {
  const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return {uint16_t(sign | 0x7e00 | (rest >> 13 & 0x3ff))};
  if (rest >= 0x477ff000) return {uint16_t(sign | 0x7c00)};
  // Numbers below the least normal one are multiples of 2^-24. The addition of 1/2 rounds to these.
  if (rest < 0x38800000) return {uint16_t(sign | (bits_of(float_of(rest) + 0.5f) - bits_of(0.5f)))};
  return {uint16_t(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13))};
}

// Comparisons in which NaN wins, and of two zeros the second one, as in PyTorch.
DEVICE float largest(float a, float b) { return a > b || a != a ? a : b; }
DEVICE float smallest(float a, float b) { return a < b || a != a ? a : b; }
DEVICE int32_t largest(int32_t a, int32_t b) { return a > b ? a : b; }
DEVICE int32_t smallest(int32_t a, int32_t b) { return a < b ? a : b; }
