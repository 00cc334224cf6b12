// x^y = 2^(y log2 |x|) of registers of floats, with the sign of an odd power.
//
// y log2 |x| reaches 150, and its error is the result's relative error. So the logarithm is taken in float64, in halves
// of a register: log2 |x| = k + s c(s^2), s = f / (f + 2), for |x| = 2^k (1 + f), where c has a relative error of 4e-12
// (Chebyshev). The product's fraction is small enough for float32 again. The largest error is 1.2 units in the last
// place (native/tests/simd.cpp). Special arguments give what C's powf gives.
#pragma once
#include "doubles.h"
#include "math.h"

namespace firesteel::FIRESTEEL_ISA::simd {

// 2^(y (k + log2(1 + f))) for finite y. A result beyond float32 is infinity or 0.
FIRESTEEL_INLINE Vec exp2_of_product(Vec y, LogParts x) {
  const double magic = 0x1.8p52;  // adding it rounds to an integer
  const Halves ys = widen(y), ks = widen(x.k), fs = widen(x.f);
  Halves whole, fraction;
  for (int half = 0; half < 2; half++) {
    const HalfDoubles f = fs.of[half], s = f / (f + 2.0), u = s * s;
    const HalfDoubles c =
        (((u * 0.3407141233558839 + 0.41167365927226585) * u + 0.577083567685993) * u + 0.9617966734433343) * u +
        2.8853900817899927;
    HalfDoubles t = ys.of[half] * (ks.of[half] + s * c);
    t = t < -160.0 ? HalfDoubles{} - 160.0 : t;
    t = t > 160.0 ? HalfDoubles{} + 160.0 : t;
    whole.of[half] = (t + magic) - magic;
    fraction.of[half] = (t - whole.of[half]) * 0.6931471805599453;
  }
  return power_of_two(set(1.0f) + exp_tail(narrow(fraction)), narrow(whole));
}

FIRESTEEL_INLINE Vec pow(Vec x, Vec y) {
  const Vec one = set(1.0f), infinity = set(INFINITY), size = abs(x), half = y * set(0.5f);
  const Vec large = select(y > zero(), infinity, zero()), small = select(y > zero(), zero(), infinity);
  const Mask shrinks = size < one;
  Vec power = exp2_of_product(y, log_parts(size));
  power = select(abs(y) == infinity, select(shrinks, small, large), power);
  power = select(size == infinity, large, select(size == zero(), small, power));
  power = select(size == one, one, power);
  // Floats from 2^24 on are even, and infinity counts as even too.
  const Mask whole = floor(y) == y, odd = whole & (floor(half) != half);
  power = select((as_int(x) < set_int(0)) & odd, -power, power);
  power = select((x < zero()) & (x > -infinity) & ~whole, set(NAN), power);
  power = select((x == x) & (y == y), power, x + y);
  return select((y == zero()) | (x == one), one, power);
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
