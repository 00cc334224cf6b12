// Activations and their derivatives: out = f(x), dx = dy * f'(x). They overwrite out or dx, and have no reduction and
// no state. They move 8 bytes an element forward and 12 backward. They take at most one exponential and one division,
// so that all but the erf form of GELU run near the speed of memory.
#include "../../generated/kernels.h"
#include "../simd/math.h"
#include "driver.h"

namespace firesteel::FIRESTEEL_ISA {

using simd::fma;
using simd::select;
using simd::set;
using simd::Vec;
using simd::VecI;
using simd::zero;

void relu(Context& context, const View& out, const View& x) {
  map_unary_numeric(context, out, x, [](auto v) { return simd::rectified(v); });
}
void relu_backward(Context& context, const View& dx, const View& dy, const View& x) {
  map_binary<float>(context, dx, dy, x, [](Vec d, Vec v) { return select(v <= zero(), zero(), d); });
}

// x s, s = sigmoid(x); derivative s (1 + x (1 - s)).
void silu(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return v / (set(1.0f) + simd::exp(-v)); });
}
void silu_backward(Context& context, const View& dx, const View& dy, const View& x) {
  map_binary<float>(context, dx, dy, x, [](Vec d, Vec v) {
    const Vec one = set(1.0f);
    Vec s = simd::sigmoid(v);
    return d * s * fma(v, one - s, one);
  });
}

// x t, t = tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2): one exponential (Misra, arXiv 1908.08681).
// The derivative is t + x s (1 - t^2), s = sigmoid(x), 1 - t^2 = 4 (n + 1) / (n + 2)^2, and n + 1 = (1 + e^x)^2, so
// that s (1 - t^2) = 4 e^x (1 + e^x) / (n + 2)^2. From 20 on t is 1 in float32. An infinite x
// has no derivative, as in PyTorch.
void mish(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) {
    Vec e = simd::exp(simd::clamp(v, -INFINITY, 20.0f));
    Vec n = e * (e + set(2.0f));
    return v * (n / (n + set(2.0f)));
  });
}
void mish_backward(Context& context, const View& dx, const View& dy, const View& x) {
  map_binary<float>(context, dx, dy, x, [](Vec d, Vec v) {
    Vec bounded = simd::clamp(v, -INFINITY, 20.0f);
    Vec e = simd::exp(bounded);
    Vec n = e * (e + set(2.0f));
    Vec r = set(1.0f) / (n + set(2.0f));
    Vec slope = set(4.0f) * e * (set(1.0f) + e) * r * r;
    // v - v is 0, but NaN if v is infinite.
    return d * fma(bounded, slope, fma(n, r, v - v));
  });
}

void hardswish(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return v * simd::clamp(v + set(3.0f), 0.0f, 6.0f) / set(6.0f); });
}
void hardswish_backward(Context& context, const View& dx, const View& dy, const View& x) {
  map_binary<float>(context, dx, dy, x, [](Vec d, Vec v) {
    Vec inner = select(v >= set(3.0f), d, d * (v / set(3.0f) + set(0.5f)));
    return select(v <= set(-3.0f), zero(), inner);
  });
}

// GELU (Hendrycks and Gimpel, arXiv 1606.08415): x Phi(x); the derivative is Phi(x) + x phi(x). The tanh form, with
// 0.5 (1 + tanh u) = sigmoid(2 u) =: s, is x s, and its derivative s + x s (1 - s) 2 u', where
// u = sqrt(2/pi) (x + 0.044715 x^3).
namespace {

constexpr float twice_root = 1.59576912f, cubic = 0.0713548163f;  // 2 sqrt(2/pi), and that times 0.044715

// Computes 1 / s. The exponent's rounding error is as large in base e, and 2^(2 u log2 e) needs no reduction of u by ln
// 2.
Vec gelu_tanh_divisor(Vec v) {
  const Vec power = v * fma(v * v, set(-cubic * simd::log2_e), set(-twice_root * simd::log2_e));
  return set(1.0f) + simd::exp2_beside_one(power);
}

}  // namespace

void gelu(Context& context, const View& out, const View& x, bool tanh_approximation) {
  if (tanh_approximation) return map_unary<float>(context, out, x, [](Vec v) { return v / gelu_tanh_divisor(v); });
  map_unary<float>(context, out, x, [](Vec v) { return v * simd::normal(v).cdf; });
}
void gelu_backward(Context& context, const View& dx, const View& dy, const View& x, bool tanh_approximation) {
  if (tanh_approximation)
    return map_binary<float>(context, dx, dy, x, [](Vec d, Vec v) {
      Vec s = set(1.0f) / gelu_tanh_divisor(v);
      // Beyond 20, s (1 - s) is 0, and the bound keeps its factor finite. Only an infinite v has no derivative, as in
      // PyTorch, and one above 3.9e36.
      Vec bounded = simd::clamp(v, -20.0f, 20.0f);
      Vec slope = v * fma(bounded * bounded, set(3 * cubic), set(twice_root));
      return d * s * fma(slope, set(1.0f) - s, set(1.0f));
    });
  map_binary<float>(context, dx, dy, x, [](Vec d, Vec v) {
    simd::Normal normal = simd::normal(v);
    return d * fma(v, normal.density, normal.cdf);
  });
}

void softplus(Context& context, const View& out, const View& x, double beta, double threshold) {
  const Vec b = set(static_cast<float>(beta)), limit = set(static_cast<float>(threshold));
  map_unary<float>(context, out, x, [=](Vec v) {
    Vec t = v * b;
    return select(t > limit, v, simd::log1p(simd::exp(t)) / b);
  });
}
void softplus_backward(Context& context, const View& dx, const View& dy, const View& x, double beta, double threshold) {
  const Vec b = set(static_cast<float>(beta)), limit = set(static_cast<float>(threshold));
  map_binary<float>(context, dx, dy, x, [=](Vec d, Vec v) {
    Vec t = v * b;
    return select(t > limit, d, d * simd::sigmoid(t));
  });
}

void elu(Context& context, const View& out, const View& x, double alpha) {
  const Vec a = set(static_cast<float>(alpha));
  map_unary<float>(context, out, x, [=](Vec v) { return select(v < zero(), a * simd::expm1(v), v); });
}
void elu_backward(Context& context, const View& dx, const View& dy, const View& x, double alpha) {
  const Vec a = set(static_cast<float>(alpha));
  map_binary<float>(context, dx, dy, x, [=](Vec d, Vec v) { return select(v > zero(), d, d * a * simd::exp(v)); });
}

void leaky_relu(Context& context, const View& out, const View& x, double slope) {
  const Vec s = set(static_cast<float>(slope));
  map_unary<float>(context, out, x, [=](Vec v) { return select(v > zero(), v, v * s); });
}
void leaky_relu_backward(Context& context, const View& dx, const View& dy, const View& x, double slope) {
  const Vec s = set(static_cast<float>(slope));
  map_binary<float>(context, dx, dy, x, [=](Vec d, Vec v) { return select(v > zero(), d, d * s); });
}

void sigmoid_backward(Context& context, const View& dx, const View& dy, const View& y) {
  map_binary<float>(context, dx, dy, y, [](Vec d, Vec v) { return d * (set(1.0f) - v) * v; });
}
void tanh_backward(Context& context, const View& dx, const View& dy, const View& y) {
  map_binary<float>(context, dx, dy, y, [](Vec d, Vec v) { return d * (set(1.0f) - v * v); });
}

}  // namespace firesteel::FIRESTEEL_ISA
