// Elementary functions of a register of floats, written once for every instruction set.
//
// Each function reduces the argument to a short interval, evaluates a polynomial there, and puts the result together.
// The polynomials are minimax (Remez, found at 40 digits for the relative error of the function's value, coefficients
// rounded to float32). The errors below, in units in the last place against float64, are the largest that
// native/tests/simd.cpp measures, fused / base:
//
//   exp 1.0 / 1.0, exp_of_weight (from -4 on) 1.5 / 3.5, expm1 1.5 / 1.5, log 0.9 / 0.9, log1p 1.5 / 1.5, tanh 1.5
//   / 1.5, tanh_of_gate 2.7 / 2.7, sigmoid 2.3 / 2.3, erf 1.9 / 2.1, sin and cos 1.6 / 1.6, normal's cdf 5 / 5 (in the
//   lower tail, and for the density, x^2 / 2)
//
// Infinities, NaN, zeros, denormal and huge arguments give what C's functions give.
#pragma once
#include <math.h>

#include "vector.h"

namespace firesteel::FIRESTEEL_ISA::simd {

// c0 + c1 x + c2 x^2 + ...
FIRESTEEL_INLINE Vec polynomial(Vec, float c0) { return set(c0); }
template <class... More>
FIRESTEEL_INLINE Vec polynomial(Vec x, float c0, More... more) {
  return fma(polynomial(x, more...), x, set(c0));
}

// ln 2 in two parts; the first has 9 bits, so that its product with an exponent is exact.
constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;

constexpr float log2_e = 1.44269504f;

// e^r - 1 for |r| <= ln 2 / 2.
FIRESTEEL_INLINE Vec exp_tail(Vec r) {
  Vec p = polynomial(r, 0.49999994f, 0.166665152f, 0.041668456f, 0.00836941879f, 0.00138131483f);
  return fma(r * r, p, r);
}
// The same for r = x - k ln 2.
FIRESTEEL_INLINE Vec exp_tail(Vec x, Vec k) { return exp_tail(fma(k, set(-ln2_low), fma(k, set(-ln2_high), x))); }

// x = k ln 2 + r with whole k; `tail` is e^r - 1.
struct ExpParts {
  Vec k, tail;
};
FIRESTEEL_INLINE ExpParts exp_parts(Vec x) {
  Vec k = round(x * set(log2_e));
  return {k, exp_tail(x, k)};
}

FIRESTEEL_INLINE Vec exp(Vec x) {
  ExpParts e = exp_parts(clamp(x, -104.0f, 89.0f));
  return power_of_two(set(1.0f) + e.tail, e.k);
}

// 2^r for |r| <= 1/2. N registers go step by step, side by side. A single register is a chain of instructions that wait
// for each other, too long for the processor to look far beyond it.
template <int N>
FIRESTEEL_INLINE void exp2_tails(const Vec (&r)[N], Vec (&y)[N]) {
  constexpr float coefficients[] = {0.0013406643f, 0.009617693f, 0.055503104f, 0.24022652f, 0.69314724f, 1.0f};
  for (int i = 0; i < N; i++) y[i] = set(0.00015594678f);
  for (float c : coefficients)
    for (int i = 0; i < N; i++) y[i] = fma(y[i], r[i], set(c));
}

// 2^x = power 2^k, where k is an integer and already in the exponent's place. Adding a large number rounds x to k, and
// leaves k in the lowest bits.
template <int N>
FIRESTEEL_INLINE void exp2_parts(const Vec (&x)[N], Vec (&power)[N], VecI (&shift)[N]) {
  const Vec magic = set(12582912.0f);  // 1.5 * 2^23
  Vec r[N];
  for (int i = 0; i < N; i++) {
    const Vec shifted = x[i] + magic;
    r[i] = x[i] - (shifted - magic);
    shift[i] = shift_left(as_int(shifted), 23);
  }
  exp2_tails(r, power);
}

// x = e^x for x <= 0, as exact as attention needs: 0 below 1.2e-38 (no denormals), and NaN if x is NaN. Only here is x
// multiplied by log2 e. If a large score were multiplied before the maximum is subtracted, it would lose the digits by
// which it differs from others. The relative error grows by 1.4e-8 |x| (base: 6e-8 |x|), because log2 e is rounded.
// This changes a sum of weights in proportion to e^x |x|, which is at most 0.37.
template <int N>
FIRESTEEL_INLINE void exp_of_weights(Vec (&x)[N]) {
  const Vec magic = set(12582912.0f), lowest = set(-87.3365f);  // as in exp2_parts
  Vec shifted[N], r[N], power[N];
  for (int i = 0; i < N; i++) {
    shifted[i] = fma(x[i], set(log2_e), magic);
    r[i] = fma(x[i], set(log2_e), -(shifted[i] - magic));
  }
  exp2_tails(r, power);
  for (int i = 0; i < N; i++)
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
    x[i] = select(x[i] < lowest, zero(), power_of_two(power[i], shifted[i] - magic));
#else
    x[i] =
        select(x[i] >= lowest, as_float(as_int(power[i]) + shift_left(as_int(shifted[i]), 23)), larger(zero(), x[i]));
#endif
}
FIRESTEEL_INLINE Vec exp_of_weight(Vec x) {
  Vec one[] = {x};
  exp_of_weights(one);
  return one[0];
}

// 2^x, to which the caller adds 1. It is as exact as x between 2^-126 and 2^127.5, is 2^-126 below, and infinity above.
FIRESTEEL_INLINE Vec exp2_beside_one(Vec x) {
  const Vec one[] = {clamp(x, -126.0f, 128.0f)};
  Vec power[1];
  VecI shift[1];
  exp2_parts(one, power, shift);
  return as_float(as_int(power[0]) + shift[0]);
}

// e^x - 1 without cancellation: 2^k tail + (2^k - 1), halved so that 2^k stays finite.
FIRESTEEL_INLINE Vec expm1(Vec x) {
  ExpParts e = exp_parts(clamp(x, -30.0f, 89.0f));
  Vec half = power_of_two(set(0.5f), e.k);
  Vec y = fma(half, e.tail, half - set(0.5f));
  return select(x == zero(), x, y + y);
}

// x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), for finite x > 0.
struct LogParts {
  Vec k, f;
};
FIRESTEEL_INLINE LogParts log_parts(Vec x) {
  const VecI root_half = set_int(0x3f3504f3);
  Mask denormal = x < set(1.17549435e-38f);
  VecI distance = as_int(select(denormal, x * set(8388608.0f), x)) - root_half;
  Vec k = to_float(shift_right(distance, 23)) - select(denormal, set(23.0f), zero());
  return {k, as_float((distance & set_int(0x7fffff)) + root_half) - set(1.0f)};
}

// log(1 + f) = f - f^2 / 2 + f^3 p(f), for f as in LogParts.
FIRESTEEL_INLINE Vec log_of_fraction_polynomial(Vec f) {
  return polynomial(f, 0.333333313f, -0.250008196f, 0.200012267f, -0.166233584f, 0.142017603f, -0.13160181f,
                    0.127615646f, -0.0763448626f);
}
FIRESTEEL_INLINE Vec log_of_fraction(Vec f) {
  const Vec square = f * f;
  return f + fma(square, set(-0.5f), square * f * log_of_fraction_polynomial(f));
}
// y, which is the logarithm of a finite x > 0 in any base. The value, for any other x, that logarithms of all bases
// share.
FIRESTEEL_INLINE Vec log_at_ends(Vec x, Vec y) {
  Vec special = select(x == zero(), set(-INFINITY), select(x < zero(), set(NAN), x));
  return select((x > zero()) & (x < set(INFINITY)), y, special);
}

// log x = k ln 2 + log(1 + f).
FIRESTEEL_INLINE Vec log(Vec x) {
  const auto [k, f] = log_parts(x);
  Vec square = f * f;
  Vec low = fma(k, set(ln2_low), square * f * log_of_fraction_polynomial(f));
  return log_at_ends(x, fma(k, set(ln2_high), f + fma(square, set(-0.5f), low)));
}

// log u for u = fl(1 + x), and u's rounding error as a first-order correction.
FIRESTEEL_INLINE Vec log1p(Vec x) {
  const Vec one = set(1.0f);
  Vec u = one + x;
  Vec lost = select(x > one, one - (u - x), x - (u - one));
  Vec correction = select((u > zero()) & (u < set(INFINITY)), lost / u, zero());
  return select(u == one, x, log(u) + correction);
}

// (1 - e^-2a) / (1 + e^-2a) for a = |x|. Near 0, where that cancels, an odd polynomial.
FIRESTEEL_INLINE Vec tanh(Vec x) {
  const Vec one = set(1.0f);
  Vec a = abs(x), square = x * x;
  Vec p = polynomial(square, -0.333332986f, 0.133319244f, -0.0537838303f, 0.0207959693f, -0.00589515595f);
  Vec near = fma(x * square, p, x);
  Vec e = exp(a * set(-2.0f));
  return copy_sign(select(a < set(0.6f), near, (one - e) / (one + e)), x);  // also near 0, because tanh(-0) is -0
}

// e / (e + 2) for e = e^2x - 1. It takes half of tanh's instructions, with a larger error. It is not odd to the last
// bit: -0 gives 0.
FIRESTEEL_INLINE Vec tanh_of_gate(Vec x) {
  const Vec a = clamp(x, -15.0f, 15.0f);
  const ExpParts parts = exp_parts(a + a);
  const Vec power = power_of_two(set(1.0f), parts.k), e = fma(power, parts.tail, power - set(1.0f));
  return e / (e + set(2.0f));
}

FIRESTEEL_INLINE Vec sigmoid(Vec x) {
  const Vec one = set(1.0f);
  return one / (one + exp(-x));
}

// x p(x^2) up to 1. Above, 1 - e^q(x), where q is a polynomial for log erfc. From 4 on this is 1.
FIRESTEEL_INLINE Vec erf(Vec x) {
  const Vec one = set(1.0f);
  Vec a = abs(x), square = x * x;
  Vec near = fma(x,
                 polynomial(square, 0.128379107f, -0.37612626f, 0.112835854f, -0.0268538129f, 0.00518832775f,
                            -0.000801019371f, 7.85386073e-05f),
                 x);
  Vec t = clamp(a, 1.0f, 4.0f);
  Vec q = polynomial(t, -0.000550251338f, -1.12621164f, -0.63965553f, -0.101745345f, 0.0211612843f, -0.00277185137f,
                     0.000167749735f);
  return select(a < one, near, copy_sign(one - exp(q), x));
}

// The normal distribution, for GELU: cdf(x) = P(X <= x) to a small relative error in both tails, and the density.
//   erfc(t) = e^(-t^2) w q(1 - w), w = 1 / (1 + 0.55 t), for t >= 0: one exponential serves both.
struct Normal {
  Vec cdf, density;
};
FIRESTEEL_INLINE Vec normal_polynomial(Vec x) {
  return polynomial(x, 1.0f, -1.0516001f, 0.202653334f, 0.240104407f, 0.0149571653f, -0.110721566f, 0.0648705289f,
                    -0.17769362f, 0.185769483f, -0.0580475405f);
}
FIRESTEEL_INLINE Normal normal(Vec x) {
  const Vec one = set(1.0f);
  Vec w = one / fma(abs(x), set(0.388908730f), one);
  Vec q = normal_polynomial(one - w);
  Vec e = exp(x * x * set(-0.5f));
  Vec tail = set(0.5f) * e * (w * q);
  return {select(x < zero(), tail, one - tail), e * set(0.398942280f)};
}

// x = quadrant pi/2 + r, |r| <= pi/4, in float64: exact enough for |x| <= 2^20, where quadrant times the 33 bits of the
// first part of pi/2 is exact. Other x count as 0.
struct Turn {
  Vec r;
  VecI quadrant;
};
constexpr float largest_turn = 1048576.0f;
FIRESTEEL_INLINE Turn reduce_turn(Vec x) {
  const double high = 0x1.921fb544p+0, low = 0x1.0b4611a626331p-34, two_over_pi = 0x1.45f306dc9c883p-1;
  const double magic = 0x1.8p52;  // adding it rounds to an integer
  float in[lanes], out[lanes];
  int32_t quadrant[lanes];
  store(in, select(abs(x) <= set(largest_turn), x, zero()));
  for (int i = 0; i < lanes; i++) {
    double n = (in[i] * two_over_pi + magic) - magic;
    out[i] = (float)((in[i] - n * high) - n * low);
    quadrant[i] = (int32_t)n;
  }
  return {load(out), load(quadrant)};
}
// sin r = r + r^3 p(r^2), cos r = 1 - r^2 / 2 + r^4 q(r^2).
FIRESTEEL_INLINE Vec sine_polynomial(Vec square) {
  return polynomial(square, -0.166666552f, 0.00833215564f, -0.00019514632f);
}
FIRESTEEL_INLINE Vec cosine_polynomial(Vec square) {
  return polynomial(square, 0.0416666456f, -0.00138873095f, 2.44324128e-05f);
}
// sin(r + quadrant pi/2)
FIRESTEEL_INLINE Vec sin_of_turn(Turn turn) {
  Vec r = turn.r, square = r * r;
  Vec sine = fma(r * square, sine_polynomial(square), r);
  Vec cosine = fma(square * square, cosine_polynomial(square), fma(square, set(-0.5f), set(1.0f)));
  Vec y = select((turn.quadrant & set_int(1)) == set_int(0), sine, cosine);
  return as_float(as_int(y) ^ shift_left(turn.quadrant & set_int(2), 30));
}
// Computes numbers too large for reduce_turn, infinities and NaN one by one.
template <class Function>
FIRESTEEL_INLINE Vec large_turns(Vec x, Vec y, Function function) {
  Mask usual = abs(x) <= set(largest_turn);
  if (!any(~usual)) return y;
  float each[lanes];
  store(each, x);
  for (int i = 0; i < lanes; i++) each[i] = function(each[i]);
  return select(usual, y, load(each));
}
FIRESTEEL_INLINE Vec sin(Vec x) {
  const Vec y = select(x == zero(), x, sin_of_turn(reduce_turn(x)));  // sin(-0) is -0
  return large_turns(x, y, [](float t) { return __builtin_sinf(t); });
}
FIRESTEEL_INLINE Vec cos(Vec x) {
  Turn turn = reduce_turn(x);
  turn.quadrant = turn.quadrant + set_int(1);
  return large_turns(x, sin_of_turn(turn), [](float t) { return __builtin_cosf(t); });
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
