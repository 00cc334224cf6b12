// A register of floats, under the same names on every instruction set.
//
// Kernels are written once over Vec (as many floats as a register holds), VecI (as many int32) and Mask, and compiled
// once per instruction set. Arithmetic is the compilers' vector extension; what differs between instruction sets stands
// in vector_<isa>.h. Results of the elementary functions are equal on all of them, except where fma is not fused
// (base).
//
// Everything has internal linkage: the linker must never merge a function built for one instruction set into another's
// (see core/kernel.h).
#pragma once
#include <stdint.h>
#include <string.h>

#include "isa.h"

#define FIRESTEEL_INLINE static inline __attribute__((always_inline))

#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_base
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2 || FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
// gcc 12 warns of its own _mm512_undefined_ps, wherever an AVX-512 function is used.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
#include <arm_neon.h>
#else
#error "unknown FIRESTEEL_ISA"
#endif

namespace firesteel::FIRESTEEL_ISA::simd {

#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
constexpr int lanes = 16;
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif

typedef float NativeFloat __attribute__((vector_size(4 * lanes)));
typedef int32_t NativeInt __attribute__((vector_size(4 * lanes)));

typedef float Quad __attribute__((vector_size(16)));

struct Vec {
  NativeFloat v;
};
struct VecI {
  NativeInt v;
};

// Arithmetic. Integers wrap around.
FIRESTEEL_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
FIRESTEEL_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
FIRESTEEL_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
FIRESTEEL_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
FIRESTEEL_INLINE Vec operator-(Vec a) { return {-a.v}; }

typedef uint32_t NativeUnsigned __attribute__((vector_size(4 * lanes)));
FIRESTEEL_INLINE VecI operator+(VecI a, VecI b) { return {(NativeInt)((NativeUnsigned)a.v + (NativeUnsigned)b.v)}; }
FIRESTEEL_INLINE VecI operator-(VecI a, VecI b) { return {(NativeInt)((NativeUnsigned)a.v - (NativeUnsigned)b.v)}; }
FIRESTEEL_INLINE VecI operator*(VecI a, VecI b) { return {(NativeInt)((NativeUnsigned)a.v * (NativeUnsigned)b.v)}; }
FIRESTEEL_INLINE VecI operator&(VecI a, VecI b) { return {a.v & b.v}; }
FIRESTEEL_INLINE VecI operator|(VecI a, VecI b) { return {a.v | b.v}; }
FIRESTEEL_INLINE VecI operator^(VecI a, VecI b) { return {a.v ^ b.v}; }
FIRESTEEL_INLINE VecI shift_left(VecI a, int bits) { return {(NativeInt)((NativeUnsigned)a.v << bits)}; }
FIRESTEEL_INLINE VecI shift_right(VecI a, int bits) { return {a.v >> bits}; }  // the sign is shifted in
FIRESTEEL_INLINE VecI shift_right_unsigned(VecI a, int bits) { return {(NativeInt)((NativeUnsigned)a.v >> bits)}; }

// (x - 0, because 0 + x would turn -0 into 0.)
FIRESTEEL_INLINE Vec set(float x) { return {x - NativeFloat{}}; }
FIRESTEEL_INLINE VecI set_int(int32_t x) { return {NativeInt{} + x}; }
FIRESTEEL_INLINE Vec zero() { return {NativeFloat{}}; }

// The same bits, read as the other type.
FIRESTEEL_INLINE VecI as_int(Vec a) { return {(NativeInt)a.v}; }
FIRESTEEL_INLINE Vec as_float(VecI a) { return {(NativeFloat)a.v}; }
// The nearest float.
FIRESTEEL_INLINE Vec to_float(VecI a) { return {__builtin_convertvector(a.v, NativeFloat)}; }

// Memory; no alignment is assumed.
FIRESTEEL_INLINE Vec load(const float* p) {
  Vec r;
  memcpy(&r.v, p, sizeof r.v);
  return r;
}
FIRESTEEL_INLINE VecI load(const int32_t* p) {
  VecI r;
  memcpy(&r.v, p, sizeof r.v);
  return r;
}
FIRESTEEL_INLINE void store(float* p, Vec a) { memcpy(p, &a.v, sizeof a.v); }
FIRESTEEL_INLINE void store(int32_t* p, VecI a) { memcpy(p, &a.v, sizeof a.v); }

FIRESTEEL_INLINE Vec abs(Vec a) { return as_float(as_int(a) & set_int(0x7fffffff)); }
// The size of a with the sign of b.
FIRESTEEL_INLINE Vec copy_sign(Vec a, Vec b) { return as_float(as_int(abs(a)) | (as_int(b) & set_int(INT32_MIN))); }

#if FIRESTEEL_ISA_NUMBER != FIRESTEEL_ISA_avx512

// All bits set where true.
struct Mask {
  NativeInt v;
};

FIRESTEEL_INLINE Mask operator<(Vec a, Vec b) { return {a.v < b.v}; }
FIRESTEEL_INLINE Mask operator<=(Vec a, Vec b) { return {a.v <= b.v}; }
FIRESTEEL_INLINE Mask operator>(Vec a, Vec b) { return {a.v > b.v}; }
FIRESTEEL_INLINE Mask operator>=(Vec a, Vec b) { return {a.v >= b.v}; }
FIRESTEEL_INLINE Mask operator==(Vec a, Vec b) { return {a.v == b.v}; }
FIRESTEEL_INLINE Mask operator!=(Vec a, Vec b) { return {a.v != b.v}; }
FIRESTEEL_INLINE Mask operator<(VecI a, VecI b) { return {a.v < b.v}; }
FIRESTEEL_INLINE Mask operator>(VecI a, VecI b) { return {a.v > b.v}; }
FIRESTEEL_INLINE Mask operator==(VecI a, VecI b) { return {a.v == b.v}; }
FIRESTEEL_INLINE Mask operator&(Mask a, Mask b) { return {a.v & b.v}; }
FIRESTEEL_INLINE Mask operator|(Mask a, Mask b) { return {a.v | b.v}; }
FIRESTEEL_INLINE Mask operator~(Mask a) { return {~a.v}; }

#endif

// The instruction set's file adds:
//   load_partial(p, n)      the first n < lanes floats (or int32), 0 in the other lanes; touches no other memory
//   store_partial(p, a, n)  the first n < lanes
//   fma(a, b, c)            a * b + c, rounded once where the instruction set can
//   max, min                NaN if either is NaN (Vec); also of VecI
//   larger(a, b)            a where a > b, else b, also where either is NaN
//   clamp(x, low, high)     into [low, high], which are no NaN; NaN stays NaN
//   sqrt, round (to even), floor
//   round_to_int            nearest integer, ties to even; any value for what int32 cannot hold
//   truncate_to_int         towards zero; any value for what int32 cannot hold
//   select(mask, a, b)      a where mask, else b; of Vec and of VecI
//   any(mask), bits(mask)   whether a lane is true; lane i as bit i
//   quad<i>(a)              lanes 4 i to 4 i + 3
//   power_of_two(a, k)      a * 2^k for whole numbers k from -252 to 254, with overflow and underflow
}  // namespace firesteel::FIRESTEEL_ISA::simd

#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_base
#include "vector_base.h"
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
#include "vector_avx2.h"
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
#include "vector_avx512.h"
#else
#include "vector_neon.h"
#endif

namespace firesteel::FIRESTEEL_ISA::simd {

// op over the lanes in a fixed order: lane i with lane i + lanes / 2, and so on down. op takes floats and Quads.
template <class Op>
FIRESTEEL_INLINE float reduce(Vec a, Op op) {
  Quad q;
  if constexpr (lanes == 16)
    q = op(op(quad<0>(a), quad<2>(a)), op(quad<1>(a), quad<3>(a)));
  else if constexpr (lanes == 8)
    q = op(quad<0>(a), quad<1>(a));
  else
    q = quad<0>(a);
  return op(op(q[0], q[2]), op(q[1], q[3]));
}

FIRESTEEL_INLINE float reduce_add(Vec a) {
  return reduce(a, [](auto x, auto y) { return x + y; });
}
// NaN if any lane is.
FIRESTEEL_INLINE float reduce_max(Vec a) {
  return reduce(a, [](auto x, auto y) { return ((x > y) | (x != x)) ? x : y; });
}
FIRESTEEL_INLINE float reduce_min(Vec a) {
  return reduce(a, [](auto x, auto y) { return ((x < y) | (x != x)) ? x : y; });
}

// relu. It is a comparison, not a maximum, so that NaN and -0 pass.
FIRESTEEL_INLINE Vec rectified(Vec x) { return select(x < zero(), zero(), x); }
FIRESTEEL_INLINE VecI rectified(VecI x) { return max(x, set_int(0)); }

}  // namespace firesteel::FIRESTEEL_ISA::simd
