// The part of vector.h that depends on the instruction set, for 64-bit ARM: 32 registers of 4 lanes. Included by
// vector.h.
#pragma once

namespace firesteel::FIRESTEEL_ISA::simd {

FIRESTEEL_INLINE Vec load_partial(const float* p, int64_t n) {
  Vec r = zero();
  for (int i = 0; i < lanes; i++)
    if (i < n) r.v[i] = p[i];
  return r;
}
FIRESTEEL_INLINE VecI load_partial(const int32_t* p, int64_t n) {
  VecI r = set_int(0);
  for (int i = 0; i < lanes; i++)
    if (i < n) r.v[i] = p[i];
  return r;
}
FIRESTEEL_INLINE void store_partial(float* p, Vec a, int64_t n) {
  for (int i = 0; i < lanes; i++)
    if (i < n) p[i] = a.v[i];
}
FIRESTEEL_INLINE void store_partial(int32_t* p, VecI a, int64_t n) {
  for (int i = 0; i < lanes; i++)
    if (i < n) p[i] = a.v[i];
}

FIRESTEEL_INLINE Vec select(Mask mask, Vec a, Vec b) {
  return {(NativeFloat)vbslq_f32((uint32x4_t)mask.v, (float32x4_t)a.v, (float32x4_t)b.v)};
}
FIRESTEEL_INLINE VecI select(Mask mask, VecI a, VecI b) {
  return {(NativeInt)vbslq_s32((uint32x4_t)mask.v, (int32x4_t)a.v, (int32x4_t)b.v)};
}

FIRESTEEL_INLINE int bits(Mask mask) {
  const uint32x4_t weights = {1, 2, 4, 8};
  return (int)vaddvq_u32(vandq_u32((uint32x4_t)mask.v, weights));
}
FIRESTEEL_INLINE bool any(Mask mask) { return vmaxvq_u32((uint32x4_t)mask.v) != 0; }

FIRESTEEL_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {(NativeFloat)vfmaq_f32((float32x4_t)c.v, (float32x4_t)a.v, (float32x4_t)b.v)};
}

FIRESTEEL_INLINE Vec larger(Vec a, Vec b) { return select(a > b, a, b); }
// FMAX and FMIN return NaN if either is NaN.
FIRESTEEL_INLINE Vec max(Vec a, Vec b) { return {(NativeFloat)vmaxq_f32((float32x4_t)a.v, (float32x4_t)b.v)}; }
FIRESTEEL_INLINE Vec min(Vec a, Vec b) { return {(NativeFloat)vminq_f32((float32x4_t)a.v, (float32x4_t)b.v)}; }
FIRESTEEL_INLINE VecI max(VecI a, VecI b) { return {(NativeInt)vmaxq_s32((int32x4_t)a.v, (int32x4_t)b.v)}; }
FIRESTEEL_INLINE VecI min(VecI a, VecI b) { return {(NativeInt)vminq_s32((int32x4_t)a.v, (int32x4_t)b.v)}; }
FIRESTEEL_INLINE Vec clamp(Vec x, float low, float high) { return min(max(x, set(low)), set(high)); }

FIRESTEEL_INLINE Vec sqrt(Vec a) { return {(NativeFloat)vsqrtq_f32((float32x4_t)a.v)}; }
FIRESTEEL_INLINE Vec round(Vec a) { return {(NativeFloat)vrndnq_f32((float32x4_t)a.v)}; }
FIRESTEEL_INLINE Vec floor(Vec a) { return {(NativeFloat)vrndmq_f32((float32x4_t)a.v)}; }
FIRESTEEL_INLINE VecI round_to_int(Vec a) { return {(NativeInt)vcvtnq_s32_f32((float32x4_t)a.v)}; }
FIRESTEEL_INLINE VecI truncate_to_int(Vec a) { return {(NativeInt)vcvtq_s32_f32((float32x4_t)a.v)}; }

// 2^k leaves float's range before a * 2^k does, so it is applied as two factors.
FIRESTEEL_INLINE Vec power_of_two(Vec a, Vec k) {
  VecI n = round_to_int(k), half = shift_right(n, 1), one = set_int(127);
  return a * as_float(shift_left(half + one, 23)) * as_float(shift_left(n - half + one, 23));
}

template <int i>
FIRESTEEL_INLINE Quad quad(Vec a) {
  return a.v;
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
