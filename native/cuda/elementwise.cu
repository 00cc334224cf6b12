// Elementwise kernels, out = f(inputs), over any strides and broadcasts, and the copies of the same form. They
// overwrite out, which may be an input. Memory is their limit: in each turn a thread moves 16 bytes of each operand if
// rows allow it, else one element. Entries are named <kernel>_<dtype>, and elementwise.cpp launches them.
//
// Contraction to fused multiply-add is off. The options of a kernel are p and q (i and j for int32).
#include "gamma.h"
#include "gpu.h"
#include "index.h"
#include "job.h"
#include "scalar.h"

using firesteel::cuda::group_size;
using firesteel::cuda::Job;
using firesteel::cuda::Ramp;

namespace {

template <class T>
struct alignas(group_size * sizeof(T)) Group {
  T lane[group_size];
};

// The offset of element or group `index` in each operand.
template <int operands>
DEVICE void locate(const Job& job, uint32_t index, int64_t (&at)[operands]) {
#pragma unroll
  for (int o = 0; o < operands; o++) at[o] = 0;
#pragma unroll 1
  for (int d = 0; d < job.dims - 1; d++) {
    const uint32_t rest = divide(index, job.divisors[d]);
    const uint32_t position = index - rest * job.divisors[d].size;
#pragma unroll
    for (int o = 0; o < operands; o++) at[o] += position * job.strides[o][d];
    index = rest;
  }
#pragma unroll
  for (int o = 0; o < operands; o++) at[o] += index * job.strides[o][job.dims - 1];
}

template <class T>
DEVICE T* operand(const Job& job, int o) {
  return static_cast<T*>(job.data[o]);
}

template <class T>
DEVICE Group<T> load_group(const Job& job, int o, int64_t at) {
  const T* from = operand<const T>(job, o) + at;
  if (!(job.splat >> o & 1)) return load<Group<T>>(from);
  Group<T> group;
  const T value = *from;
#pragma unroll
  for (int k = 0; k < group_size; k++) group.lane[k] = value;
  return group;
}

DEVICE uint32_t thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE uint32_t thread_count() { return gridDim.x * blockDim.x; }

// A result in the form in which it is stored.
template <class Out>
struct Stored {
  template <class R>
  static DEVICE Out of(R result) {
    return Out(result);
  }
};
template <>
struct Stored<bfloat16> {
  template <class R>
  static DEVICE bfloat16 of(R result) {
    return narrow<bfloat16>(float(result));
  }
};

template <>
struct Stored<float16> {
  template <class R>
  static DEVICE float16 of(R result) {
    return narrow<float16>(float(result));
  }
};

template <class Out, class F, class... In>
DEVICE Group<Out> apply(F f, const Group<In>&... in) {
  Group<Out> out;
#pragma unroll
  for (int k = 0; k < group_size; k++) out.lane[k] = Stored<Out>::of(f(widen(in.lane[k])...));
  return out;
}

template <int... i>
struct Places {};

// out = f(inputs), of widened inputs. Input k is operand o[k].
template <class Out, class... In, int... o, class F>
DEVICE void map_at(const Job& job, Places<o...>, F f) {
  int64_t at[1 + sizeof...(In)] = {};
  const auto one = [&] {
    operand<Out>(job, 0)[at[0]] = Stored<Out>::of(f(widen(operand<const In>(job, o)[at[o]])...));
  };
  for (uint32_t n = thread_index(); n < job.count; n += thread_count()) {
    locate(job, n, at);
    if (job.grouped) {
      store(operand<Out>(job, 0) + at[0], apply<Out>(f, load_group<In>(job, o, at[o])...));
    } else {
      one();
    }
  }
  if (thread_index() < job.rest) {
    const uint32_t n = job.count * group_size + thread_index();
    at[0] = n;
    ((at[o] = job.splat >> o & 1 ? 0 : n), ...);
    one();
  }
}

template <class Out, class X, class F>
DEVICE void map(const Job& job, F f) {
  map_at<Out, X>(job, Places<1>{}, f);
}
template <class Out, class X, class Y, class F>
DEVICE void map(const Job& job, F f) {
  map_at<Out, X, Y>(job, Places<1, 2>{}, f);
}
template <class Out, class X, class Y, class Z, class F>
DEVICE void map(const Job& job, F f) {
  map_at<Out, X, Y, Z>(job, Places<1, 2, 3>{}, f);
}

// int32 wraps around.
DEVICE int32_t sum(int32_t a, int32_t b) { return int32_t(uint32_t(a) + uint32_t(b)); }
DEVICE int32_t difference(int32_t a, int32_t b) { return int32_t(uint32_t(a) - uint32_t(b)); }
DEVICE int32_t product(int32_t a, int32_t b) { return int32_t(uint32_t(a) * uint32_t(b)); }

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The distribution function of the normal distribution, without cancellation in the left tail, and its density.
DEVICE float normal_cdf(float x) { return 0.5f * erfcf(x * -0.707106781f); }
DEVICE float normal_density(float x) { return 0.398942280f * expf(-0.5f * x * x); }

// GELU's tanh form is x s with s = sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3). Its derivative is s + x s (1 - s) 2
// u'.
constexpr float twice_root = 1.59576912f,
                cubic = 0.0713548163f;  // 2 sqrt(2/pi), and that times 0.044715

DEVICE float gelu_weight(float x) { return sigmoid(x * fmaf(x * x, cubic, twice_root)); }
DEVICE float gelu_slope(float x) {
  const float s = gelu_weight(x);
  // Beyond 20, s (1 - s) is 0, and the bound keeps its factor finite. Only an infinite x has no derivative, as in
  // PyTorch, and one above 3.9e36.
  const float bounded = fminf(fmaxf(x, -20.0f), 20.0f);
  return s * fmaf(x * fmaf(bounded * bounded, 3 * cubic, twice_root), 1.0f - s, 1.0f);
}

// mish(x) = x t, t = tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2) (Misra, arXiv 1908.08681). From 20 on, t
// is 1 in float32. The derivative is t + x sigmoid(x) (1 - t^2) = t + x 4 e^x (1 + e^x) / (n + 2)^2.
DEVICE float mish_bound(float x) { return x > 20.0f ? 20.0f : x; }
DEVICE float mish(float x) {
  const float e = expf(mish_bound(x)), n = e * (e + 2.0f);
  return x * (n / (n + 2.0f));
}
DEVICE float mish_slope(float x) {
  const float bounded = mish_bound(x), e = expf(bounded), n = e * (e + 2.0f), r = 1.0f / (n + 2.0f);
  // x - x is 0, but NaN if x is infinite, which has no derivative, as in PyTorch.
  return fmaf(bounded, 4.0f * e * (1.0f + e) * r * r, fmaf(n, r, x - x));
}

// Converts as a copy between dtypes does: towards zero and modulo 2^32. NaN and infinities become 0.
DEVICE int32_t whole(float x) {
  if (!(fabsf(x) < 9.2e18f)) {
    if (!(fabsf(x) <= 3.4028235e38f)) return 0;
    x = fmodf(x, 4294967296.0f);
  }
  return int32_t(uint32_t(uint64_t(int64_t(x))));
}

// A power by squaring. Negative exponents give reciprocals, truncated to whole numbers.
DEVICE int32_t whole_power(int32_t base, int32_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  uint32_t power = 1, square = uint32_t(base);
  for (uint32_t rest = uint32_t(exponent); rest > 0; rest /= 2, square *= square)
    if (rest % 2 == 1) power *= square;
  return int32_t(power);
}

DEVICE int32_t whole(double x) {
  if (!(fabs(x) < 9.2e18)) {
    if (!(fabs(x) <= 1.7e308)) return 0;
    x = fmod(x, 4294967296.0);
  }
  return int32_t(uint32_t(uint64_t(int64_t(x))));
}

template <class T, class F>
DEVICE void ramp(const Ramp& job, const F& f) {
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < job.count; i += int64_t(gridDim.x) * blockDim.x)
    static_cast<T*>(job.out)[i] = f(job.start + double(i) * job.step);
}

DEVICE float remainder_of(float a, float b) {
  const float r = fmodf(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// The floor of the exact quotient. a / b may itself be rounded up to the next whole number, so it cannot simply be
// rounded down.
DEVICE float floor_of_quotient(float a, float b) {
  if (b == 0) return a / b;
  const float r = fmodf(a, b);
  float quotient = (a - r) / b;
  if (r != 0 && (b < 0) != (r < 0)) quotient -= 1;
  if (quotient == 0) return copysignf(0.0f, a / b);
  const float whole = floorf(quotient);
  return quotient - whole > 0.5f ? whole + 1 : whole;
}

// The quotient of the least int32 and -1 wraps around.
struct Division {
  int32_t quotient, rest;
};
DEVICE Division division_of(int32_t a, int32_t b) {
  if (b == -1) return {difference(0, a), 0};
  return {a / b, a % b};
}
DEVICE bool rounds_down(const Division& d, int32_t b) { return d.rest != 0 && (d.rest < 0) != (b < 0); }

DEVICE float polynomial(float w, const float (&c)[9]) {
  float p = c[0];
#pragma unroll
  for (int k = 1; k < 9; k++) p = fmaf(p, w, c[k]);
  return p;
}

// M. Giles, "Approximating the erfinv function" (GPU Computing Gems 2, 2010).
DEVICE float erf_inverse(float x) {
  constexpr float near[] = {2.81022636e-08f, 3.43273939e-07f, -3.5233877e-06f, -4.39150654e-06f, 0.00021858087f,
                            -0.00125372503f, -0.00417768164f, 0.246640727f,    1.50140941f};
  constexpr float far[] = {-0.000200214257f, 0.000100950558f, 0.00134934322f, -0.00367342844f, 0.00573950773f,
                           -0.0076224613f,   0.00943887047f,  1.00167406f,    2.83297682f};
  // The result is infinite at the ends, and NaN beyond.
  if (!(fabsf(x) < 1.0f)) return x / sqrtf(1.0f - x * x);
  const float w = -logf((1.0f - x) * (1.0f + x));
  return x * (w < 5.0f ? polynomial(w - 2.5f, near) : polynomial(sqrtf(w) - 3.0f, far));
}

}  // namespace

#define OPTIONS                                                        \
  [[maybe_unused]] const float p = job.numbers[0], q = job.numbers[1]; \
  [[maybe_unused]] const int32_t i = job.integers[0], j = job.integers[1]

// out = f(x), one entry a line. out and x are of type T.
#define UNARY(name, T, expression)                      \
  KERNEL(name, const __grid_constant__ Job job) {       \
    OPTIONS;                                            \
    map<T, T>(job, [=](auto x) { return expression; }); \
  }
// out = f(a, b)
#define BINARY(name, T, expression)                                \
  KERNEL(name, const __grid_constant__ Job job) {                  \
    OPTIONS;                                                       \
    map<T, T, T>(job, [=](auto a, auto b) { return expression; }); \
  }
// out = f(a / b) of int32. A divisor of 0 is reported, and gives 0.
#define DIVISION(name, expression)                                  \
  KERNEL(name, const __grid_constant__ Job job) {                   \
    OPTIONS;                                                        \
    uint64_t* const wrong = job.wrong;                              \
    map<int32_t, int32_t, int32_t>(job, [=](int32_t a, int32_t b) { \
      if (b == 0) {                                                 \
        bring_least(wrong, 0);                                      \
        return 0;                                                   \
      }                                                             \
      const Division d = division_of(a, b);                         \
      return expression;                                            \
    });                                                             \
  }
// dx = f(dy, x)
#define SLOPE(name, T, expression)                                             \
  KERNEL(name, const __grid_constant__ Job job) {                              \
    OPTIONS;                                                                   \
    map<T, T, T>(job, [=](float dy, float x) -> float { return expression; }); \
  }
// The entries of float32, and of bfloat16, whose elements are computed in float32.
#define UNARIES(name, ...)                  \
  UNARY(name##_float32, float, __VA_ARGS__) \
  UNARY(name##_bfloat16, bfloat16, __VA_ARGS__)
#define BINARIES(name, ...)                  \
  BINARY(name##_float32, float, __VA_ARGS__) \
  BINARY(name##_bfloat16, bfloat16, __VA_ARGS__)
#define BACKWARD(name, ...)                 \
  SLOPE(name##_float32, float, __VA_ARGS__) \
  SLOPE(name##_bfloat16, bfloat16, __VA_ARGS__)
#define COMPARISON(name, T, operation)                                              \
  KERNEL(name, const __grid_constant__ Job job) {                                   \
    map<uint8_t, T, T>(job, [](auto a, auto b) { return uint8_t(a operation b); }); \
  }
#define COMPARISONS(name, operation)               \
  COMPARISON(name##_float32, float, operation)     \
  COMPARISON(name##_bfloat16, bfloat16, operation) \
  COMPARISON(name##_float16, float16, operation)   \
  COMPARISON(name##_int32, int32_t, operation)     \
  COMPARISON(name##_uint8, uint8_t, operation)
// out = condition ? a : b, by the width of an element
#define WHERE(name, T)                                                                         \
  KERNEL(name, const __grid_constant__ Job job) {                                              \
    map<T, uint8_t, T, T>(job, [](uint8_t condition, T a, T b) { return condition ? a : b; }); \
  }
#define CONVERSION(name, Out, X, expression)             \
  KERNEL(name, const __grid_constant__ Job job) {        \
    map<Out, X>(job, [](auto x) { return expression; }); \
  }

BINARIES(add, a + b)
BINARIES(sub, a - b)
BINARIES(mul, a* b)
BINARIES(div, a / b)
BINARIES(pow, powf(a, b))
BINARIES(maximum, largest(a, b))
BINARIES(minimum, smallest(a, b))
BINARY(add_int32, int32_t, sum(a, b))
BINARY(sub_int32, int32_t, difference(a, b))
BINARY(mul_int32, int32_t, product(a, b))
BINARY(maximum_int32, int32_t, largest(a, b))
BINARY(minimum_int32, int32_t, smallest(a, b))
BINARY(pow_int32, int32_t, whole_power(a, b))
BINARY(bitwise_and_int32, int32_t, a& b)
BINARY(bitwise_or_int32, int32_t, a | b)
BINARY(bitwise_xor_int32, int32_t, a ^ b)
BINARY(bitwise_left_shift_int32, int32_t, b >= 0 && b < 32 ? int32_t(uint32_t(a) << b) : 0)
BINARY(bitwise_right_shift_int32, int32_t, a >> (b >= 0 && b < 32 ? b : 31))
BINARIES(atan2, atan2f(a, b))
BINARIES(hypot, hypotf(a, b))
BINARIES(copysign, copysignf(a, b))
BINARIES(fmod, fmodf(a, b))
BINARIES(remainder, remainder_of(a, b))
BINARIES(quotient, p != 0.0f ? floor_of_quotient(a, b) : truncf(a / b))
DIVISION(fmod_int32, d.rest)
DIVISION(remainder_int32, rounds_down(d, b) ? d.rest + b : d.rest)
DIVISION(quotient_int32, p != 0.0f && rounds_down(d, b) ? d.quotient - 1 : d.quotient)

COMPARISONS(eq, ==)
COMPARISONS(ne, !=)
COMPARISONS(lt, <)
COMPARISONS(le, <=)
COMPARISONS(gt, >)
COMPARISONS(ge, >=)

WHERE(where_word, uint32_t)
WHERE(where_half, uint16_t)
WHERE(where_byte, uint8_t)

// A product has the shift -0, because adding 0 would turn -0 into 0.
UNARIES(affine, (x * p + q))
UNARY(affine_int32, int32_t, sum(product(x, i), j))
// Roots of -0 and of -infinity are those of sqrt, as in PyTorch.
UNARIES(pow_scalar, p == 0.5f ? sqrtf(x) : p == -0.5f ? 1.0f / sqrtf(x) : powf(x, p))
UNARY(pow_scalar_int32, int32_t, whole_power(x, i))
UNARIES(clamp, smallest(q, largest(p, x)))
UNARY(clamp_int32, int32_t, smallest(largest(x, i), j))
UNARIES(neg, -x)
UNARY(neg_int32, int32_t, difference(0, x))
UNARIES(abs, fabsf(x))
UNARY(abs_int32, int32_t, x < 0 ? difference(0, x) : x)
UNARIES(sign, float(x > 0.0f) - float(x < 0.0f))
UNARY(sign_int32, int32_t, int32_t(x > 0) - int32_t(x < 0))
UNARIES(square, x* x)
UNARY(square_int32, int32_t, product(x, x))
UNARIES(exp, expf(x))
UNARIES(log, logf(x))
UNARIES(log1p, log1pf(x))
UNARIES(sqrt, sqrtf(x))
UNARIES(rsqrt, 1.0f / sqrtf(x))
UNARIES(reciprocal, 1.0f / x)
UNARIES(sin, sinf(x))
UNARIES(cos, cosf(x))
UNARIES(tanh, tanhf(x))
UNARIES(erf, erff(x))
UNARIES(sigmoid, sigmoid(x))
UNARIES(floor, floorf(x))
UNARY(floor_int32, int32_t, x)
UNARIES(ceil, ceilf(x))
UNARY(ceil_int32, int32_t, x)
UNARIES(trunc, truncf(x))
UNARY(trunc_int32, int32_t, x)
UNARIES(round, rintf(x))
UNARY(round_int32, int32_t, x)
UNARIES(expm1, expm1f(x))
UNARIES(exp2, exp2f(x))
UNARIES(log2, log2f(x))
UNARIES(log10, log10f(x))
UNARIES(tan, tanf(x))
UNARIES(asin, asinf(x))
UNARIES(acos, acosf(x))
UNARIES(atan, atanf(x))
UNARIES(sinh, sinhf(x))
UNARIES(cosh, coshf(x))
UNARIES(asinh, asinhf(x))
UNARIES(acosh, acoshf(x))
UNARIES(atanh, atanhf(x))
UNARIES(erfc, erfcf(x))
UNARIES(erfinv, erf_inverse(x))
UNARIES(lgamma, gamma_function::log_gamma(x))
UNARIES(digamma, gamma_function::digamma(x))
UNARIES(polygamma, gamma_function::polygamma(x, p))
UNARIES(relu, x < 0.0f ? 0.0f : x)
UNARY(relu_int32, int32_t, largest(x, 0))
UNARIES(silu, x / (1.0f + expf(-x)))
UNARIES(mish, mish(x))
UNARIES(hardswish, x* smallest(largest(x + 3.0f, 0.0f), 6.0f) / 6.0f)
UNARIES(gelu, p != 0.0f ? x * gelu_weight(x) : x * normal_cdf(x))
UNARIES(softplus, x* p > q ? x : log1pf(expf(x * p)) / p)
UNARIES(elu, x < 0.0f ? p * expm1f(x) : x)
UNARIES(leaky_relu, x > 0.0f ? x : x * p)

BACKWARD(relu_backward, x <= 0.0f ? 0.0f : dy)
BACKWARD(clamp_backward, x >= p && x <= q ? dy : 0.0f)
BACKWARD(silu_backward, dy* sigmoid(x) * fmaf(x, 1.0f - sigmoid(x), 1.0f))
BACKWARD(mish_backward, dy* mish_slope(x))
BACKWARD(hardswish_backward, x <= -3.0f ? 0.0f : x >= 3.0f ? dy : dy * (x / 3.0f + 0.5f))
BACKWARD(gelu_backward, dy*(p != 0.0f ? gelu_slope(x) : fmaf(x, normal_density(x), normal_cdf(x))))
BACKWARD(softplus_backward, x* p > q ? dy : dy * sigmoid(x * p))
BACKWARD(elu_backward, x > 0.0f ? dy : dy * p * expf(x))
BACKWARD(leaky_relu_backward, x > 0.0f ? dy : dy * p)
// Here x is the function's output.
BACKWARD(sigmoid_backward, dy*(1.0f - x) * x)
BACKWARD(tanh_backward, dy*(1.0f - x * x))

// Gated functions. a is the gate of b, or the gradient of a result whose gate is b.
BINARIES(swiglu, a / (1.0f + expf(-a)) * b)
BINARIES(swiglu_dup, a*(b / (1.0f + expf(-b))))
#define GATE(name, T)                                                          \
  KERNEL(name, const __grid_constant__ Job job) {                              \
    map<T, T, T, T>(job, [](float dy, float gate, float up) {                  \
      return dy * up * sigmoid(gate) * fmaf(gate, 1.0f - sigmoid(gate), 1.0f); \
    });                                                                        \
  }
GATE(swiglu_dgate_float32, float)
GATE(swiglu_dgate_bfloat16, bfloat16)

// Copies of equal dtypes, by the width of an element, and conversions.
UNARY(copy_word, uint32_t, x)
UNARY(copy_half, uint16_t, x)
UNARY(copy_byte, uint8_t, x)
CONVERSION(copy_float32_to_int32, int32_t, float, whole(x))
CONVERSION(copy_float32_to_uint8, uint8_t, float, whole(x))
CONVERSION(copy_float32_to_bool, uint8_t, float, x != 0.0f)
CONVERSION(copy_int32_to_float32, float, int32_t, x)
CONVERSION(copy_float32_to_bfloat16, bfloat16, float, x)
CONVERSION(copy_bfloat16_to_float32, float, bfloat16, x)
CONVERSION(copy_bfloat16_to_int32, int32_t, bfloat16, whole(x))
CONVERSION(copy_bfloat16_to_uint8, uint8_t, bfloat16, whole(x))
CONVERSION(copy_bfloat16_to_bool, uint8_t, bfloat16, x != 0.0f)
CONVERSION(copy_int32_to_bfloat16, bfloat16, int32_t, x)
CONVERSION(copy_uint8_to_bfloat16, bfloat16, uint8_t, x)
CONVERSION(copy_bfloat16_to_float16, float16, bfloat16, x)
CONVERSION(copy_float32_to_float16, float16, float, x)
CONVERSION(copy_float16_to_float32, float, float16, x)
CONVERSION(copy_float16_to_bfloat16, bfloat16, float16, x)
CONVERSION(copy_float16_to_int32, int32_t, float16, whole(x))
CONVERSION(copy_float16_to_uint8, uint8_t, float16, whole(x))
CONVERSION(copy_float16_to_bool, uint8_t, float16, x != 0.0f)
CONVERSION(copy_int32_to_float16, float16, int32_t, x)
CONVERSION(copy_uint8_to_float16, float16, uint8_t, x)
CONVERSION(copy_int32_to_uint8, uint8_t, int32_t, x)
CONVERSION(copy_int32_to_bool, uint8_t, int32_t, x != 0)
CONVERSION(copy_uint8_to_float32, float, uint8_t, x)
CONVERSION(copy_uint8_to_int32, int32_t, uint8_t, x)
CONVERSION(copy_uint8_to_bool, uint8_t, uint8_t, x != 0)

// out[i] = start + i * step, computed in float64 and rounded once. The numbers are start and step.
KERNEL(arange_float32, const __grid_constant__ Ramp job) {
  ramp<float>(job, [](double x) { return float(x); });
}
KERNEL(arange_int32, const __grid_constant__ Ramp job) {
  ramp<int32_t>(job, [](double x) { return whole(x); });
}
