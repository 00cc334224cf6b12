// Elementwise arithmetic: out = a op b, and functions of one number. int32 wraps around. Overwrites out. Memory is the
// limit, at 12 bytes an element with two inputs and 8 with one.
#include "../../generated/kernels.h"
#include "../simd/pow.h"
#include "driver.h"

namespace firesteel::FIRESTEEL_ISA {

using simd::select;
using simd::set;
using simd::set_int;
using simd::Vec;
using simd::VecI;

namespace {

// An option of an int32 kernel. Dispatch has checked that it is an integer. Infinities become the nearest int32.
int32_t whole(double x) {
  if (x >= 2147483647.0) return INT32_MAX;
  return x > -2147483648.0 ? static_cast<int32_t>(x) : INT32_MIN;
}

// A power by squaring. Negative exponents give reciprocals, truncated to integers.
int32_t whole_power(int32_t base, int32_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  uint32_t power = 1, square = static_cast<uint32_t>(base);
  for (uint32_t rest = static_cast<uint32_t>(exponent); rest > 0; rest /= 2, square *= square)
    if (rest % 2 == 1) power *= square;
  return static_cast<int32_t>(power);
}

Vec sign_of(Vec x) { return select(x > set(0.0f), set(1.0f), select(x < set(0.0f), set(-1.0f), set(0.0f))); }
VecI sign_of(VecI x) { return select(x > set_int(0), set_int(1), select(x < set_int(0), set_int(-1), set_int(0))); }
VecI negated(VecI x) { return set_int(0) - x; }
Vec negated(Vec x) { return -x; }
VecI absolute(VecI x) { return simd::max(x, negated(x)); }
Vec absolute(Vec x) { return simd::abs(x); }

}  // namespace

void add(Context& context, const View& out, const View& a, const View& b) {
  map_binary_numeric(context, out, a, b, [](auto x, auto y) { return x + y; });
}
void sub(Context& context, const View& out, const View& a, const View& b) {
  map_binary_numeric(context, out, a, b, [](auto x, auto y) { return x - y; });
}
void mul(Context& context, const View& out, const View& a, const View& b) {
  map_binary_numeric(context, out, a, b, [](auto x, auto y) { return x * y; });
}
void div(Context& context, const View& out, const View& a, const View& b) {
  map_binary<float>(context, out, a, b, [](Vec x, Vec y) { return x / y; });
}
void maximum(Context& context, const View& out, const View& a, const View& b) {
  map_binary_numeric(context, out, a, b, [](auto x, auto y) { return simd::max(x, y); });
}
void minimum(Context& context, const View& out, const View& a, const View& b) {
  map_binary_numeric(context, out, a, b, [](auto x, auto y) { return simd::min(x, y); });
}

void pow(Context& context, const View& out, const View& a, const View& b) {
  if (out.dtype == DType::int32)
    return each<int32_t, int32_t, int32_t>(context, out, a, b,
                                           [](int64_t n, int32_t* o, const int32_t* x, const int32_t* y) {
                                             for (int64_t i = 0; i < n; i++) o[i] = whole_power(x[i], y[i]);
                                           });
  map_binary<float>(context, out, a, b, [](Vec x, Vec y) { return simd::pow(x, y); });
}

void pow_scalar(Context& context, const View& out, const View& x, double exponent) {
  if (out.dtype == DType::int32) {
    const int32_t power = whole(exponent);
    return each<int32_t, int32_t>(context, out, x, [power](int64_t n, int32_t* o, const int32_t* v) {
      for (int64_t i = 0; i < n; i++) o[i] = whole_power(v[i], power);
    });
  }
  if (exponent == 2) return square(context, out, x);
  if (exponent == 3) return map_unary<float>(context, out, x, [](Vec v) { return v * v * v; });
  if (exponent == -1) return reciprocal(context, out, x);
  // Roots of -0 and of -infinity are those of sqrt, as in PyTorch.
  if (exponent == 0.5) return sqrt(context, out, x);
  if (exponent == -0.5) return rsqrt(context, out, x);
  const Vec e = set(static_cast<float>(exponent));
  map_unary<float>(context, out, x, [e](Vec v) { return simd::pow(v, e); });
}

void affine(Context& context, const View& out, const View& x, double scale, double shift) {
  if (out.dtype == DType::int32) {
    const VecI a = set_int(whole(scale)), b = set_int(whole(shift));
    return map_unary<int32_t>(context, out, x, [=](VecI v) { return v * a + b; });
  }
  const Vec a = set(static_cast<float>(scale)), b = set(static_cast<float>(shift));
  // A product has the shift -0. Neither adding it nor multiplying by 1 costs anything beside the memory traffic.
  map_unary<float>(context, out, x, [=](Vec v) { return v * a + b; });
}

void clamp(Context& context, const View& out, const View& x, double min, double max) {
  if (out.dtype == DType::int32) {
    const VecI low = set_int(whole(min)), high = set_int(whole(max));
    return map_unary<int32_t>(context, out, x, [=](VecI v) { return simd::min(simd::max(v, low), high); });
  }
  const Vec low = set(static_cast<float>(min)), high = set(static_cast<float>(max));
  // Of two zeros, the second one is taken, which is the element.
  map_unary<float>(context, out, x, [=](Vec v) { return simd::min(high, simd::max(low, v)); });
}
void clamp_backward(Context& context, const View& dx, const View& dy, const View& x, double min, double max) {
  const Vec low = set(static_cast<float>(min)), high = set(static_cast<float>(max));
  map_binary<float>(context, dx, dy, x,
                    [=](Vec d, Vec v) { return select((v >= low) & (v <= high), d, simd::zero()); });
}

void neg(Context& context, const View& out, const View& x) {
  map_unary_numeric(context, out, x, [](auto v) { return negated(v); });
}
void abs(Context& context, const View& out, const View& x) {
  map_unary_numeric(context, out, x, [](auto v) { return absolute(v); });
}
void sign(Context& context, const View& out, const View& x) {
  map_unary_numeric(context, out, x, [](auto v) { return sign_of(v); });
}
void square(Context& context, const View& out, const View& x) {
  map_unary_numeric(context, out, x, [](auto v) { return v * v; });
}
void exp(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::exp(v); });
}
void log(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::log(v); });
}
void log1p(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::log1p(v); });
}
void sqrt(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::sqrt(v); });
}
void rsqrt(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return set(1.0f) / simd::sqrt(v); });
}
void reciprocal(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return set(1.0f) / v; });
}
void sin(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::sin(v); });
}
void cos(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::cos(v); });
}
void tanh(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::tanh(v); });
}
void erf(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::erf(v); });
}
void sigmoid(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return simd::sigmoid(v); });
}

}  // namespace firesteel::FIRESTEEL_ISA
