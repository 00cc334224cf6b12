// bfloat16 and float16 as a register of floats, and back, rounded to nearest, ties to even. NaN stays a (quiet) NaN,
// numbers that are too large become infinite, and denormal numbers are kept. Bits are the same on every instruction
// set.
#pragma once
#include "vector.h"

namespace firesteel::FIRESTEEL_ISA::simd {

typedef uint16_t NativeHalves __attribute__((vector_size(2 * lanes)));

// The instruction is called by name, because g++ 12 would widen each half of the register separately, and join them
// again.
FIRESTEEL_INLINE VecI widen_halves(const uint16_t* p) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  return {(NativeInt)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p))};
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return {(NativeInt)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p))};
#else
  NativeHalves h;
  memcpy(&h, p, sizeof h);
  return {__builtin_convertvector(h, NativeInt)};
#endif
}
// The low 16 bits of each lane.
FIRESTEEL_INLINE void narrow_halves(uint16_t* p, VecI a) {
  NativeHalves h = __builtin_convertvector(a.v, NativeHalves);
  memcpy(p, &h, sizeof h);
}

FIRESTEEL_INLINE Vec load_bfloat16(const uint16_t* p) { return as_float(shift_left(widen_halves(p), 16)); }

FIRESTEEL_INLINE void store_bfloat16(uint16_t* p, Vec a) {
  VecI u = as_int(a);
  VecI odd = shift_right_unsigned(u, 16) & set_int(1);
  VecI rounded = shift_right_unsigned(u + set_int(0x7fff) + odd, 16);
  VecI quiet = shift_right_unsigned(u, 16) | set_int(0x40);
  narrow_halves(p, select(a != a, quiet, rounded));
}

#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2

FIRESTEEL_INLINE Vec load_float16(const uint16_t* p) { return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p))}; }
FIRESTEEL_INLINE void store_float16(uint16_t* p, Vec a) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512

FIRESTEEL_INLINE Vec load_float16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))};
}
FIRESTEEL_INLINE void store_float16(uint16_t* p, Vec a) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon

FIRESTEEL_INLINE Vec load_float16(const uint16_t* p) {
  return {(NativeFloat)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))};
}
FIRESTEEL_INLINE void store_float16(uint16_t* p, Vec a) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)a.v)));
}

#else

// Once the exponent's field is in place, the number is too small by a factor of 2^112, whether or not it is denormal.
FIRESTEEL_INLINE Vec load_float16(const uint16_t* p) {
  VecI h = widen_halves(p);
  VecI sign = shift_left(h & set_int(0x8000), 16), size = shift_left(h & set_int(0x7fff), 13);
  VecI finite = as_int(as_float(size) * set(0x1p112f));
  VecI special = size | set_int(0x7f800000);
  VecI quiet = select(size > set_int(0x7c00 << 13), special | set_int(0x400000), special);
  return as_float(select(size > set_int((0x7c00 << 13) - 1), quiet, finite) | sign);
}
// A normal number drops 13 bits with rounding and moves the exponent. A denormal one (below 2^-14) is rounded by adding
// 0.5, whose last place is 2^-24.
FIRESTEEL_INLINE void store_float16(uint16_t* p, Vec a) {
  VecI u = as_int(a), size = u & set_int(0x7fffffff);
  VecI odd = shift_right_unsigned(size, 13) & set_int(1);
  VecI normal = shift_right_unsigned(size + set_int(0xfff) + odd - set_int(112 << 23), 13);
  VecI denormal = as_int(abs(a) + set(0.5f)) - set_int(0x3f000000);
  VecI h = select(abs(a) < set(0x1p-14f), denormal, normal);
  h = select(abs(a) >= set(65520.0f), set_int(0x7c00), h);
  h = select(a != a, (shift_right_unsigned(size, 13) & set_int(0x3ff)) | set_int(0x7e00), h);
  narrow_halves(p, h | (shift_right_unsigned(u, 16) & set_int(0x8000)));
}

#endif

// Converts n numbers, for any n. The last few pass through a full register.
FIRESTEEL_INLINE void widen_bfloat16(int64_t n, float* to, const uint16_t* from) {
  for (int64_t i = 0; i < n; i++) {
    const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
    memcpy(to + i, &bits, sizeof bits);
  }
}
FIRESTEEL_INLINE void widen_float16(int64_t n, float* to, const uint16_t* from) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(to + i, load_float16(from + i));
  if (i == n) return;
  uint16_t rest[lanes] = {};
  memcpy(rest, from + i, static_cast<size_t>(n - i) * sizeof(uint16_t));
  store_partial(to + i, load_float16(rest), n - i);
}
FIRESTEEL_INLINE void narrow_bfloat16(int64_t n, uint16_t* to, const float* from) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store_bfloat16(to + i, load(from + i));
  if (i == n) return;
  uint16_t rest[lanes];
  store_bfloat16(rest, load_partial(from + i, n - i));
  memcpy(to + i, rest, static_cast<size_t>(n - i) * sizeof(uint16_t));
}
FIRESTEEL_INLINE void narrow_float16(int64_t n, uint16_t* to, const float* from) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store_float16(to + i, load(from + i));
  if (i == n) return;
  uint16_t rest[lanes];
  store_float16(rest, load_partial(from + i, n - i));
  memcpy(to + i, rest, static_cast<size_t>(n - i) * sizeof(uint16_t));
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
