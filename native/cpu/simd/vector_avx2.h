// The part of vector.h that depends on the instruction set, for AVX2 with FMA: 16 registers of 8 lanes. Included by
// vector.h.
#pragma once

namespace firesteel::FIRESTEEL_ISA::simd {

// The first n lanes.
FIRESTEEL_INLINE __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FIRESTEEL_INLINE Vec load_partial(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
FIRESTEEL_INLINE VecI load_partial(const int32_t* p, int64_t n) {
  return {(NativeInt)_mm256_maskload_epi32(p, first_lanes(n))};
}
FIRESTEEL_INLINE void store_partial(float* p, Vec a, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), a.v); }
FIRESTEEL_INLINE void store_partial(int32_t* p, VecI a, int64_t n) {
  _mm256_maskstore_epi32(p, first_lanes(n), (__m256i)a.v);
}

FIRESTEEL_INLINE Vec select(Mask mask, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, (__m256)mask.v)}; }
FIRESTEEL_INLINE VecI select(Mask mask, VecI a, VecI b) {
  return {(NativeInt)_mm256_blendv_epi8((__m256i)b.v, (__m256i)a.v, (__m256i)mask.v)};
}

FIRESTEEL_INLINE int bits(Mask mask) { return _mm256_movemask_ps((__m256)mask.v); }
FIRESTEEL_INLINE bool any(Mask mask) { return bits(mask) != 0; }

FIRESTEEL_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }

// maxps and minps return their second operand if either is NaN.
FIRESTEEL_INLINE Vec larger(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
FIRESTEEL_INLINE Vec max(Vec a, Vec b) { return select(a != a, a, {_mm256_max_ps(a.v, b.v)}); }
FIRESTEEL_INLINE Vec min(Vec a, Vec b) { return select(a != a, a, {_mm256_min_ps(a.v, b.v)}); }
FIRESTEEL_INLINE VecI max(VecI a, VecI b) { return {(NativeInt)_mm256_max_epi32((__m256i)a.v, (__m256i)b.v)}; }
FIRESTEEL_INLINE VecI min(VecI a, VecI b) { return {(NativeInt)_mm256_min_epi32((__m256i)a.v, (__m256i)b.v)}; }
FIRESTEEL_INLINE Vec clamp(Vec x, float low, float high) {
  return {_mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), x.v))};
}

FIRESTEEL_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
FIRESTEEL_INLINE Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
FIRESTEEL_INLINE Vec floor(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
FIRESTEEL_INLINE VecI round_to_int(Vec a) { return {(NativeInt)_mm256_cvtps_epi32(a.v)}; }
FIRESTEEL_INLINE VecI truncate_to_int(Vec a) { return {(NativeInt)_mm256_cvttps_epi32(a.v)}; }

// 2^k leaves float's range before a * 2^k does, so it is applied as two factors.
FIRESTEEL_INLINE Vec power_of_two(Vec a, Vec k) {
  VecI n = round_to_int(k), half = shift_right(n, 1), one = set_int(127);
  return a * as_float(shift_left(half + one, 23)) * as_float(shift_left(n - half + one, 23));
}

template <int i>
FIRESTEEL_INLINE Quad quad(Vec a) {
  return _mm256_extractf128_ps(a.v, i);
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
