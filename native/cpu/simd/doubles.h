// A register of floats as two registers of doubles, and back with one rounding. Wide registers call the processor's
// instructions by name, because g++ 12 would convert two numbers at a time.
#pragma once
#include "vector.h"

namespace firesteel::FIRESTEEL_ISA::simd {

typedef double HalfDoubles __attribute__((vector_size(4 * lanes)));
struct Halves {
  HalfDoubles of[2];
};
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
FIRESTEEL_INLINE Halves widen(Vec a) {
  return {{(HalfDoubles)_mm512_cvtps_pd(_mm512_castps512_ps256(a.v)),
           (HalfDoubles)_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))}};
}
FIRESTEEL_INLINE Vec narrow(Halves a) {
  const __m512 below = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)a.of[0]));
  return {(NativeFloat)_mm512_insertf32x8(below, _mm512_cvtpd_ps((__m512d)a.of[1]), 1)};
}
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
FIRESTEEL_INLINE Halves widen(Vec a) {
  return {{(HalfDoubles)_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)),
           (HalfDoubles)_mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1))}};
}
FIRESTEEL_INLINE Vec narrow(Halves a) {
  return {(NativeFloat)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)a.of[1]), _mm256_cvtpd_ps((__m256d)a.of[0]))};
}
#else
FIRESTEEL_INLINE Halves widen(Vec a) { return {{HalfDoubles{a.v[0], a.v[1]}, HalfDoubles{a.v[2], a.v[3]}}}; }
FIRESTEEL_INLINE Vec narrow(Halves a) {
  return {NativeFloat{float(a.of[0][0]), float(a.of[0][1]), float(a.of[1][0]), float(a.of[1][1])}};
}
#endif

}  // namespace firesteel::FIRESTEEL_ISA::simd
