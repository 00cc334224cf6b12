// The part of vector.h that depends on the instruction set, for AVX-512 (F, BW, VL, DQ): 32 registers of 16 lanes,
// masks in separate registers. Included by vector.h.
#pragma once

namespace firesteel::FIRESTEEL_ISA::simd {

struct Mask {
  __mmask16 v;
};

FIRESTEEL_INLINE Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
FIRESTEEL_INLINE Mask operator<=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
FIRESTEEL_INLINE Mask operator>(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
FIRESTEEL_INLINE Mask operator>=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
FIRESTEEL_INLINE Mask operator==(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
FIRESTEEL_INLINE Mask operator!=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
FIRESTEEL_INLINE Mask operator<(VecI a, VecI b) { return {_mm512_cmpgt_epi32_mask((__m512i)b.v, (__m512i)a.v)}; }
FIRESTEEL_INLINE Mask operator>(VecI a, VecI b) { return {_mm512_cmpgt_epi32_mask((__m512i)a.v, (__m512i)b.v)}; }
FIRESTEEL_INLINE Mask operator==(VecI a, VecI b) { return {_mm512_cmpeq_epi32_mask((__m512i)a.v, (__m512i)b.v)}; }
FIRESTEEL_INLINE Mask operator&(Mask a, Mask b) { return {(__mmask16)(a.v & b.v)}; }
FIRESTEEL_INLINE Mask operator|(Mask a, Mask b) { return {(__mmask16)(a.v | b.v)}; }
FIRESTEEL_INLINE Mask operator~(Mask a) { return {(__mmask16)~a.v}; }

// The first n lanes.
FIRESTEEL_INLINE __mmask16 first_lanes(int64_t n) { return (__mmask16)((1u << n) - 1); }
FIRESTEEL_INLINE Vec load_partial(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
FIRESTEEL_INLINE VecI load_partial(const int32_t* p, int64_t n) {
  return {(NativeInt)_mm512_maskz_loadu_epi32(first_lanes(n), p)};
}
FIRESTEEL_INLINE void store_partial(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
FIRESTEEL_INLINE void store_partial(int32_t* p, VecI a, int64_t n) {
  _mm512_mask_storeu_epi32(p, first_lanes(n), (__m512i)a.v);
}

FIRESTEEL_INLINE Vec select(Mask mask, Vec a, Vec b) { return {_mm512_mask_blend_ps(mask.v, b.v, a.v)}; }
FIRESTEEL_INLINE VecI select(Mask mask, VecI a, VecI b) {
  return {(NativeInt)_mm512_mask_blend_epi32(mask.v, (__m512i)b.v, (__m512i)a.v)};
}

FIRESTEEL_INLINE int bits(Mask mask) { return mask.v; }
FIRESTEEL_INLINE bool any(Mask mask) { return mask.v != 0; }

FIRESTEEL_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }

// maxps and minps return their second operand if either is NaN.
FIRESTEEL_INLINE Vec larger(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
FIRESTEEL_INLINE Vec max(Vec a, Vec b) { return select(a != a, a, {_mm512_max_ps(a.v, b.v)}); }
FIRESTEEL_INLINE Vec min(Vec a, Vec b) { return select(a != a, a, {_mm512_min_ps(a.v, b.v)}); }
FIRESTEEL_INLINE VecI max(VecI a, VecI b) { return {(NativeInt)_mm512_max_epi32((__m512i)a.v, (__m512i)b.v)}; }
FIRESTEEL_INLINE VecI min(VecI a, VecI b) { return {(NativeInt)_mm512_min_epi32((__m512i)a.v, (__m512i)b.v)}; }
FIRESTEEL_INLINE Vec clamp(Vec x, float low, float high) {
  return {_mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), x.v))};
}

FIRESTEEL_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
FIRESTEEL_INLINE Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
FIRESTEEL_INLINE Vec floor(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
FIRESTEEL_INLINE VecI round_to_int(Vec a) { return {(NativeInt)_mm512_cvtps_epi32(a.v)}; }
FIRESTEEL_INLINE VecI truncate_to_int(Vec a) { return {(NativeInt)_mm512_cvttps_epi32(a.v)}; }

FIRESTEEL_INLINE Vec power_of_two(Vec a, Vec k) { return {_mm512_scalef_ps(a.v, k.v)}; }

template <int i>
FIRESTEEL_INLINE Quad quad(Vec a) {
  return _mm512_extractf32x4_ps(a.v, i);
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
