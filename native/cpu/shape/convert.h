// Converts numbers of one dtype to another, as the table of kernels says: floats are truncated to integers and wrap
// around (NaN and infinities give 0), anything but 0 becomes true, and 16-bit floats are rounded once, to nearest, ties
// to even.
#pragma once
#include "../../core/kernel.h"
#include "../simd/half.h"

namespace firesteel::FIRESTEEL_ISA {

// The integer part, modulo 2^32.
static inline int32_t wrapped(double x) {
  if (!(__builtin_fabs(x) < 9223372036854775808.0)) {
    if (!(__builtin_fabs(x) <= 1.7976931348623157e308)) return 0;
    x = __builtin_fmod(x, 4294967296.0);
  }
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint64_t>(static_cast<int64_t>(x))));
}

// A float that rounds to any shorter float as x does: x truncated, with its last bit set if anything was lost.
static inline float round_to_odd(double x) {
  float f = static_cast<float>(x);
  if (static_cast<double>(f) == x || x != x) return f;
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  if (__builtin_fabs(static_cast<double>(f)) > __builtin_fabs(x)) bits--;
  bits |= 1;
  memcpy(&f, &bits, sizeof f);
  return f;
}

// Converts one element of `dtype`, at `to`.
static inline void convert_number(DType dtype, void* to, double value) {
  const float odd = round_to_odd(value);
  switch (dtype) {
    case DType::float32: {
      const float f = static_cast<float>(value);
      memcpy(to, &f, sizeof f);
      return;
    }
    case DType::bfloat16:
      return simd::narrow_bfloat16(1, static_cast<uint16_t*>(to), &odd);
    case DType::float16:
      return simd::narrow_float16(1, static_cast<uint16_t*>(to), &odd);
    case DType::int32: {
      const int32_t i = wrapped(value);
      memcpy(to, &i, sizeof i);
      return;
    }
    case DType::uint8:
      *static_cast<uint8_t*>(to) = static_cast<uint8_t>(wrapped(value));
      return;
    case DType::boolean:
      *static_cast<uint8_t*>(to) = value != 0;
      return;
    default:  // blocks are written elsewhere
      return;
  }
}

static inline void floats_to_int(int64_t n, int32_t* to, const float* from) {
  int64_t i = 0;
  for (; i + simd::lanes <= n; i += simd::lanes) {
    const simd::Vec x = simd::load(from + i);
    if (simd::any(~(simd::abs(x) < simd::set(2147483648.0f))))
      for (int k = 0; k < simd::lanes; k++) to[i + k] = wrapped(from[i + k]);
    else
      simd::store(to + i, simd::truncate_to_int(x));
  }
  for (; i < n; i++) to[i] = wrapped(from[i]);
}

// Converts n <= convert_limit elements of dense memory.
constexpr int64_t convert_limit = 1024;

// Converts from float32, to which all floats are converted first.
static inline void narrow_floats(DType dtype, int64_t n, void* to, const float* from) {
  uint8_t* bytes = static_cast<uint8_t*>(to);
  switch (dtype) {
    case DType::float32:
      memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::bfloat16:
      return simd::narrow_bfloat16(n, static_cast<uint16_t*>(to), from);
    case DType::float16:
      return simd::narrow_float16(n, static_cast<uint16_t*>(to), from);
    case DType::int32:
      return floats_to_int(n, static_cast<int32_t*>(to), from);
    case DType::uint8: {
      int32_t whole[convert_limit];
      floats_to_int(n, whole, from);
      for (int64_t i = 0; i < n; i++) bytes[i] = static_cast<uint8_t>(whole[i]);
      return;
    }
    case DType::boolean:
      for (int64_t i = 0; i < n; i++) bytes[i] = from[i] != 0;
      return;
    default:  // blocks are written elsewhere
      return;
  }
}

// Converts from int32, to which all integers are converted first.
static inline void narrow_ints(DType dtype, int64_t n, void* to, const int32_t* from) {
  uint8_t* bytes = static_cast<uint8_t*>(to);
  float real[convert_limit];
  switch (dtype) {
    case DType::float32:
      for (int64_t i = 0; i < n; i++) real[i] = static_cast<float>(from[i]);
      memcpy(to, real, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::bfloat16:
      // From 2^24 on, float32 itself would round. So this replaces the low 8 bits, of which bfloat16 keeps none, by one
      // bit that tells whether they were 0.
      for (int64_t i = 0; i < n; i++) {
        const int32_t x = from[i], short_of = (x & ~0xff) | ((x & 0xff) != 0 ? 0x80 : 0);
        real[i] = static_cast<float>(x >= (1 << 24) || x <= -(1 << 24) ? short_of : x);
      }
      return simd::narrow_bfloat16(n, static_cast<uint16_t*>(to), real);
    case DType::float16:
      for (int64_t i = 0; i < n; i++) real[i] = static_cast<float>(from[i]);
      return simd::narrow_float16(n, static_cast<uint16_t*>(to), real);
    case DType::int32:
      memcpy(to, from, static_cast<size_t>(n) * sizeof(int32_t));
      return;
    case DType::uint8:
      for (int64_t i = 0; i < n; i++) bytes[i] = static_cast<uint8_t>(from[i]);
      return;
    case DType::boolean:
      for (int64_t i = 0; i < n; i++) bytes[i] = from[i] != 0;
      return;
    default:  // blocks are written elsewhere
      return;
  }
}

}  // namespace firesteel::FIRESTEEL_ISA
