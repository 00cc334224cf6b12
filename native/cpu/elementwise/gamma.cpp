// The logarithm of the gamma function, and its derivatives: out = f(x). Overwrites out. Elements are computed one by
// one in float64, so arithmetic is the limit. Formulas are those of lib/backend/reference/gamma.ts.
#include "../../generated/kernels.h"
#include "../simd/inverse.h"
#include "driver.h"

namespace firesteel::FIRESTEEL_ISA {

using simd::Vec;

namespace {

constexpr double pi = 3.14159265358979324, eulers_constant = 0.577215664901532861,
                 half_log_of_twice_pi = 0.918938533204672742;
// The even Bernoulli numbers B2, B4, .. B16.
constexpr double bernoulli[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                5.0 / 66, -691.0 / 2730, 7.0 / 6,  -3617.0 / 510};
// From here on, the asymptotic series are exact enough.
constexpr double far = 10;
// (zeta(k) - 1) / k with alternating signs, for k from 2.
constexpr double series[] = {3.22467033424113203e-01,  -6.73523010531981020e-02, 2.05808084277845464e-02,
                             -7.38555102867398568e-03, 2.89051033074152336e-03,  -1.19275391170326102e-03,
                             5.09669524743042450e-04,  -2.23154758453579386e-04, 9.94575127818085310e-05,
                             -4.49262367381331420e-05, 2.05072127756706911e-05,  -9.43948827526839672e-06,
                             4.37486678990748817e-06,  -2.03921575380136619e-06, 9.55141213040741935e-07,
                             -4.49246919876456619e-07, 2.12071848055546646e-07,  -1.00432248239680991e-07};

double reciprocal_power(double x, int64_t power) {
  double result = 1;
  for (double square = 1 / x; power > 0; power /= 2, square *= square)
    if (power % 2 == 1) result *= square;
  return result;
}

// The sum of (q + k)^-s over k from 0, for an integer s > 1 and q >= 0.
double zeta_from(int64_t s, double q) {
  double sum = 0, a = q;
  for (; a < far; a++) sum += reciprocal_power(a, s);
  sum += reciprocal_power(a, s - 1) / double(s - 1) + reciprocal_power(a, s) / 2;
  double factor = double(s) / 2, power = reciprocal_power(a, s + 1);
  for (int j = 0; j < 8; j++) {
    sum += bernoulli[j] * factor * power;
    factor *= double(s + 2 * j + 1) * double(s + 2 * j + 2) / double((2 * j + 3) * (2 * j + 4));
    power /= a * a;
  }
  return sum;
}

// The same for any q; infinite at 0 and at negative integers. The terms below 0 are those of two sums over positive
// numbers.
double zeta(int64_t s, double q) {
  // Adding 0 makes -0 to 0, whose reciprocal is infinity.
  if (!(q < 0)) return zeta_from(s, q + 0.0);
  // PyTorch takes -infinity for a negative integer, but not in the derivative of digamma.
  if (q == -INFINITY) return s > 2 ? INFINITY : NAN;
  if (q > -0.5) return reciprocal_power(q, s) + zeta_from(s, q + 1);
  const double rest = q - __builtin_floor(q);
  const double below = zeta_from(s, 1 - rest) - zeta_from(s, 1 - q);
  return zeta_from(s, rest) + (s % 2 == 0 ? below : -below);
}

double digamma_from(double x) {
  double sum = 0, a = x;
  for (; a < far; a++) sum -= 1 / a;
  const double squared = 1 / (a * a);
  double tail = 0;
  for (int j = 7; j >= 0; j--) tail = squared * (bernoulli[j] / (2 * j + 2) + tail);
  return sum + __builtin_log(a) - 0.5 / a - tail;
}

double digamma_of(double x) {
  if (x == 0) return __builtin_copysign(INFINITY, -x);
  if (!(x < 0)) return digamma_from(x);
  if (x > -0.5) return digamma_from(1 + x) - 1 / x;
  const double rest = x - __builtin_floor(x);
  return rest > 0 ? digamma_from(1 - x) - pi / __builtin_tan(pi * rest) : NAN;
}

double polygamma_of(double x, int64_t order) {
  double factor = order % 2 == 0 ? -1 : 1;
  for (int64_t k = 2; k <= order && k <= 200; k++) factor *= double(k);
  return factor * zeta(order + 1, x);
}

// The result for 2 + z, |z| <= 1/2, which is exact near z = 0.
double log_gamma_near_two(double z) {
  double sum = 0;
  for (int i = int(sizeof series / sizeof *series) - 1; i >= 0; i--) sum = z * (sum + series[i]);
  return z * (1 - eulers_constant + sum);
}

double log_gamma_from(double x) {
  if (x < 0.5) return log_gamma_near_two(x) - __builtin_log1p(x) - __builtin_log(x);
  if (x < 1.5) return log_gamma_near_two(x - 1) - __builtin_log1p(x - 1);
  if (x < far) {
    double product = 1, a = x;
    for (; a > 2.5; a--) product *= a - 1;
    return log_gamma_near_two(a - 2) + __builtin_log(product);
  }
  const double squared = 1 / (x * x);
  double sum = 0;
  for (int j = 7; j >= 0; j--) sum = squared * sum + bernoulli[j] / ((2 * j + 1) * (2 * j + 2));
  return (x - 0.5) * (__builtin_log(x) - 1) - 0.5 + half_log_of_twice_pi + sum / x;
}

double log_gamma(double x) {
  if (__builtin_fabs(x) == INFINITY) return INFINITY;
  if (!(x <= 0)) return log_gamma_from(x);
  const double rest = x - __builtin_floor(x);
  if (rest == 0) return INFINITY;
  if (x > -0.5) return log_gamma_from(1 + x) - __builtin_log(-x);
  return __builtin_log(pi / __builtin_sin(pi * rest)) - log_gamma_from(1 - x);
}

template <class F>
void map_doubles(Context& context, const View& out, const View& x, const F& f) {
  map_unary<float>(context, out, x, [f](Vec v) {
    return simd::by_lanes(v, v, [f](float element, float) { return float(f(double(element))); });
  });
}

}  // namespace

void lgamma(Context& context, const View& out, const View& x) {
  map_doubles(context, out, x, [](double v) { return log_gamma(v); });
}
void digamma(Context& context, const View& out, const View& x) {
  map_doubles(context, out, x, [](double v) { return digamma_of(v); });
}
void polygamma(Context& context, const View& out, const View& x, double order) {
  if (!expect(context, order >= 1 && order < 1e9, "polygamma: the order is not a whole number from 1 on")) return;
  map_doubles(context, out, x, [order](double v) { return polygamma_of(v, int64_t(order)); });
}

}  // namespace firesteel::FIRESTEEL_ISA
