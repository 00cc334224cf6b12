// Further elementary functions of a register of floats: logarithms of other bases, hyperbolic functions, and inverses.
//
// Method and errors are described in math.h. The polynomials of atan, asin and sinh are those of Cephes (S. Moshier,
// 1989), those of erf_inverse of M. Giles, "Approximating the erfinv function" (GPU Computing Gems 2, 2010). The
// largest errors in units in the last place that native/tests/simd.cpp measures at every 61st float, fused / base:
//
//   exp2 1.0 / 1.3, log2 1.8 / 1.8, log10 1.9 / 1.9, tan 3.5 / 3.6, atan 2.8 / 2.8, atan2 3.1 / 2.9, asin 2.4 / 2.4,
//   acos 1.3 / 1.3, sinh 1.6 / 1.6, cosh 1.5 / 1.4, asinh 2.1 / 2.1, acosh 2.5 / 2.5, atanh 2.4 / 2.4, hypot 2.0 / 2.0,
//   erfc 5.7 / 6.4, erf_inverse 3.6 / 3.6
//
// trunc and ceil are exact.
#pragma once
#include "math.h"

namespace firesteel::FIRESTEEL_ISA::simd {

FIRESTEEL_INLINE Vec trunc(Vec x) { return copy_sign(floor(abs(x)), x); }
FIRESTEEL_INLINE Vec ceil(Vec x) { return -floor(-x); }

FIRESTEEL_INLINE Vec exp2(Vec x) {
  const Vec bounded = clamp(x, -151.0f, 129.0f), k = round(bounded);
  const Vec r[] = {bounded - k};
  Vec power[1];
  exp2_tails(r, power);
  return power_of_two(power[0], k);
}

// k times a number in two parts, plus `scale` log(1 + f): a logarithm of another base. Special x give what log gives.
FIRESTEEL_INLINE Vec log_of_base(Vec x, float high, float low, float scale) {
  const auto [k, f] = log_parts(x);
  const Vec y = fma(k, set(high), fma(k, set(low), log_of_fraction(f) * set(scale)));
  return log_at_ends(x, y);
}
FIRESTEEL_INLINE Vec log2(Vec x) { return log_of_base(x, 1.0f, 0.0f, log2_e); }
FIRESTEEL_INLINE Vec log10(Vec x) { return log_of_base(x, 0.30078125f, 2.48745663e-4f, 0.434294482f); }

// sine / cosine of the same turn, or in the next quadrant -cosine / sine.
FIRESTEEL_INLINE Vec tan(Vec x) {
  const Turn turn = reduce_turn(x);
  const Vec r = turn.r, square = r * r;
  const Vec sine = fma(r * square, sine_polynomial(square), r);
  const Vec cosine = fma(square * square, cosine_polynomial(square), fma(square, set(-0.5f), set(1.0f)));
  const Mask even = (turn.quadrant & set_int(1)) == set_int(0);
  const Vec y = select(even, sine, -cosine) / select(even, cosine, sine);
  return large_turns(x, select(x == zero(), x, y), [](float t) { return __builtin_tanf(t); });
}

constexpr float pi = 3.14159265f, half_pi = 1.57079633f, quarter_pi = 0.785398163f;

// Takes a >= 0, or NaN.
FIRESTEEL_INLINE Vec atan_of_size(Vec a) {
  const Vec one = set(1.0f);
  const Mask far = a > set(2.41421356f), middle = a > set(0.414213562f);
  const Vec base = select(far, set(half_pi), select(middle, set(quarter_pi), zero()));
  const Vec t = select(far, -one / a, select(middle, (a - one) / (a + one), a));
  const Vec square = t * t;
  const Vec p = polynomial(square, -0.333329491539f, 0.199777106478f, -0.138776856032f, 0.0805374449538f);
  return base + fma(p * square, t, t);
}
FIRESTEEL_INLINE Vec atan(Vec x) { return copy_sign(atan_of_size(abs(x)), x); }

// The angle of (x, y), which depends on the signs of both, even those of zeros.
FIRESTEEL_INLINE Vec atan2(Vec y, Vec x) {
  const Vec a = abs(y), b = abs(x), infinity = set(INFINITY);
  const Mask steep = a > b;
  Vec ratio = select(steep, b, a) / select(steep, a, b);
  ratio = select((a == zero()) & (b == zero()), zero(), ratio);
  ratio = select((a == infinity) & (b == infinity), set(1.0f), ratio);
  Vec angle = atan_of_size(ratio);
  angle = select(steep, set(half_pi) - angle, angle);
  angle = select(as_int(x) < set_int(0), set(pi) - angle, angle);
  return select((x == x) & (y == y), copy_sign(angle, y), x + y);
}

// asin(r) for 0 <= r <= 1/2.
FIRESTEEL_INLINE Vec asin_near(Vec r) {
  const Vec square = r * r;
  const Vec p = polynomial(square, 0.16666752422f, 0.074953002686f, 0.045470025998f, 0.024181311049f, 0.042163199048f);
  return fma(p * square, r, r);
}
FIRESTEEL_INLINE Vec asin(Vec x) {
  const Vec a = abs(x);
  const Mask far = a > set(0.5f);
  const Vec y = asin_near(select(far, sqrt(fma(a, set(-0.5f), set(0.5f))), a));
  return copy_sign(select(far, set(half_pi) - (y + y), y), x);
}
FIRESTEEL_INLINE Vec acos(Vec x) {
  const Vec a = abs(x);
  const Mask far = a > set(0.5f);
  const Vec y = asin_near(select(far, sqrt(fma(a, set(-0.5f), set(0.5f))), a));
  const Vec near = set(half_pi) - copy_sign(y, x);
  return select(far, select(x < zero(), set(pi) - (y + y), y + y), near);
}

// e^x / 2, finite as long as sinh and cosh are.
FIRESTEEL_INLINE Vec half_exp(Vec x) {
  const ExpParts e = exp_parts(clamp(x, -104.0f, 91.0f));
  return power_of_two(set(1.0f) + e.tail, e.k - set(1.0f));
}
FIRESTEEL_INLINE Vec sinh(Vec x) {
  const Vec a = abs(x), square = x * x, e = half_exp(a);
  const Vec near = fma(x * square, polynomial(square, 0.166666667f, 0.00833333333f, 1.98412698e-4f, 2.75573192e-6f), x);
  return select(a < set(1.0f), near, copy_sign(e - set(0.25f) / e, x));
}
FIRESTEEL_INLINE Vec cosh(Vec x) {
  const Vec e = half_exp(abs(x));
  return e + set(0.25f) / e;
}

constexpr float ln2 = 0.693147181f;
// From here on the inverses of sinh and cosh equal log(2 x) to the last digit, and squares may overflow.
constexpr float far_hyperbolic = 8192.0f;

FIRESTEEL_INLINE Vec asinh(Vec x) {
  const Vec a = abs(x), one = set(1.0f), square = a * a;
  const Vec near = log1p(a + square / (one + sqrt(square + one)));
  return copy_sign(select(a > set(far_hyperbolic), log(a) + set(ln2), near), x);
}
FIRESTEEL_INLINE Vec acosh(Vec x) {
  const Vec t = x - set(1.0f);
  const Vec near = log1p(t + sqrt(t * (t + set(2.0f))));
  const Vec y = select(x > set(far_hyperbolic), log(x) + set(ln2), near);
  return select(x < set(1.0f), set(NAN), y);
}
FIRESTEEL_INLINE Vec atanh(Vec x) {
  const Vec a = abs(x);
  return copy_sign(set(0.5f) * log1p((a + a) / (set(1.0f) - a)), x);
}

// The larger number times sqrt(1 + ratio^2). Infinity beside NaN gives infinity, as in C.
FIRESTEEL_INLINE Vec hypot(Vec x, Vec y) {
  const Vec a = abs(x), b = abs(y), infinity = set(INFINITY);
  const Vec large = max(a, b), ratio = select(large == zero(), zero(), min(a, b) / large);
  const Vec y0 = large * sqrt(fma(ratio, ratio, set(1.0f)));
  return select((a == infinity) | (b == infinity), infinity, y0);
}

// 1 - erf(x) without cancellation, as in `normal`. x^2 is in two parts, so that the tail keeps its digits.
FIRESTEEL_INLINE Vec erfc(Vec x) {
  const Vec one = set(1.0f), a = clamp(abs(x), 0.0f, 11.0f);
  const Vec w = one / fma(a, set(0.55f), one);
  const Vec head = as_float(as_int(a) & set_int(static_cast<int32_t>(0xfffff000u)));
  const Vec e = exp(-(head * head)) * exp(-((a - head) * (a + head)));
  const Vec tail = e * (w * normal_polynomial(one - w));
  return select(x != x, x, select(x < zero(), set(2.0f) - tail, tail));
}

FIRESTEEL_INLINE Vec erf_inverse(Vec x) {
  const Vec one = set(1.0f), a = abs(x);
  const Vec w = -log((one - a) * (one + a));
  const Vec near = polynomial(w - set(2.5f), 1.50140941f, 0.246640727f, -0.00417768164f, -0.00125372503f,
                              0.000218580870f, -4.39150654e-06f, -3.5233877e-06f, 3.43273939e-07f, 2.81022636e-08f);
  const Vec far = polynomial(sqrt(w) - set(3.0f), 2.83297682f, 1.00167406f, 0.00943887047f, -0.0076224613f,
                             0.00573950773f, -0.00367342844f, 0.00134934322f, 0.000100950558f, -0.000200214257f);
  const Vec y = select(w < set(5.0f), near, far) * x;
  return select(a == one, copy_sign(set(INFINITY), x), select(a > one, set(NAN), y));
}

// Computes each lane separately, for functions without a short form for registers.
template <class Function>
FIRESTEEL_INLINE Vec by_lanes(Vec x, Vec y, Function function) {
  float left[lanes], right[lanes];
  store(left, x);
  store(right, y);
  for (int i = 0; i < lanes; i++) left[i] = function(left[i], right[i]);
  return load(left);
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
