// The logarithm of the gamma function, and its derivatives, in float64. Formulas are those of
// lib/backend/reference/gamma.ts.
#pragma once
#include "gpu.h"

namespace gamma_function {

constexpr double pi = 3.14159265358979324, infinity = __builtin_huge_val();
constexpr int terms = 8;

// The sine and the cosine of pi times a number from 0 to 1. CUDA's sin and tan keep a table on the stack for large
// numbers.
#ifdef __CUDACC__
DEVICE double sine_of_pi_times(double x) { return sinpi(x); }
DEVICE double cosine_of_pi_times(double x) { return cospi(x); }
#else
DEVICE double sine_of_pi_times(double x) { return sin(pi * x); }
DEVICE double cosine_of_pi_times(double x) { return cos(pi * x); }
#endif

// The even Bernoulli number B2, B4, .. B16 of an index from 0.
DEVICE double bernoulli(int j) {
  constexpr double numbers[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                5.0 / 66, -691.0 / 2730, 7.0 / 6,  -3617.0 / 510};
  return numbers[j];
}
// From here on, the asymptotic series are exact enough.
constexpr double far = 10;

DEVICE double reciprocal_power(double x, int64_t power) {
  double result = 1;
  for (double square = 1 / x; power > 0; power /= 2, square *= square)
    if (power % 2 == 1) result *= square;
  return result;
}

// The sum of (q + k)^-s over k from 0, for an integer s > 1 and q >= 0.
DEVICE double zeta_from(int64_t s, double q) {
  double sum = 0, a = q;
  for (; a < far; a++) sum += reciprocal_power(a, s);
  sum += reciprocal_power(a, s - 1) / double(s - 1) + reciprocal_power(a, s) / 2;
  double factor = double(s) / 2, power = reciprocal_power(a, s + 1);
  for (int j = 0; j < terms; j++) {
    sum += bernoulli(j) * factor * power;
    factor *= double(s + 2 * j + 1) * double(s + 2 * j + 2) / double((2 * j + 3) * (2 * j + 4));
    power /= a * a;
  }
  return sum;
}

// The same for any q; infinite at 0 and at negative integers. The terms below 0 are those of two sums over positive
// numbers.
DEVICE double zeta(int64_t s, double q) {
  // Adding 0 makes -0 to 0, whose reciprocal is infinity.
  const bool is_near = q < 0 && q > -0.5, is_below = q <= -0.5;
  const double rest = q - floor(q);
  const double first = is_below ? rest : is_near ? q + 1 : q + 0.0;
  double sum = is_near ? reciprocal_power(q, s) : 0, below = 0;
  // One place of the code for all sums, because three are too many for the registers.
#pragma unroll 1
  for (int i = is_below ? 2 : 0; i >= 0; i--) {
    const double part = zeta_from(s, i == 2 ? 1 - rest : i == 1 ? 1 - q : first);
    if (i == 0)
      sum += part;
    else
      below += i == 2 ? part : -part;
  }
  return sum + (s % 2 == 0 ? below : -below);
}

DEVICE double digamma_from(double x) {
  double sum = 0, a = x;
  for (; a < far; a++) sum -= 1 / a;
  const double squared = 1 / (a * a);
  double tail = 0;
  for (int j = terms - 1; j >= 0; j--) tail = squared * (bernoulli(j) / (2 * j + 2) + tail);
  return sum + log(a) - 0.5 / a - tail;
}

DEVICE float digamma(float element) {
  const double x = element;
  if (x == 0) return copysignf(float(infinity), -element);
  if (!(x < 0)) return float(digamma_from(x));
  if (x > -0.5) return float(digamma_from(1 + x) - 1 / x);
  const double rest = x - floor(x);
  // At an integer, and at -infinity, there is none.
  return rest > 0 ? float(digamma_from(1 - x) - pi * cosine_of_pi_times(rest) / sine_of_pi_times(rest))
                  : float_of(0x7fc00000);
}

DEVICE float polygamma(float x, float order) {
  const int64_t n = int64_t(order);
  double factor = n % 2 == 0 ? -1 : 1;
  for (int64_t k = 2; k <= n && k <= 200; k++) factor *= double(k);
  // PyTorch takes -infinity for a negative integer, but not in the derivative of digamma.
  return float(factor * zeta(n + 1, n > 1 && x == float(-infinity) ? -1 : x));
}

// The result for 2 + z, |z| <= 1/2, which is exact near z = 0. The numbers are (zeta(k) - 1) / k with alternating
// signs, for k from 2.
DEVICE double log_gamma_near_two(double z) {
  constexpr double series[] = {3.22467033424113203e-01,  -6.73523010531981020e-02, 2.05808084277845464e-02,
                               -7.38555102867398568e-03, 2.89051033074152336e-03,  -1.19275391170326102e-03,
                               5.09669524743042450e-04,  -2.23154758453579386e-04, 9.94575127818085310e-05,
                               -4.49262367381331420e-05, 2.05072127756706911e-05,  -9.43948827526839672e-06,
                               4.37486678990748817e-06,  -2.03921575380136619e-06, 9.55141213040741935e-07,
                               -4.49246919876456619e-07, 2.12071848055546646e-07,  -1.00432248239680991e-07};
  double sum = 0;
  for (int i = int(sizeof series / sizeof *series) - 1; i >= 0; i--) sum = z * (sum + series[i]);
  return z * (1 - 0.577215664901532861 + sum);
}

DEVICE double log_gamma_from(double x) {
  if (x < 0.5) return log_gamma_near_two(x) - log1p(x) - log(x);
  if (x < 1.5) return log_gamma_near_two(x - 1) - log1p(x - 1);
  if (x < far) {
    double product = 1, a = x;
    for (; a > 2.5; a--) product *= a - 1;
    return log_gamma_near_two(a - 2) + log(product);
  }
  const double squared = 1 / (x * x);
  double sum = 0;
  for (int j = terms - 1; j >= 0; j--) sum = squared * sum + bernoulli(j) / ((2 * j + 1) * (2 * j + 2));
  return (x - 0.5) * (log(x) - 1) - 0.5 + 0.918938533204672742 + sum / x;
}

DEVICE float log_gamma(float element) {
  const double x = element;
  if (fabs(x) == infinity) return float(infinity);
  if (!(x <= 0)) return float(log_gamma_from(x));
  const double rest = x - floor(x);
  if (rest == 0) return float(infinity);
  if (x > -0.5) return float(log_gamma_from(1 + x) - log(-x));
  return float(log(pi / sine_of_pi_times(rest)) - log_gamma_from(1 - x));
}

}  // namespace gamma_function
