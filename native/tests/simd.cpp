// The vector layer against C's library in float64: the error of every elementary function over dense samples, its
// results for special arguments, and details of the operations (NaN in max, partial loads, order of reductions). It is
// built once per instruction set with -DFIRESTEEL_ISA=..., runs by itself, and exits with 1 on a failure.
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "../cpu/simd/inverse.h"
#include "../cpu/simd/pow.h"

namespace firesteel::FIRESTEEL_ISA {
namespace {

using namespace simd;

int failures = 0;

void check(bool condition, const char* what, double got, double expected) {
  if (condition) return;
  failures++;
  printf("FAILED %s: got %.9g, expected %.9g\n", what, got, expected);
}

// The distance in units in the last place of the expected float, or 0 if both are NaN or the same infinity.
double ulps(float got, double expected) {
  float nearest = (float)expected;
  if (isnan(nearest) || isnan(got)) return isnan(nearest) && isnan(got) ? 0 : INFINITY;
  if (isinf(nearest) || isinf(got)) return got == nearest ? 0 : INFINITY;
  int exponent;
  frexp(expected, &exponent);
  return fabs(got - expected) / ldexp(1, exponent < -125 ? -149 : exponent - 24);
}

// The same, and a zero must have the right sign too.
double ulps_and_sign(float got, double expected) {
  return got == 0 && expected == 0 && signbit(got) != signbit(expected) ? INFINITY : ulps(got, expected);
}

struct Function {
  const char* name;
  Vec (*vector)(Vec);
  double (*exact)(double);
  double limit;  // in units in the last place
  double low, high;
};

double exact_tanh_of_gate(double x) { return x == 0 ? 0 : ::tanh(x); }
double exact_sigmoid(double x) { return 1 / (1 + ::exp(-x)); }
double exact_cdf(double x) { return 0.5 * ::erfc(-x * M_SQRT1_2); }
double exact_density(double x) { return ::exp(-0.5 * x * x) / ::sqrt(2 * M_PI); }

const Function functions[] = {
    {"exp", [](Vec x) { return exp(x); }, ::exp, 1.5, -105, 90},
    {"expm1", [](Vec x) { return expm1(x); }, ::expm1, 2, -105, 90},
    {"log", [](Vec x) { return log(x); }, ::log, 1.5, 0, FLT_MAX},
    {"log1p", [](Vec x) { return log1p(x); }, ::log1p, 2, -1, FLT_MAX},
    {"tanh", [](Vec x) { return tanh(x); }, ::tanh, 2, -20, 20},
    {"tanh of gate", [](Vec x) { return tanh_of_gate(x); }, exact_tanh_of_gate, 3, -20, 20},
    {"sigmoid", [](Vec x) { return sigmoid(x); }, exact_sigmoid, 3, -87, 120},
    {"erf", [](Vec x) { return erf(x); }, ::erf, 2.5, -10, 10},
    {"sin", [](Vec x) { return sin(x); }, ::sin, 2, -1e7, 1e7},
    {"cos", [](Vec x) { return cos(x); }, ::cos, 2, -1e7, 1e7},
    // The tails of GELU. Rounding x^2/2 to half a unit of 72 (at 12) changes e^(-x^2/2) by up to 64 units.
    {"normal cdf, centre", [](Vec x) { return normal(x).cdf; }, exact_cdf, 6, -1.5, 10},
    {"normal cdf, tail", [](Vec x) { return normal(x).cdf; }, exact_cdf, 80, -12, -1.5},
    {"normal density", [](Vec x) { return normal(x).density; }, exact_density, 80, -12, 12},
    {"exp of weight", [](Vec x) { return exp_of_weight(x); }, ::exp, FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_base ? 4 : 2,
     -4, 0},
    {"exp of weight, tail", [](Vec x) { return exp_of_weight(x); }, ::exp,
     FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_base ? 80 : 25, -87.336f, -4},
};

// The root of erf(y) = x by Halley's method, from an approximation to 3 digits (S. Winitzki, 2008); 1 - |x| is exact.
double exact_erf_inverse(double x) {
  const double a = fabs(x);
  if (!(a > 0 && a < 1)) return a == 1 ? x * INFINITY : a > 1 ? NAN : x;
  const double l = ::log1p(-a * a), c = 2 / (M_PI * 0.147) + l / 2;
  double y = ::sqrt(-l / (c + ::sqrt(c * c - l / 0.147)) / 0.147);
  for (int i = 0; i < 3; i++) {
    const double excess = a < 0.5 ? ::erf(y) - a : (1 - a) - ::erfc(y);
    const double step = excess / (M_2_SQRTPI * ::exp(-y * y));
    y -= step / (1 + y * step);
  }
  return ::copysign(y, x);
}

// The limits of inverse.h, which are the errors found in steps of 61.
const Function further[] = {
    {"exp2", [](Vec x) { return exp2(x); }, ::exp2, 1.5, -152, 130},
    {"log2", [](Vec x) { return log2(x); }, ::log2, 2, 0, FLT_MAX},
    {"log10", [](Vec x) { return log10(x); }, ::log10, 2, 0, FLT_MAX},
    {"tan", [](Vec x) { return tan(x); }, ::tan, 4, -1e7, 1e7},
    {"atan", [](Vec x) { return atan(x); }, ::atan, 3, -FLT_MAX, FLT_MAX},
    {"asin", [](Vec x) { return asin(x); }, ::asin, 2.5, -1, 1},
    {"acos", [](Vec x) { return acos(x); }, ::acos, 1.5, -1, 1},
    {"sinh", [](Vec x) { return sinh(x); }, ::sinh, 2, -91, 91},
    {"cosh", [](Vec x) { return cosh(x); }, ::cosh, 2, -91, 91},
    {"asinh", [](Vec x) { return asinh(x); }, ::asinh, 2.5, -FLT_MAX, FLT_MAX},
    {"acosh", [](Vec x) { return acosh(x); }, ::acosh, 3, 1, FLT_MAX},
    {"atanh", [](Vec x) { return atanh(x); }, ::atanh, 3, -1, 1},
    {"erfc", [](Vec x) { return erfc(x); }, ::erfc, 7, -12, 12},
    {"erf_inverse", [](Vec x) { return erf_inverse(x); }, exact_erf_inverse, 4, -1, 1},
};

float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// Every `step`-th float of either sign within the interval.
void measure(const Function& f, uint32_t step) {
  double worst = 0;
  float where = 0, x[lanes], y[lanes];
  int filled = 0;
  auto flush = [&] {
    store(y, f.vector(load(x)));
    for (int i = 0; i < filled; i++) {
      double error = ulps(y[i], f.exact(x[i]));
      if (error > worst) worst = error, where = x[i];
    }
    filled = 0;
  };
  for (int i = 0; i < lanes; i++) x[i] = 0;
  for (uint64_t sign = 0; sign <= 0x80000000u; sign += 0x80000000u)
    for (uint64_t bits = 0; bits < 0x7f800000u; bits += step) {
      float candidate = from_bits((uint32_t)(bits | sign));
      if (candidate < f.low || candidate > f.high) continue;
      x[filled++] = candidate;
      if (filled == lanes) flush();
    }
  flush();
  printf("%-20s largest error %.3f ulp at %.9g\n", f.name, worst, where);
  check(worst <= f.limit, f.name, worst, f.limit);
}

void special(const Function& f) {
  const float values[] = {0.0f,    -0.0f,    1.0f,   -1.0f,   INFINITY,  -INFINITY,  NAN,   FLT_MAX, -FLT_MAX,
                          FLT_MIN, -FLT_MIN, 1e-45f, -1e-45f, 1e-10f,    -1e-10f,    88.8f, 89.5f,   -103.9f,
                          -104.5f, -88.0f,   -2.0f,  1e30f,   1048577.f, -2097153.f, 0.5f,  -0.5f};
  for (float value : values) {
    float y[lanes];
    store(y, f.vector(set(value)));
    double expected = f.exact(value);
    char text[80];
    snprintf(text, sizeof text, "%s(%.9g)", f.name, value);
    for (int i = 0; i < lanes; i++) check(ulps_and_sign(y[i], expected) <= fmax(3, f.limit), text, y[i], expected);
  }
}

void operations() {
  float a[lanes], b[lanes + 1], got[lanes + 1];
  for (int n = 0; n <= lanes; n++) {
    for (int i = 0; i < lanes; i++) a[i] = (float)(i + 1);
    for (int i = 0; i <= lanes; i++) b[i] = -1;
    Vec part = n < lanes ? load_partial(a, n) : load(a);
    store(got, part);
    for (int i = 0; i < lanes; i++) check(got[i] == (i < n ? a[i] : 0), "load_partial", got[i], i < n ? a[i] : 0);
    if (n < lanes)
      store_partial(b, load(a), n);
    else
      store(b, load(a));
    for (int i = 0; i <= lanes; i++) check(b[i] == (i < n ? a[i] : -1), "store_partial", b[i], i < n ? a[i] : -1);
  }
  float sum = reduce_add(load(a));
  check(sum == lanes * (lanes + 1) / 2, "reduce_add", sum, lanes * (lanes + 1) / 2);
  check(reduce_max(load(a)) == lanes, "reduce_max", reduce_max(load(a)), lanes);
  check(reduce_min(load(a)) == 1, "reduce_min", reduce_min(load(a)), 1);
  for (int i = 0; i < lanes; i++) {
    for (int k = 0; k < lanes; k++) b[k] = (float)k;
    b[i] = NAN;
    check(isnan(reduce_max(load(b))), "reduce_max of NaN", reduce_max(load(b)), NAN);
    check(isnan(reduce_min(load(b))), "reduce_min of NaN", reduce_min(load(b)), NAN);
    store(got, max(load(b), load(a)));
    check(isnan(got[i]), "max(NaN, x)", got[i], NAN);
    store(got, min(load(a), load(b)));
    check(isnan(got[i]), "min(x, NaN)", got[i], NAN);
    store(got, clamp(load(b), 0, 1));
    check(isnan(got[i]), "clamp(NaN)", got[i], NAN);
    check(bits(load(b) != load(b)) == 1 << i, "bits", bits(load(b) != load(b)), 1 << i);
    check(any(load(b) != load(b)) && !any(load(a) != load(a)), "any", 0, 0);
  }
  const float halves[] = {0.5f,       1.5f,  2.5f,   -0.5f, -1.5f,       -2.7f,
                          8388607.5f, 1e20f, -1e20f, -0.0f, 0.49999997f, -INFINITY};
  for (float value : halves) {
    store(got, round(set(value)));
    check(got[0] == rintf(value) && signbit(got[0]) == signbit(value), "round", got[0], rintf(value));
    store(got, floor(set(value)));
    check(got[0] == floorf(value) && signbit(got[0]) == signbit(floorf(value)), "floor", got[0], floorf(value));
    store(got, ceil(set(value)));
    check(got[0] == ceilf(value) && signbit(got[0]) == signbit(ceilf(value)), "ceil", got[0], ceilf(value));
    store(got, trunc(set(value)));
    check(got[0] == truncf(value) && signbit(got[0]) == signbit(truncf(value)), "trunc", got[0], truncf(value));
    if (fabsf(value) > 1e9f) continue;
    int32_t whole[lanes];
    store(whole, round_to_int(set(value)));
    check(whole[0] == (int32_t)rintf(value), "round_to_int", whole[0], rintf(value));
    store(whole, truncate_to_int(set(value)));
    check(whole[0] == (int32_t)value, "truncate_to_int", whole[0], (int32_t)value);
  }
}

// Powers over the whole range of results, including bases of either sign and bases near 1, and every pair of special
// arguments. Zeros must have the right sign too.
void powers() {
  double worst = 0;
  float worst_x = 0, worst_y = 0, got[lanes];
  const auto compare = [&](float x, float y) {
    const double expected = ::pow(double(x), double(y));
    store(got, pow(set(x), set(y)));
    for (int i = 0; i < lanes; i++) {
      const double error = ulps_and_sign(got[i], expected);
      if (!(error <= worst)) worst = error, worst_x = x, worst_y = y;
    }
  };
  const float values[] = {0.0f,   1.0f, 2.0f, 3.0f,  0.5f,       2.5f,       0.99999994f, 1.0000001f, INFINITY,
                          1e-45f, NAN,  7.0f, 1e10f, 16777215.f, 16777216.f, 8388607.5f,  FLT_MIN,    FLT_MAX};
  for (float x : values)
    for (float y : values) compare(x, y), compare(-x, y), compare(x, -y), compare(-x, -y);
  uint32_t state = 1;
  const auto next = [&] { return state = state * 1664525u + 1013904223u; };
  for (int i = 0; i < 300000; i++) {
    const float any = from_bits(next() >> 1), near_one = 1 + 1e-3f * (float(next()) * 0x1p-31f - 1);
    const float x = i % 3 == 0 ? near_one : any, exponent = 160 * (float(next()) * 0x1p-31f - 1);
    const float y = exponent / ::log2f(x);
    if (!(::fabsf(y) < INFINITY)) continue;
    compare(x, y);
    compare(-x, ::rintf(y));
  }
  printf("%-20s largest error %.3f ulp at %.9g to the power %.9g\n", "pow", worst, worst_x, worst_y);
  check(worst <= 1.5, "pow", worst, 1.5);
}

// Functions of two arguments: every pair of special ones, and pairs whose sizes differ by any power of two, mostly by
// little. The limit is in units in the last place.
void pairs(const char* name, Vec (*vector)(Vec, Vec), double (*exact)(double, double), double limit) {
  double worst = 0;
  float worst_x = 0, worst_y = 0, x[lanes] = {}, y[lanes] = {}, got[lanes];
  int filled = 0;
  const auto flush = [&] {
    store(got, vector(load(x), load(y)));
    for (int i = 0; i < filled; i++) {
      const double error = ulps_and_sign(got[i], exact(x[i], y[i]));
      if (error > worst) worst = error, worst_x = x[i], worst_y = y[i];
    }
    filled = 0;
  };
  const auto compare = [&](float a, float b) {
    for (int signs = 0; signs < 4; signs++) {
      x[filled] = signs % 2 ? -a : a, y[filled] = signs / 2 ? -b : b;
      if (++filled == lanes) flush();
    }
  };
  const float values[] = {0.0f,   1.0f,    2.0f,    0.5f,     0.41421357f, 2.4142137f, 0.99999994f, 1.0000001f,
                          1e-45f, FLT_MIN, FLT_MAX, INFINITY, NAN,         1e10f,      1e-10f,      3e38f};
  for (float a : values)
    for (float b : values) compare(a, b);
  uint32_t state = 1;
  const auto next = [&] { return state = state * 1664525u + 1013904223u; };
  for (int i = 0; i < 300000; i++) {
    const float any = from_bits((next() >> 1) % 0x7f800000u), other = from_bits((next() >> 1) % 0x7f800000u);
    const float near = any * ::exp2f(8 * (float(next()) * 0x1p-31f - 1));
    compare(any, i % 4 == 0 || isinf(near) ? other : near);
  }
  flush();
  printf("%-20s largest error %.3f ulp at %.9g, %.9g\n", name, worst, worst_x, worst_y);
  check(worst <= limit, name, worst, limit);
}

}  // namespace

int test(uint32_t step) {
  operations();
  powers();
  pairs(
      "atan2", [](Vec y, Vec x) { return atan2(y, x); }, ::atan2, 3.5);
  pairs(
      "hypot", [](Vec x, Vec y) { return hypot(x, y); }, ::hypot, 2);
  for (const Function& f : functions) measure(f, step);
  for (const Function& f : further) measure(f, step), special(f);
  const float none[] = {-INFINITY, -FLT_MAX, -1e9f, -88.4f};
  for (float value : none) {
    float y[lanes];
    store(y, exp_of_weight(set(value)));
    check(y[0] == 0, "exp_of_weight", y[0], 0);
    store(y, exp_of_weight(set(NAN)));
    check(isnan(y[0]), "exp_of_weight of NaN", y[0], NAN);
  }
  for (int i = 0; i < 10; i++) special(functions[i]);
  if (failures > 0) printf("%d failed\n", failures);
  return failures > 0;
}

}  // namespace firesteel::FIRESTEEL_ISA

int main() { return firesteel::FIRESTEEL_ISA::test(509); }
