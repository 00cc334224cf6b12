// AVX-512 for kernels that are compiled for AVX2, so that their tests run on processors without it. The intrinsics that
// native/cpu uses come from SIMDe (https://github.com/simd-everywhere/simde), an independent implementation in plain C.
// This file adds those that SIMDe 0.7.4 lacks, or computes differently from the processor. scripts/emulate-isa.sh puts
// this file before each source.
#pragma once
#if defined(__AVX512F__)
#error "this compiler is told to use AVX-512 itself"
#endif
#include <immintrin.h>
#include <math.h>
#include <simde/x86/avx512/add.h>
#include <simde/x86/avx512/blend.h>
#include <simde/x86/avx512/cmp.h>
#include <simde/x86/avx512/cmpeq.h>
#include <simde/x86/avx512/cmpgt.h>
#include <simde/x86/avx512/extract.h>
#include <simde/x86/avx512/fmadd.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/max.h>
#include <simde/x86/avx512/min.h>
#include <simde/x86/avx512/mul.h>
#include <simde/x86/avx512/permutexvar.h>
#include <simde/x86/avx512/roundscale.h>
#include <simde/x86/avx512/set1.h>
#include <simde/x86/avx512/setzero.h>
#include <simde/x86/avx512/sqrt.h>
#include <simde/x86/avx512/storeu.h>
#include <string.h>

namespace firesteel_emulation {

// The lower (0) or the upper (1) half.
template <class Half, class Whole>
static inline Half half(const Whole& a, int i) {
  Half h;
  memcpy(&h, reinterpret_cast<const char*>(&a) + i * sizeof h, sizeof h);
  return h;
}
template <class Whole, class Half>
static inline Whole join(Half low, Half high) {
  Whole a;
  memcpy(&a, &low, sizeof low);
  memcpy(reinterpret_cast<char*>(&a) + sizeof low, &high, sizeof high);
  return a;
}

// Lanes outside the mask touch no memory.
template <class Register>
static inline Register load(__mmask16 mask, const void* from) {
  Register a{};
  for (int i = 0; i < 16; i++)
    if (mask >> i & 1) memcpy(reinterpret_cast<char*>(&a) + 4 * i, static_cast<const char*>(from) + 4 * i, 4);
  return a;
}
template <class Register>
static inline void store(void* to, __mmask16 mask, const Register& a) {
  for (int i = 0; i < 16; i++)
    if (mask >> i & 1) memcpy(static_cast<char*>(to) + 4 * i, reinterpret_cast<const char*>(&a) + 4 * i, 4);
}

static inline void stream(float* to, __m512 a) {
  _mm256_stream_ps(to, half<__m256>(a, 0));
  _mm256_stream_ps(to + 8, half<__m256>(a, 1));
}
static inline __m512i to_ints(__m512 a) {
  return join<__m512i>(_mm256_cvtps_epi32(half<__m256>(a, 0)), _mm256_cvtps_epi32(half<__m256>(a, 1)));
}
static inline __m512i cut_off(__m512 a) {
  return join<__m512i>(_mm256_cvttps_epi32(half<__m256>(a, 0)), _mm256_cvttps_epi32(half<__m256>(a, 1)));
}
static inline __m512 widen(__m256i a) {
  return join<__m512>(_mm256_cvtph_ps(half<__m128i>(a, 0)), _mm256_cvtph_ps(half<__m128i>(a, 1)));
}
template <int rounding>
static inline __m256i narrow(__m512 a) {
  return join<__m256i>(_mm256_cvtps_ph(half<__m256>(a, 0), rounding), _mm256_cvtps_ph(half<__m256>(a, 1), rounding));
}
static inline __m512d square_root(__mmask8 mask, __m512d a) {
  const __m512d root = join<__m512d>(_mm256_sqrt_pd(half<__m256d>(a, 0)), _mm256_sqrt_pd(half<__m256d>(a, 1)));
  __m512d kept{};
  for (int i = 0; i < 8; i++)
    if (mask >> i & 1) kept[i] = root[i];
  return kept;
}
// a 2^floor(k), rounded once. 2^k itself, by which SIMDe multiplies, may be out of range.
static inline __m512 scaled(__m512 a, __m512 k) {
  for (int i = 0; i < 16; i++) {
    const float power = floorf(k[i]);
    if (power != power)
      a[i] = power;
    else if (a[i] == a[i])
      a[i] = ldexpf(a[i], power > 1000 ? 1000 : power < -1000 ? -1000 : int(power));
  }
  return a;
}

static inline __m512i widen_halves(__m256i a) {
  return join<__m512i>(_mm256_cvtepu16_epi32(half<__m128i>(a, 0)), _mm256_cvtepu16_epi32(half<__m128i>(a, 1)));
}
static inline __m512i widen_bytes(__m128i a) {
  return join<__m512i>(_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8)));
}
static inline __m512i widen_signed_bytes(__m128i a) {
  return join<__m512i>(_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8)));
}

static inline __m512d to_doubles(__m256 a) {
  return join<__m512d>(_mm256_cvtps_pd(half<__m128>(a, 0)), _mm256_cvtps_pd(half<__m128>(a, 1)));
}
static inline __m256 to_floats(__m512d a) {
  return join<__m256>(_mm256_cvtpd_ps(half<__m256d>(a, 0)), _mm256_cvtpd_ps(half<__m256d>(a, 1)));
}
static inline __m512 inserted(__m512 a, __m256 b, int i) {
  return i == 0 ? join<__m512>(b, half<__m256>(a, 1)) : join<__m512>(half<__m256>(a, 0), b);
}

// Pairs of bfloat16: the products of each pair are added to the sum.
static inline __m512 dot_pairs(__m512 sum, __m512bh a, __m512bh b) {
  uint16_t x[32], y[32];
  memcpy(x, &a, sizeof x);
  memcpy(y, &b, sizeof y);
  const auto wide = [](uint16_t half) {
    const uint32_t bits = uint32_t(half) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
  };
  for (int i = 0; i < 16; i++) {
    const float products = fmaf(wide(x[2 * i]), wide(y[2 * i]), wide(x[2 * i + 1]) * wide(y[2 * i + 1]));
    sum[i] += products;
  }
  return sum;
}

}  // namespace firesteel_emulation

#undef _mm512_cmp_ps_mask
#undef _mm512_extractf32x4_ps
#undef _mm512_extractf32x8_ps
#undef _mm512_insertf32x8
#undef _mm512_roundscale_ps
#undef _mm512_cvtps_ph

#define _mm512_add_ps simde_mm512_add_ps
#define _mm512_cmp_ps_mask simde_mm512_cmp_ps_mask
#define _mm512_cmpeq_epi32_mask simde_mm512_cmpeq_epi32_mask
#define _mm512_cmpgt_epi32_mask simde_mm512_cmpgt_epi32_mask
#define _mm512_extractf32x4_ps simde_mm512_extractf32x4_ps
#define _mm512_fmadd_ps simde_mm512_fmadd_ps
#define _mm512_loadu_ps simde_mm512_loadu_ps
#define _mm512_mask_blend_epi32 simde_mm512_mask_blend_epi32
#define _mm512_mask_blend_ps simde_mm512_mask_blend_ps
#define _mm512_maskz_mul_epu32 simde_mm512_maskz_mul_epu32
#define _mm512_max_epi32 simde_mm512_max_epi32
#define _mm512_max_ps simde_mm512_max_ps
#define _mm512_min_epi32 simde_mm512_min_epi32
#define _mm512_min_ps simde_mm512_min_ps
#define _mm512_permutexvar_ps simde_mm512_permutexvar_ps
#define _mm512_roundscale_ps(a, imm8) simde_mm512_roundscale_ps(a, (imm8))  // SIMDe's macro lacks the parentheses
#define _mm512_set1_epi32 simde_mm512_set1_epi32
#define _mm512_set1_epi64 simde_mm512_set1_epi64
#define _mm512_set1_ps simde_mm512_set1_ps
#define _mm512_setzero_ps simde_mm512_setzero_ps
#define _mm512_sqrt_ps simde_mm512_sqrt_ps
#define _mm512_storeu_ps simde_mm512_storeu_ps

#define _mm512_castps256_ps512(a) firesteel_emulation::join<__m512>(a, a)
#define _mm512_castps512_ps256(a) firesteel_emulation::half<__m256>(a, 0)
#define _mm512_cvtepi8_epi32 firesteel_emulation::widen_signed_bytes
#define _mm512_cvtepu16_epi32 firesteel_emulation::widen_halves
#define _mm512_cvtepu8_epi32 firesteel_emulation::widen_bytes
#define _mm512_cvtpd_ps firesteel_emulation::to_floats
#define _mm512_cvtph_ps firesteel_emulation::widen
#define _mm512_cvtps_epi32 firesteel_emulation::to_ints
#define _mm512_cvtps_pd firesteel_emulation::to_doubles
#define _mm512_cvtps_ph(a, rounding) firesteel_emulation::narrow<rounding>(a)
#define _mm512_cvttps_epi32 firesteel_emulation::cut_off
#define _mm512_dpbf16_ps firesteel_emulation::dot_pairs
#define _mm512_extractf32x8_ps firesteel_emulation::half<__m256>
#define _mm512_insertf32x8 firesteel_emulation::inserted
#define _mm512_mask_storeu_epi32 firesteel_emulation::store
#define _mm512_mask_storeu_ps firesteel_emulation::store
#define _mm512_maskz_loadu_epi32 firesteel_emulation::load<__m512i>
#define _mm512_maskz_loadu_ps firesteel_emulation::load<__m512>
#define _mm512_maskz_sqrt_pd firesteel_emulation::square_root
#define _mm512_scalef_ps firesteel_emulation::scaled
#define _mm512_stream_ps firesteel_emulation::stream

// Marks functions that are compiled for one processor whatever the flags say.
#define FIRESTEEL_EMULATES_AVX512 1
