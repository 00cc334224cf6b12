// Elementary functions beyond those of arithmetic.cpp: out = f(x), out = f(a, b). Overwrites out. The limit is memory
// for short functions, and arithmetic for inverses, fmod and remainder.
#include "../../generated/kernels.h"
#include "../simd/inverse.h"
#include "driver.h"

namespace firesteel::FIRESTEEL_ISA {

using simd::select;
using simd::set;
using simd::Vec;
using simd::VecI;

void expm1(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::expm1(v); });
}
void exp2(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::exp2(v); });
}
void log2(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::log2(v); });
}
void log10(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::log10(v); });
}
void tan(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::tan(v); });
}
void asin(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::asin(v); });
}
void acos(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::acos(v); });
}
void atan(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::atan(v); });
}
void sinh(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::sinh(v); });
}
void cosh(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::cosh(v); });
}
void asinh(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::asinh(v); });
}
void acosh(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::acosh(v); });
}
void atanh(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::atanh(v); });
}
void erfc(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::erfc(v); });
}
void erfinv(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::erf_inverse(v); });
}

// Integers stay as they are.
namespace {

template <class Round>
void map_rounding(Context& context, const View& out, const View& x, const Round& round) {
  if (out.dtype == DType::int32) return map_unary<int32_t>(context, out, x, [](VecI v) { return v; });
  map_unary<float>(context, out, x, round);
}

}  // namespace

void floor(Context& context, const View& out, const View& x) {
  map_rounding(context, out, x, [](Vec v) { return simd::floor(v); });
}
void ceil(Context& context, const View& out, const View& x) {
  map_rounding(context, out, x, [](Vec v) { return simd::ceil(v); });
}
void trunc(Context& context, const View& out, const View& x) {
  map_rounding(context, out, x, [](Vec v) { return simd::trunc(v); });
}
void round(Context& context, const View& out, const View& x) {
  map_rounding(context, out, x, [](Vec v) { return simd::round(v); });
}

void atan2(Context& context, const View& out, const View& a, const View& b) {
  map_binary<float>(context, out, a, b, [](Vec y, Vec x) { return simd::atan2(y, x); });
}
void hypot(Context& context, const View& out, const View& a, const View& b) {
  map_binary<float>(context, out, a, b, [](Vec x, Vec y) { return simd::hypot(x, y); });
}
void copysign(Context& context, const View& out, const View& a, const View& b) {
  map_binary<float>(context, out, a, b, [](Vec x, Vec y) { return simd::copy_sign(x, y); });
}

// Quotients and remainders
// ---------------------------------------------------------------------------------------------------

namespace {

float remainder_of(float a, float b) {
  const float r = __builtin_fmodf(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// The floor of the exact quotient. a / b itself may round up to the next integer, so rounding it down would be wrong.
float floor_of_quotient(float a, float b) {
  if (b == 0) return a / b;
  const float r = __builtin_fmodf(a, b);
  float quotient = (a - r) / b;
  if (r != 0 && (b < 0) != (r < 0)) quotient -= 1;
  if (quotient == 0) return __builtin_copysignf(0, a / b);
  const float whole = __builtin_floorf(quotient);
  return quotient - whole > 0.5f ? whole + 1 : whole;
}

// The least int32 by -1 wraps around.
struct Division {
  int32_t quotient, rest;
};
Division divide(int32_t a, int32_t b) {
  if (b == -1) return {static_cast<int32_t>(0u - static_cast<uint32_t>(a)), 0};
  return {a / b, a % b};
}
bool rounds_down(Division d, int32_t b) { return d.rest != 0 && (d.rest < 0) != (b < 0); }

// out = op(a, b) of int32. A divisor of 0 is an error of the call, which only the data can show.
template <class Op>
void map_division(Context& context, const View& out, const View& a, const View& b, const Op& op) {
  each<int32_t, int32_t, int32_t>(context, out, a, b, [&](int64_t n, int32_t* o, const int32_t* x, const int32_t* y) {
    for (int64_t i = 0; i < n; i++) {
      if (y[i] == 0)
        record_error(context, ErrorCode::value,
                     "an int32 is divided by 0; convert the tensors to float32, which has infinities and NaN");
      o[i] = y[i] == 0 ? 0 : op(x[i], y[i]);
    }
  });
}

}  // namespace

void fmod(Context& context, const View& out, const View& a, const View& b) {
  if (out.dtype == DType::int32)
    return map_division(context, out, a, b, [](int32_t x, int32_t y) { return divide(x, y).rest; });
  map_binary<float>(context, out, a, b, [](Vec x, Vec y) {
    return simd::by_lanes(x, y, [](float p, float q) { return __builtin_fmodf(p, q); });
  });
}

void remainder(Context& context, const View& out, const View& a, const View& b) {
  if (out.dtype == DType::int32)
    return map_division(context, out, a, b, [](int32_t x, int32_t y) {
      const Division d = divide(x, y);
      return rounds_down(d, y) ? d.rest + y : d.rest;
    });
  map_binary<float>(context, out, a, b, [](Vec x, Vec y) { return simd::by_lanes(x, y, remainder_of); });
}

void quotient(Context& context, const View& out, const View& a, const View& b, bool floors) {
  if (out.dtype == DType::int32)
    return map_division(context, out, a, b, [floors](int32_t x, int32_t y) {
      const Division d = divide(x, y);
      return floors && rounds_down(d, y) ? d.quotient - 1 : d.quotient;
    });
  if (floors)
    return map_binary<float>(context, out, a, b, [](Vec x, Vec y) { return simd::by_lanes(x, y, floor_of_quotient); });
  map_binary<float>(context, out, a, b, [](Vec x, Vec y) { return simd::trunc(x / y); });
}

}  // namespace firesteel::FIRESTEEL_ISA
