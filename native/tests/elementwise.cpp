// Elementwise kernels, element by element, against C's library in float64: every kernel and dtype, all layouts of
// inputs, infinities and NaN, and calls that must be refused. The file is over 600 lines because its tables of
// kernels share the layouts of inputs and the comparison with float64.
//
// A single operation of float32 must be right to the bit. Elementary functions may have the errors that simd.cpp
// allows. A formula made of them may add its own roundings, relative to the terms that it adds.
#include <float.h>

#include "../cpu/elementwise/blocks.h"
#include "../cpu/elementwise/driver.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

// A value in float64, and the largest error that a result may have.
struct Result {
  double value, error;
};
Result exactly(double x) { return {double(float(x)), 0}; }
// `roundings` roundings of the largest term, plus the loss by underflow.
Result within(double x, double roundings, double size) { return {x, roundings * epsilon * fabs(size) + 2e-38}; }
Result within(double x, double roundings) { return within(x, roundings, x); }

bool matches(double got, Result want) {
  // Beyond float32 a result is infinite, and just below that it may be.
  return near(got, want.value, want.error) || near(got, double(float(want.value)), 0) ||
         (isinf(got) && fabs(want.value) * (1 + 100 * epsilon) > double(FLT_MAX) && (got > 0) == (want.value > 0));
}

template <class F>
void check_results(const std::string& what, const Array& out, const F& want) {
  for (int64_t i = 0; i < out.size(); i++) {
    const Result expected = want(i);
    if (matches(out.get(i), expected)) continue;
    char numbers[160];
    snprintf(numbers, sizeof numbers, ": element %lld is %.9g, expected %.9g +- %.3g", (long long)i, out.get(i),
             expected.value, expected.error);
    return check(false, what + numbers);
  }
  check(true, what);
}

// Functions of one number
// -----------------------------------------------------------------------------------------------

struct Unary {
  const char* name;
  void (*kernel)(Context&, const View&, const View&);
  Result (*exact)(double);
  double low = -20, high = 20;  // where it is sampled, besides the special values
};

double sigmoid(double x) { return 1 / (1 + exp(-x)); }
double normal_cdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
double normal_density(double x) { return exp(-0.5 * x * x) / sqrt(2 * M_PI); }
// The argument of the tanh form of GELU, times two, and its derivative.
double gelu_twice(double x) { return 2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }
double gelu_slope(double x) { return 2 * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x); }
double mish_tanh(double x) { return tanh(x > 30 ? x : log1p(exp(x))); }
// Rounding x^2 / 2 makes the tails of GELU less exact (see simd.cpp).
double gelu_roundings(double x) { return x < -1.5 || x > 4 ? 90 : 12; }

// Bisection is slow, but as exact as erf.
double erf_inverse(double x) {
  if (!(fabs(x) < 1)) return fabs(x) == 1 ? x * INFINITY : NAN;
  if (fabs(x) < 1e-9) return x * sqrt(M_PI) / 2;
  double low = 0, high = 6;
  for (int i = 0; i < 80; i++) {
    const double middle = (low + high) / 2;
    (erfc(middle) > 1 - fabs(x) ? low : high) = middle;
  }
  return copysign(low, x);
}
// The derivative of log gamma of an order from 1 on, from a sum of which only a smooth rest is left out.
double polygamma_of(double x, int order) {
  if (x == -INFINITY && order > 2) return order % 2 == 0 ? INFINITY : -INFINITY;
  if (!isfinite(x)) return order > 1 && x > 0 ? 0 : x > 0 ? x : NAN;
  if (order == 1 && x == 0) return copysign(INFINITY, -x);
  if (x <= 0 && floor(x) == x) return order == 1 ? NAN : order % 2 == 0 ? INFINITY : -INFINITY;
  double sum = 0, a = x, factorial = 1;
  for (int k = 2; k < order; k++) factorial *= k;
  const double sign = order % 2 == 0 ? 1 : -1;
  for (int k = 0; k < 20000; k++, a++) sum += sign * factorial * pow(a, -order);
  if (order == 1) return sum + log(a) - 0.5 / a - 1 / (12 * a * a);
  return sum +
         sign * factorial * (pow(a, 1 - order) / (order - 1) + pow(a, -order) / 2 + order * pow(a, -order - 1) / 12);
}
// The results are as Python defines them.
double remainder_of(double a, double b) {
  const double r = fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? double(float(r + b)) : r;
}
double floor_of_quotient(double a, double b) {
  if (b == 0) return a / b;
  const double r = fmod(a, b);
  double q = double(float((a - r) / b));
  if (r != 0 && (b < 0) != (r < 0)) q = double(float(q - 1));
  return q == 0 ? copysign(0, a / b) : nearbyint(q);
}

// The options of the kernels below, as float32 holds them.
constexpr double scale = 1.75, shift = -0.3125, low = -1.5, high = 2.25, beta = 1.25, threshold = 15, alpha = 0.8125,
                 slope = 0.0625;

const Unary unary[] = {
    {"neg", isa::neg, [](double x) { return exactly(-x); }},
    {"abs", isa::abs, [](double x) { return exactly(fabs(x)); }},
    {"sign", isa::sign, [](double x) { return exactly((x > 0) - (x < 0)); }},
    {"square", isa::square, [](double x) { return exactly(x * x); }},
    {"sqrt", isa::sqrt, [](double x) { return exactly(sqrt(x)); }},
    {"rsqrt", isa::rsqrt, [](double x) { return within(1 / sqrt(x), 3); }},
    {"reciprocal", isa::reciprocal, [](double x) { return exactly(1 / x); }},
    {"floor", isa::floor, [](double x) { return exactly(floor(x)); }},
    {"relu", isa::relu, [](double x) { return exactly(x != x || x > 0 ? x : 0); }},
    {"exp", isa::exp, [](double x) { return within(exp(x), 3); }, -90, 90},
    {"log", isa::log, [](double x) { return within(log(x), 3); }, 0, 1e6},
    {"log1p", isa::log1p, [](double x) { return within(log1p(x), 4); }, -1, 100},
    {"sin", isa::sin, [](double x) { return within(sin(x), 4); }, -1e4, 1e4},
    {"cos", isa::cos, [](double x) { return within(cos(x), 4); }, -1e4, 1e4},
    {"tanh", isa::tanh, [](double x) { return within(tanh(x), 4); }},
    {"erf", isa::erf, [](double x) { return within(erf(x), 5); }, -6, 6},
    {"sigmoid", isa::sigmoid, [](double x) { return within(sigmoid(x), 6); }, -80, 80},
    {"silu", isa::silu, [](double x) { return within(x * sigmoid(x), 6); }, -80, 80},
    {"mish", isa::mish, [](double x) { return within(x * mish_tanh(x), 16); }, -80, 80},
    {"hardswish", isa::hardswish, [](double x) { return within(x * fmin(x != x ? x : fmax(x + 3, 0), 6) / 6, 8); }, -5,
     5},
    {"gelu", [](Context& c, const View& out, const View& x) { isa::gelu(c, out, x, false); },
     [](double x) { return within(x * normal_cdf(x), gelu_roundings(x)); }, -11, 11},
    {"gelu by tanh", [](Context& c, const View& out, const View& x) { isa::gelu(c, out, x, true); },
     [](double x) { return within(x * sigmoid(gelu_twice(x)), 10 + 4 * fmin(fabs(gelu_twice(x)), 90)); }, -8, 8},
    {"softplus", [](Context& c, const View& out, const View& x) { isa::softplus(c, out, x, beta, threshold); },
     [](double x) { return within(x * beta > threshold ? x : log1p(exp(x * beta)) / beta, 12 + 2 * fabs(x)); }, -60,
     60},
    {"elu", [](Context& c, const View& out, const View& x) { isa::elu(c, out, x, alpha); },
     [](double x) { return within(x < 0 ? alpha * expm1(x) : x, 6); }},
    {"leaky_relu", [](Context& c, const View& out, const View& x) { isa::leaky_relu(c, out, x, slope); },
     [](double x) { return exactly(x > 0 ? x : x * slope); }},
    {"affine", [](Context& c, const View& out, const View& x) { isa::affine(c, out, x, scale, shift); },
     [](double x) { return within(x * scale + shift, 3, fabs(x * scale) + fabs(shift)); }},
    {"affine with shift 0", [](Context& c, const View& out, const View& x) { isa::affine(c, out, x, scale, 0); },
     [](double x) { return exactly(x * scale + 0.0); }},
    {"affine without shift", [](Context& c, const View& out, const View& x) { isa::affine(c, out, x, scale, -0.0); },
     [](double x) { return exactly(x * scale); }},
    {"clamp", [](Context& c, const View& out, const View& x) { isa::clamp(c, out, x, low, high); },
     [](double x) {
       return exactly(x < low ? low : x > high ? high : x);
     }},
    {"clamp from below", [](Context& c, const View& out, const View& x) { isa::clamp(c, out, x, low, INFINITY); },
     [](double x) { return exactly(x < low ? low : x); }},
    {"ceil", isa::ceil, [](double x) { return exactly(ceil(x)); }},
    {"trunc", isa::trunc, [](double x) { return exactly(trunc(x)); }},
    {"round", isa::round, [](double x) { return exactly(nearbyint(x)); }},
    {"expm1", isa::expm1, [](double x) { return within(expm1(x), 3); }, -90, 90},
    {"exp2", isa::exp2, [](double x) { return within(exp2(x), 4); }, -130, 130},
    {"log2", isa::log2, [](double x) { return within(log2(x), 4); }, 0, 1e6},
    {"log10", isa::log10, [](double x) { return within(log10(x), 4); }, 0, 1e6},
    {"tan", isa::tan, [](double x) { return within(tan(x), 8); }, -1e4, 1e4},
    {"asin", isa::asin, [](double x) { return within(asin(x), 6); }, -1, 1},
    {"acos", isa::acos, [](double x) { return within(acos(x), 6); }, -1, 1},
    {"atan", isa::atan, [](double x) { return within(atan(x), 6); }, -50, 50},
    {"sinh", isa::sinh, [](double x) { return within(sinh(x), 6); }, -90, 90},
    {"cosh", isa::cosh, [](double x) { return within(cosh(x), 6); }, -90, 90},
    {"asinh", isa::asinh, [](double x) { return within(asinh(x), 8); }, -1e4, 1e4},
    {"acosh", isa::acosh, [](double x) { return within(acosh(x), 8); }, 1, 1e4},
    {"atanh", isa::atanh, [](double x) { return within(atanh(x), 8); }, -1, 1},
    {"erfc", isa::erfc, [](double x) { return within(erfc(x), 16); }, -6, 9},
    {"erfinv", isa::erfinv, [](double x) { return within(erf_inverse(x), 12); }, -1, 1},
    {"lgamma", isa::lgamma, [](double x) { return within(lgamma(x), 1, fabs(lgamma(x)) + 1e-6); }, -6, 30},
    {"digamma", isa::digamma, [](double x) { return within(polygamma_of(x, 1), 1, fabs(polygamma_of(x, 1)) + 1e-5); },
     -6, 30},
    {"polygamma 1", [](Context& c, const View& out, const View& x) { isa::polygamma(c, out, x, 1); },
     [](double x) { return within(polygamma_of(x, 2), 2); }, -6, 30},
    {"polygamma 4", [](Context& c, const View& out, const View& x) { isa::polygamma(c, out, x, 4); },
     [](double x) { return within(polygamma_of(x, 5), 2, fabs(polygamma_of(x, 5)) + 1e-3); }, -6, 30},
    {"pow_scalar 2", [](Context& c, const View& out, const View& x) { isa::pow_scalar(c, out, x, 2); },
     [](double x) { return exactly(x * x); }},
    {"pow_scalar 3", [](Context& c, const View& out, const View& x) { isa::pow_scalar(c, out, x, 3); },
     [](double x) { return within(x * x * x, 3); }},
    {"pow_scalar -1", [](Context& c, const View& out, const View& x) { isa::pow_scalar(c, out, x, -1); },
     [](double x) { return exactly(1 / x); }},
    {"pow_scalar 0.5", [](Context& c, const View& out, const View& x) { isa::pow_scalar(c, out, x, 0.5); },
     [](double x) { return exactly(sqrt(x)); }},
    {"pow_scalar -0.5", [](Context& c, const View& out, const View& x) { isa::pow_scalar(c, out, x, -0.5); },
     [](double x) { return within(1 / sqrt(x), 2); }},
    {"pow_scalar 0", [](Context& c, const View& out, const View& x) { isa::pow_scalar(c, out, x, 0); },
     [](double x) { return exactly(pow(x, 0)); }},
    {"pow_scalar -2.5", [](Context& c, const View& out, const View& x) { isa::pow_scalar(c, out, x, -2.5); },
     [](double x) { return within(pow(x, -2.5), 3); }},
};

// Derivatives: dy and x (or y)
// --------------------------------------------------------------------------------------------

struct Binary {
  const char* name;
  void (*kernel)(Context&, const View&, const View&, const View&);
  Result (*exact)(double, double);
  double low = -20, high = 20;
};

const Binary backward[] = {
    {"clamp_backward",
     [](Context& c, const View& dx, const View& dy, const View& x) { isa::clamp_backward(c, dx, dy, x, low, high); },
     [](double d, double x) { return exactly(x >= low && x <= high ? d : 0); }},
    {"relu_backward", isa::relu_backward, [](double d, double x) { return exactly(x <= 0 ? 0 : d); }},
    {"silu_backward", isa::silu_backward,
     [](double d, double x) {
       const double s = sigmoid(x);
       return within(d * s * (1 + x * (1 - s)), 8 + 4 * fmin(fabs(x), 90), d * s * (1 + fabs(x)));
     },
     -80, 80},
    {"mish_backward", isa::mish_backward,
     [](double d, double x) {
       const double t = mish_tanh(x), bend = x * sigmoid(x) * (1 - t * t);
       return within(d * (t + bend), 32, d * (t + fabs(bend)));
     },
     -80, 80},
    {"hardswish_backward", isa::hardswish_backward,
     [](double d, double x) {
       return within(x <= -3 ? 0 : x >= 3 ? d : d * (x / 3 + 0.5), 4, d * (fmin(fabs(x), 3) / 3 + 0.5));
     },
     -5, 5},
    {"gelu_backward",
     [](Context& c, const View& dx, const View& dy, const View& x) { isa::gelu_backward(c, dx, dy, x, false); },
     [](double d, double x) {
       const double bend = x * normal_density(x);
       return within(d * (normal_cdf(x) + bend), gelu_roundings(x), d * (normal_cdf(x) + fabs(bend)));
     },
     -11, 11},
    {"gelu_backward by tanh",
     [](Context& c, const View& dx, const View& dy, const View& x) { isa::gelu_backward(c, dx, dy, x, true); },
     [](double d, double x) {
       const double s = sigmoid(gelu_twice(x)), bend = x * gelu_slope(x);
       return within(d * s * (1 + bend * sigmoid(-gelu_twice(x))), 12 + 4 * fmin(fabs(gelu_twice(x)), 90),
                     d * s * (1 + fabs(bend)));
     },
     -8, 8},
    {"softplus_backward",
     [](Context& c, const View& dx, const View& dy, const View& x) {
       isa::softplus_backward(c, dx, dy, x, beta, threshold);
     },
     [](double d, double x) { return within(x * beta > threshold ? d : d * sigmoid(x * beta), 10 + 2 * fabs(x)); }, -60,
     60},
    {"elu_backward",
     [](Context& c, const View& dx, const View& dy, const View& x) { isa::elu_backward(c, dx, dy, x, alpha); },
     [](double d, double x) { return within(x > 0 ? d : d * alpha * exp(x), 8); }},
    {"leaky_relu_backward",
     [](Context& c, const View& dx, const View& dy, const View& x) { isa::leaky_relu_backward(c, dx, dy, x, slope); },
     [](double d, double x) { return exactly(x > 0 ? d : d * slope); }},
    {"sigmoid_backward", isa::sigmoid_backward, [](double d, double y) { return within(d * (1 - y) * y, 4); }, 0, 1},
    {"tanh_backward", isa::tanh_backward,
     [](double d, double y) { return within(d * (1 - y * y), 3, fabs(d) * (1 + y * y)); }, -1, 1},
};

const Binary binary[] = {
    {"add", isa::add, [](double a, double b) { return exactly(a + b); }},
    {"sub", isa::sub, [](double a, double b) { return exactly(a - b); }},
    {"mul", isa::mul, [](double a, double b) { return exactly(a * b); }},
    {"div", isa::div, [](double a, double b) { return exactly(a / b); }},
    {"maximum", isa::maximum,
     [](double a, double b) {
       return exactly(a != a ? a : b != b ? b : a > b ? a : b);
     }},
    {"minimum", isa::minimum,
     [](double a, double b) {
       return exactly(a != a ? a : b != b ? b : a < b ? a : b);
     }},
    {"pow", isa::pow, [](double a, double b) { return within(pow(a, b), 3); }},
    {"atan2", isa::atan2, [](double a, double b) { return within(atan2(a, b), 8); }},
    {"hypot", isa::hypot, [](double a, double b) { return within(hypot(a, b), 4); }},
    {"copysign", isa::copysign, [](double a, double b) { return exactly(copysign(a, b)); }},
    {"fmod", isa::fmod, [](double a, double b) { return exactly(fmod(a, b)); }},
    {"remainder", isa::remainder, [](double a, double b) { return exactly(remainder_of(a, b)); }},
    {"quotient down",
     [](Context& c, const View& out, const View& a, const View& b) { isa::quotient(c, out, a, b, true); },
     [](double a, double b) { return exactly(floor_of_quotient(a, b)); }},
    {"quotient to 0",
     [](Context& c, const View& out, const View& a, const View& b) { isa::quotient(c, out, a, b, false); },
     [](double a, double b) { return exactly(trunc(double(float(a / b)))); }},
};

// int32, which wraps around.
struct Whole {
  const char* name;
  void (*kernel)(Context&, const View&, const View&, const View&);
  int64_t (*exact)(int64_t, int64_t);
};
const Whole whole[] = {
    {"add", isa::add, [](int64_t a, int64_t b) { return a + b; }},
    {"sub", isa::sub, [](int64_t a, int64_t b) { return a - b; }},
    {"mul", isa::mul, [](int64_t a, int64_t b) { return a * b; }},
    {"maximum", isa::maximum, [](int64_t a, int64_t b) { return a > b ? a : b; }},
    {"minimum", isa::minimum, [](int64_t a, int64_t b) { return a < b ? a : b; }},
    {"bitwise_and", isa::bitwise_and, [](int64_t a, int64_t b) { return a & b; }},
    {"bitwise_or", isa::bitwise_or, [](int64_t a, int64_t b) { return a | b; }},
    {"bitwise_xor", isa::bitwise_xor, [](int64_t a, int64_t b) { return a ^ b; }},
    {"bitwise_left_shift", isa::bitwise_left_shift,
     [](int64_t a, int64_t b) { return b >= 0 && b < 32 ? a * (int64_t(1) << b) : 0; }},
    {"bitwise_right_shift", isa::bitwise_right_shift,
     [](int64_t a, int64_t b) { return a >> (b >= 0 && b < 32 ? b : 31); }},
    {"neg", [](Context& c, const View& out, const View& a, const View&) { isa::neg(c, out, a); },
     [](int64_t a, int64_t) { return -a; }},
    {"abs", [](Context& c, const View& out, const View& a, const View&) { isa::abs(c, out, a); },
     [](int64_t a, int64_t) { return a < 0 ? -a : a; }},
    {"sign", [](Context& c, const View& out, const View& a, const View&) { isa::sign(c, out, a); },
     [](int64_t a, int64_t) { return int64_t(a > 0) - int64_t(a < 0); }},
    {"floor", [](Context& c, const View& out, const View& a, const View&) { isa::floor(c, out, a); },
     [](int64_t a, int64_t) { return a; }},
    {"square", [](Context& c, const View& out, const View& a, const View&) { isa::square(c, out, a); },
     [](int64_t a, int64_t) { return a * a; }},
    {"relu", [](Context& c, const View& out, const View& a, const View&) { isa::relu(c, out, a); },
     [](int64_t a, int64_t) { return a > 0 ? a : 0; }},
    {"affine", [](Context& c, const View& out, const View& a, const View&) { isa::affine(c, out, a, 70001, -9); },
     [](int64_t a, int64_t) { return a * 70001 - 9; }},
    {"clamp", [](Context& c, const View& out, const View& a, const View&) { isa::clamp(c, out, a, -90, 1e300); },
     [](int64_t a, int64_t) { return a < -90 ? -90 : a; }},
};

struct Comparison {
  const char* name;
  void (*kernel)(Context&, const View&, const View&, const View&);
  bool (*exact)(double, double);
};
const Comparison comparisons[] = {
    {"eq", isa::eq, [](double a, double b) { return a == b; }},
    {"ne", isa::ne, [](double a, double b) { return a != b; }},
    {"lt", isa::lt, [](double a, double b) { return a < b; }},
    {"le", isa::le, [](double a, double b) { return a <= b; }},
    {"gt", isa::gt, [](double a, double b) { return a > b; }},
    {"ge", isa::ge, [](double a, double b) { return a >= b; }},
};

const double special[] = {0, -0.0, 1, -1, 3, -3, INFINITY, -INFINITY, NAN, 1e-45, -1e-45, 1e-38, -0.5, 0.5};
constexpr int64_t specials = sizeof special / sizeof *special;

void fill_samples(Array& x, double from, double to, uint32_t seed) {
  Numbers numbers{seed * 977 + 5};
  for (int64_t i = 0; i < x.size(); i++) x.set(i, from + (double(numbers.next()) + 1) / 2 * (to - from));
}

// Every pair of special values, and then samples.
void fill_pairs(Array& a, Array& b, double from, double to) {
  fill_samples(a, -3, 3, 1);
  fill_samples(b, from, to, 2);
  for (int64_t i = 0; i < specials * specials && i < a.size(); i++) {
    a.set(i, special[i / specials]);
    b.set(i, special[i % specials]);
  }
}

void test_functions() {
  for (const Unary& f : unary)
    for (Layout layout : {Layout::dense, Layout::sliced}) {
      Array x({3, 117}, DType::float32, layout), out({3, 117}, DType::float32);
      fill_samples(x, f.low, f.high, 3);
      for (int64_t i = 0; i < specials; i++) x.set(i, special[i]);
      run(f.name, out, [&](Context& c) { f.kernel(c, out.view, x.view); });
      check_results(f.name, out, [&](int64_t i) { return f.exact(x.get(i)); });
    }
  const auto two = [](const Binary& f) {
    for (Layout layout : {Layout::dense, Layout::transposed}) {
      Array a({17, 31}, DType::float32, layout), b({17, 31}, DType::float32), out({17, 31}, DType::float32);
      fill_pairs(a, b, f.low, f.high);
      run(f.name, out, [&](Context& c) { f.kernel(c, out.view, a.view, b.view); });
      check_results(f.name, out, [&](int64_t i) { return f.exact(a.get(i), b.get(i)); });
    }
  };
  for (const Binary& f : backward) two(f);
  for (const Binary& f : binary) two(f);
}

// bfloat16 is float32, widened before and rounded after.
void test_halves() {
  const auto check_halves = [](const std::string& name, const Sizes& sizes, Layout layout, double low, double high,
                               const auto& kernel) {
    const std::string what = name + " of bfloat16 " + text(sizes) + " layout " + std::to_string(int(layout));
    Array a(sizes, DType::bfloat16, layout), b(sizes, DType::bfloat16), out(sizes, DType::bfloat16);
    Array wide_a(sizes, DType::float32), wide_b(sizes, DType::float32), exact(sizes, DType::float32);
    fill_pairs(a, b, low, high);
    for (int64_t i = 0; i < a.size(); i++) wide_a.set(i, a.get(i)), wide_b.set(i, b.get(i));
    run(what, exact, [&](Context& c) { kernel(c, exact.view, wide_a.view, wide_b.view); });
    run(what, out, [&](Context& c) { kernel(c, out.view, a.view, b.view); });
    check_equal(what, out, [&](int64_t i) { return as_dtype(DType::bfloat16, exact.get(i)); });
  };
  for (const Unary& f : unary)
    check_halves(f.name, {37, 31}, Layout::transposed, f.low, f.high,
                 [&](Context& c, const View& out, const View&, const View& b) { f.kernel(c, out, b); });
  for (const Binary& f : backward) check_halves(f.name, {37, 31}, Layout::sliced, f.low, f.high, f.kernel);
  for (const Binary& f : binary) check_halves(f.name, {37, 31}, Layout::flipped, f.low, f.high, f.kernel);
  for (const Sizes& sizes : {Sizes{}, Sizes{0}, Sizes{1}, Sizes{511}, Sizes{513}, Sizes{2, 3, 4, 5}, Sizes{70001},
                             Sizes{301, 257}, Sizes{4099, 2049}})
    for (Layout layout : {Layout::dense, Layout::rotated, Layout::repeated, Layout::uniform})
      if (layout == Layout::dense || sizes != Sizes{4099, 2049})  // large sizes once, written past the caches
        check_halves("mul", sizes, layout, -3, 3, isa::mul);
}

// Divisors of both signs, with the least int32 by -1 among them. A divisor of 0 is reported.
void test_division() {
  struct Division {
    const char* name;
    void (*kernel)(Context&, const View&, const View&, const View&);
    int64_t (*exact)(int64_t, int64_t);
  };
  const auto floored = [](int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); };
  static const auto down = floored;
  const Division divisions[] = {
      {"fmod", isa::fmod, [](int64_t a, int64_t b) { return a % b; }},
      {"remainder", isa::remainder, [](int64_t a, int64_t b) { return a - b * down(a, b); }},
      {"quotient down",
       [](Context& c, const View& out, const View& a, const View& b) { isa::quotient(c, out, a, b, true); },
       [](int64_t a, int64_t b) { return down(a, b); }},
      {"quotient to 0",
       [](Context& c, const View& out, const View& a, const View& b) { isa::quotient(c, out, a, b, false); },
       [](int64_t a, int64_t b) { return a / b; }},
  };
  const double numbers[] = {1, -1, 2147483647, -2147483648.0, 3, -7, 46341, 12};
  for (const Division& f : divisions) {
    Array a({8, 8}, DType::int32), b({8, 8}, DType::int32, Layout::flipped), out({8, 8}, DType::int32);
    for (int64_t i = 0; i < 64; i++) a.set(i, numbers[i / 8]), b.set(i, numbers[i % 8]);
    const std::string what = std::string(f.name) + " of int32";
    run(what, out, [&](Context& c) { f.kernel(c, out.view, a.view, b.view); });
    check_equal(what, out,
                [&](int64_t i) { return int32_t(uint32_t(uint64_t(f.exact(int64_t(a.get(i)), int64_t(b.get(i)))))); });
    b.set(5, 0);
    const auto error = error_of([&](Context& c) { f.kernel(c, out.view, a.view, b.view); });
    check(error.code == ErrorCode::value, what + " by 0: not told");
  }
  Array base({3}, DType::int32), exponent({3}, DType::int32), out({3}, DType::int32);
  const double bases[] = {3, -1, 2}, exponents[] = {21, -3, -1}, powers[] = {1870418611, -1, 0};
  for (int64_t i = 0; i < 3; i++) base.set(i, bases[i]), exponent.set(i, exponents[i]);
  run("pow of int32", out, [&](Context& c) { isa::pow(c, out.view, base.view, exponent.view); });
  check_equal("pow of int32", out, [&](int64_t i) { return powers[i]; });
  run("pow_scalar of int32", out, [&](Context& c) { isa::pow_scalar(c, out.view, base.view, 5); });
  check_equal("pow_scalar of int32", out, [&](int64_t i) { return pow(bases[i], 5); });
}

int32_t wrap(int64_t x) { return int32_t(uint32_t(uint64_t(x))); }

void test_integers() {
  const double extreme[] = {0, 1, -1, 2147483647, -2147483648.0, 46341, -90};
  for (const Whole& f : whole)
    for (Layout layout : {Layout::dense, Layout::flipped}) {
      Array a({11, 13}, DType::int32, layout), b({11, 13}, DType::int32), out({11, 13}, DType::int32);
      randomise(a, 1);
      randomise(b, 2);
      for (int64_t i = 0; i < 49; i++) a.set(i, extreme[i / 7]), b.set(i, extreme[i % 7]);
      const std::string what = std::string(f.name) + " of int32";
      run(what, out, [&](Context& c) { f.kernel(c, out.view, a.view, b.view); });
      check_equal(what, out, [&](int64_t i) { return wrap(f.exact(int64_t(a.get(i)), int64_t(b.get(i)))); });
    }
}

void test_comparisons() {
  for (DType dtype : all_dtypes)
    for (const Comparison& f : comparisons)
      for (Layout layout : {Layout::dense, Layout::rotated, Layout::repeated}) {
        Array a({7, 5, 9}, dtype, layout), b({7, 5, 9}, dtype), out({7, 5, 9}, DType::boolean);
        randomise(a, 4);
        randomise(b, 5);
        for (int64_t i = 0; i < a.size(); i += 3) b.set(i, a.get(i));
        if (is_float(dtype))
          for (int64_t i = 0; i < specials * specials && i < b.size(); i++) {
            a.set(i, special[i / specials]);
            b.set(i, special[i % specials]);
          }
        const std::string what = std::string(f.name) + " of " + name(dtype);
        run(what, out, [&](Context& c) { f.kernel(c, out.view, a.view, b.view); });
        check_equal(what, out, [&](int64_t i) { return f.exact(a.get(i), b.get(i)); });
      }
}

// How inputs lie in memory
// -------------------------------------------------------------------------------------------------

const Sizes shapes[] = {{},
                        {0},
                        {1},
                        {7},
                        {8},
                        {9},
                        {33},
                        {1023},
                        {1025},
                        {3, 5},
                        {31, 33},
                        {2, 3, 4, 5},
                        {0, 3},
                        {5, 0},
                        {4, 300},
                        {300, 3},
                        {1, 7, 1},
                        {17, 513},
                        {5, 1, 6, 1, 7},
                        {40, 40},
                        {2, 1, 2, 1, 2, 1, 2, 3}};

void test_layouts() {
  for (const Sizes& sizes : shapes)
    for (Layout left : all_layouts)
      for (Layout right : all_layouts) {
        const std::string what =
            "add of " + text(sizes) + " layouts " + std::to_string(int(left)) + std::to_string(int(right));
        Array a(sizes, DType::float32, left), b(sizes, DType::float32, right), out(sizes, DType::float32);
        randomise(a, 6);
        randomise(b, 7);
        run(what, out, [&](Context& c) { isa::add(c, out.view, a.view, b.view); });
        check_equal(what, out, [&](int64_t i) { return float(a.get(i)) + float(b.get(i)); });
      }
}

void test_where() {
  int round = 0;
  for (const Sizes& sizes : shapes)
    for (DType dtype : all_dtypes)
      for (Layout layout : all_layouts) {
        const Layout next = all_layouts[++round % 8], after = all_layouts[round / 8 % 8];
        Array condition(sizes, DType::boolean, layout), a(sizes, dtype, next), b(sizes, dtype, after),
            out(sizes, dtype);
        randomise(condition, 8);
        randomise(a, 9);
        randomise(b, 10);
        if (a.size() > 0 && is_float(dtype)) a.set(0, NAN);
        const std::string what = "where of " + text(sizes) + " " + name(dtype);
        run(what, out, [&](Context& c) { isa::where(c, out.view, condition.view, a.view, b.view); });
        check_equal(what, out, [&](int64_t i) { return condition.get(i) != 0 ? a.get(i) : b.get(i); });
      }
}

// More than one chunk, transposes that are copied first, and results that are written past the caches.
void test_large() {
  const Sizes large[] = {{70001}, {301, 257}, {3, 129, 200}, {2051, 2047}};
  for (const Sizes& sizes : large)
    for (Layout layout : {Layout::dense, Layout::transposed, Layout::rotated, Layout::repeated, Layout::spread}) {
      const std::string what = "sub of " + text(sizes) + " layout " + std::to_string(int(layout));
      if (sizes[0] == 2051 && layout != Layout::dense && layout != Layout::transposed) continue;
      Array a(sizes, DType::float32, layout), b(sizes, DType::float32), out(sizes, DType::float32);
      randomise(a, 11);
      randomise(b, 12);
      run(what, out, [&](Context& c) { isa::sub(c, out.view, a.view, b.view); });
      check_equal(what, out, [&](int64_t i) { return float(a.get(i)) - float(b.get(i)); });
    }
}

// Sizes around rows, blocks of strided input, tiles of transposed input and chunks of threads.
void test_blocks() {
  const auto check_sub = [](const Sizes& sizes, Layout layout) {
    const std::string what = "sub of " + text(sizes) + " layout " + std::to_string(int(layout));
    Array a(sizes, DType::float32, layout), b(sizes, DType::float32), out(sizes, DType::float32),
        truth(sizes, DType::boolean), half(sizes, DType::bfloat16, layout), halves(sizes, DType::bfloat16);
    randomise(a, 11);
    randomise(b, 12);
    randomise(half, 13);
    run(what, out, [&](Context& c) { isa::sub(c, out.view, a.view, b.view); });
    check_equal(what, out, [&](int64_t i) { return float(a.get(i)) - float(b.get(i)); });
    run("neg, " + what, halves, [&](Context& c) { isa::neg(c, halves.view, half.view); });
    check_equal("neg, " + what, halves, [&](int64_t i) { return -half.get(i); });
    for (int64_t i = 0; i < halves.size(); i += 3) halves.set(i, half.get(i));
    run("eq, " + what, truth, [&](Context& c) { isa::eq(c, truth.view, half.view, halves.view); });
    check_equal("eq, " + what, truth, [&](int64_t i) { return half.get(i) == halves.get(i); });
  };
  for (int64_t n : about({isa::simd::lanes, isa::compared_halves, isa::widened_elements, isa::shortest_row,
                          isa::block_size, isa::chunk_elements}))
    for (Layout layout : {Layout::dense, Layout::sliced, Layout::flipped, Layout::repeated}) {
      check_sub({n}, layout);
      if (n < isa::chunk_elements) check_sub({3, n}, layout);
    }
  for (int64_t rows : about({isa::tile}))
    for (int64_t columns : about({isa::tile, isa::tiled_elements / isa::tile}))
      for (Layout layout : {Layout::transposed, Layout::rotated}) check_sub({rows, columns}, layout);
}

void test_wrong_calls() {
  Array a({2, 3}, DType::float32), b({3, 2}, DType::float32), ints({2, 3}, DType::int32), bytes({2, 3}, DType::uint8);
  Array out({2, 3}, DType::float32), small({2}, DType::float32), truth({2, 3}, DType::boolean);
  check_refused("add of other sizes", out, [&](Context& c) { isa::add(c, out.view, a.view, b.view); });
  check_refused("add of another rank", out, [&](Context& c) { isa::add(c, out.view, a.view, small.view); });
  check_refused("add of bytes", out, [&](Context& c) { isa::add(c, out.view, a.view, bytes.view); });
  Array half({2, 3}, DType::bfloat16), other({2, 3}, DType::float16);
  check_refused("add of two dtypes", half, [&](Context& c) { isa::add(c, half.view, half.view, a.view); });
  check_refused("exp of float16 to bfloat16", half, [&](Context& c) { isa::exp(c, half.view, other.view); });
  check_refused("add to bytes", bytes, [&](Context& c) { isa::add(c, bytes.view, a.view, a.view); });
  check_refused("exp of other sizes", out, [&](Context& c) { isa::exp(c, out.view, b.view); });
  check_refused("relu_backward of other sizes", out,
                [&](Context& c) { isa::relu_backward(c, out.view, b.view, a.view); });
  check_refused("eq of two dtypes", truth, [&](Context& c) { isa::eq(c, truth.view, a.view, ints.view); });
  check_refused("eq to float32", out, [&](Context& c) { isa::eq(c, out.view, a.view, a.view); });
  check_refused("where by floats", out, [&](Context& c) { isa::where(c, out.view, a.view, a.view, a.view); });
  check_refused("where of bytes", out, [&](Context& c) { isa::where(c, out.view, truth.view, bytes.view, a.view); });
}

}  // namespace

int main() {
  test_functions();
  test_halves();
  test_integers();
  test_division();
  test_comparisons();
  test_layouts();
  test_where();
  test_large();
  test_blocks();
  test_wrong_calls();
  return finish("elementwise");
}
