// The part of vector.h that depends on the instruction set, for any processor, in the compilers' vector extension, or
// in SSE2 where that is one instruction. fma rounds the product, then the sum. Included by vector.h.
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
  return as_float(VecI{(as_int(a).v & mask.v) | (as_int(b).v & ~mask.v)});
}
FIRESTEEL_INLINE VecI select(Mask mask, VecI a, VecI b) { return {(a.v & mask.v) | (b.v & ~mask.v)}; }

FIRESTEEL_INLINE int bits(Mask mask) {
#ifdef __SSE2__
  return _mm_movemask_ps((__m128)mask.v);
#else
  return (mask.v[0] & 1) | (mask.v[1] & 2) | (mask.v[2] & 4) | (mask.v[3] & 8);
#endif
}
FIRESTEEL_INLINE bool any(Mask mask) { return bits(mask) != 0; }

FIRESTEEL_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }

FIRESTEEL_INLINE Vec larger(Vec a, Vec b) {
#ifdef __SSE2__
  return {(NativeFloat)_mm_max_ps((__m128)a.v, (__m128)b.v)};
#else
  return select(a > b, a, b);
#endif
}
FIRESTEEL_INLINE Vec max(Vec a, Vec b) { return select((a > b) | (a != a), a, b); }
FIRESTEEL_INLINE Vec min(Vec a, Vec b) { return select((a < b) | (a != a), a, b); }
FIRESTEEL_INLINE VecI max(VecI a, VecI b) { return select(a > b, a, b); }
FIRESTEEL_INLINE VecI min(VecI a, VecI b) { return select(a < b, a, b); }
FIRESTEEL_INLINE Vec clamp(Vec x, float low, float high) {
#ifdef __SSE2__
  // minps and maxps return their second operand if either is NaN.
  return {(NativeFloat)_mm_min_ps(_mm_set1_ps(high), _mm_max_ps(_mm_set1_ps(low), (__m128)x.v))};
#else
  x = select(x < set(low), set(low), x);
  return select(x > set(high), set(high), x);
#endif
}

FIRESTEEL_INLINE Vec sqrt(Vec a) {
#ifdef __SSE2__
  return {(NativeFloat)_mm_sqrt_ps((__m128)a.v)};
#else
  for (int i = 0; i < lanes; i++) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
#endif
}

// Adding 2^23 leaves no bits for a fraction. Larger numbers, infinities and NaN need no rounding.
FIRESTEEL_INLINE Vec round(Vec a) {
  Vec magic = set(8388608.0f), size = abs(a);
  return select(size < magic, copy_sign((size + magic) - magic, a), a);
}
FIRESTEEL_INLINE Vec floor(Vec a) {
  Vec r = round(a);
  return select(r > a, r - set(1.0f), r);
}
FIRESTEEL_INLINE VecI truncate_to_int(Vec a) {
#ifdef __SSE2__
  return {(NativeInt)_mm_cvttps_epi32((__m128)a.v)};
#else
  return {__builtin_convertvector(a.v, NativeInt)};
#endif
}
FIRESTEEL_INLINE VecI round_to_int(Vec a) {
#ifdef __SSE2__
  return {(NativeInt)_mm_cvtps_epi32((__m128)a.v)};
#else
  return truncate_to_int(round(a));
#endif
}

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
