// Optimiser steps. Each takes lists of tensors in one call and one pass over memory (step.h).
//
// The formulas are those of torch.optim, and for Lion those of Chen et al., "Symbolic discovery of optimization
// algorithms", 2023. Numbers of the step are float64, elements float32. Each element moves 12 bytes, 8 for each state,
// and 2 if a parameter has a shadow, which is the bfloat16 copy that mixed precision reads. Writing it here saves
// another pass.
#include <math.h>

#include "../../generated/kernels.h"
#include "step.h"

namespace firesteel::FIRESTEEL_ISA {

using namespace optimizer;

namespace {

// A running average after `value`.
struct Average {
  Vec keep, take;
  explicit Average(double share) : keep(set(float(share))), take(set(float(1 - share))) {}
  Vec operator()(Vec mean, Vec value) const { return fma(take, value, mean * keep); }
};

// x after its decoupled decay.
Vec shrink_by(double lr, double weight_decay, bool decoupled) {
  return set(float(decoupled ? 1 - lr * weight_decay : 1.0));
}

}  // namespace

void sgd(Context& context, ViewList params, ViewList grads, ViewList momentum_buffers, double lr, double momentum,
         double dampening, double weight_decay, bool nesterov, bool maximize, bool first, ViewList shadows) {
  const bool keeps = momentum != 0;
  const Vec step = set(float(-lr)), keep = set(float(momentum)), take = set(float(1 - dampening));
  const ViewList nothing = {nullptr, 0};
  if (keeps && !parallel_to(context, params, momentum_buffers)) return;
  step_elements(context, {params, grads, weight_decay, maximize, shadows}, {keeps ? momentum_buffers : nothing},
                [=](Vec x, Vec d, Vec(&s)[1]) {
                  if (!keeps) return fma(step, d, x);
                  s[0] = first ? d : fma(take, d, s[0] * keep);
                  return fma(step, nesterov ? fma(keep, s[0], d) : s[0], x);
                });
}

void adam(Context& context, ViewList params, ViewList grads, ViewList means, ViewList squares, ViewList max_squares,
          double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled, bool maximize,
          int64_t step, ViewList shadows) {
  if (!parallel_to(context, params, means) || !parallel_to(context, params, squares) ||
      !expect(context, step >= 1, "adam: the first step is 1"))
    return;
  const bool amsgrad = max_squares.size != 0;
  const double correction1 = 1 - ::pow(beta1, double(step)), correction2 = 1 - ::pow(beta2, double(step));
  const Vec shrink = shrink_by(lr, weight_decay, decoupled);
  const Vec take1 = set(float(1 - beta1)), keep2 = set(float(beta2)), take2 = set(float(1 - beta2));
  const Vec unbias = set(float(1 / ::sqrt(correction2))), epsilon = set(float(eps));
  const Vec rate = set(float(-lr / correction1));
  step_elements(context, {params, grads, decoupled ? 0 : weight_decay, maximize, shadows},
                {means, squares, max_squares}, [=](Vec x, Vec d, Vec(&s)[3]) {
                  s[0] = fma(take1, d - s[0], s[0]);
                  s[1] = fma(take2 * d, d, s[1] * keep2);
                  s[2] = amsgrad ? max(s[1], s[2]) : s[1];
                  return fma(rate, s[0] / fma(sqrt(s[2]), unbias, epsilon), x * shrink);
                });
}

void adamax(Context& context, ViewList params, ViewList grads, ViewList means, ViewList largest, double rate,
            double beta1, double beta2, double eps, double weight_decay, bool maximize, ViewList shadows) {
  if (!parallel_to(context, params, means) || !parallel_to(context, params, largest)) return;
  const Average first(beta1);
  const Vec keep = set(float(beta2)), epsilon = set(float(eps)), step = set(float(-rate));
  step_elements(context, {params, grads, weight_decay, maximize, shadows}, {means, largest},
                [=](Vec x, Vec d, Vec(&s)[2]) {
                  s[0] = first(s[0], d);
                  s[1] = max(s[1] * keep, abs(d) + epsilon);
                  return fma(step, s[0] / s[1], x);
                });
}

void nadam(Context& context, ViewList params, ViewList grads, ViewList means, ViewList squares,
           ViewList momentum_products, double lr, double beta1, double beta2, double eps, double momentum,
           double next_momentum, double correction, double weight_decay, bool decoupled, bool maximize,
           ViewList shadows) {
  if (!parallel_to(context, params, means) || !parallel_to(context, params, squares) ||
      !expect(context, momentum_products.size == params.size, "nadam: lists of tensors differ in length"))
    return;
  for (int64_t t = 0; t < params.size; t++) {
    if (!expect(context, momentum_products.items[t].count == 1, "nadam: each product of momenta must be a scalar"))
      return;
    float* const product = pointer<float>(momentum_products.items[t]);
    *product *= float(momentum);
  }
  const Average first(beta1), second(beta2);
  const Vec shrink = shrink_by(lr, weight_decay, decoupled), epsilon = set(float(eps));
  const Vec unbias = set(float(1 / ::sqrt(correction)));
  step_tensors(context, {params, grads, decoupled ? 0 : weight_decay, maximize, shadows}, {means, squares},
               [&](int64_t tensor) {
                 const double product = *pointer<const float>(momentum_products.items[tensor]);
                 const Vec of_gradient = set(float(-lr * (1 - momentum) / (1 - product)));
                 const Vec of_mean = set(float(-lr * next_momentum / (1 - product * next_momentum)));
                 return [=](Vec x, Vec d, Vec(&s)[2]) {
                   s[0] = first(s[0], d);
                   s[1] = second(s[1], d * d);
                   const Vec moved = fma(d, of_gradient, s[0] * of_mean);
                   return fma(x, shrink, moved / fma(sqrt(s[1]), unbias, epsilon));
                 };
               });
}

void radam(Context& context, ViewList params, ViewList grads, ViewList means, ViewList squares, double lr, double beta1,
           double beta2, double eps, double rate, bool adapts, double weight_decay, bool decoupled, bool maximize,
           ViewList shadows) {
  if (!parallel_to(context, params, means) || !parallel_to(context, params, squares)) return;
  const Average first(beta1), second(beta2);
  const Vec shrink = shrink_by(lr, weight_decay, decoupled), epsilon = set(float(eps)), step = set(float(-rate));
  step_elements(context, {params, grads, decoupled ? 0 : weight_decay, maximize, shadows}, {means, squares},
                [=](Vec x, Vec d, Vec(&s)[2]) {
                  s[0] = first(s[0], d);
                  s[1] = second(s[1], d * d);
                  return fma(step, adapts ? s[0] / (sqrt(s[1]) + epsilon) : s[0], x * shrink);
                });
}

void rmsprop(Context& context, ViewList params, ViewList grads, ViewList squares, ViewList means,
             ViewList momentum_buffers, double lr, double alpha, double eps, double momentum, double weight_decay,
             bool maximize, ViewList shadows) {
  if (!parallel_to(context, params, squares)) return;
  const bool centered = means.size != 0, keeps = momentum_buffers.size != 0;
  const Average average(alpha);
  const Vec epsilon = set(float(eps)), step = set(float(-lr)), keep = set(float(momentum));
  step_elements(context, {params, grads, weight_decay, maximize, shadows}, {squares, means, momentum_buffers},
                [=](Vec x, Vec d, Vec(&s)[3]) {
                  s[0] = average(s[0], d * d);
                  s[1] = average(s[1], d);
                  const Vec scaled = d / (sqrt(centered ? s[0] - s[1] * s[1] : s[0]) + epsilon);
                  s[2] = fma(keep, s[2], scaled);
                  return fma(step, keeps ? s[2] : scaled, x);
                });
}

void adagrad(Context& context, ViewList params, ViewList grads, ViewList sums, double rate, double eps,
             double weight_decay, bool maximize, ViewList shadows) {
  if (!parallel_to(context, params, sums)) return;
  const Vec epsilon = set(float(eps)), step = set(float(-rate));
  step_elements(context, {params, grads, weight_decay, maximize, shadows}, {sums}, [=](Vec x, Vec d, Vec(&s)[1]) {
    s[0] = fma(d, d, s[0]);
    return fma(step, d / (sqrt(s[0]) + epsilon), x);
  });
}

void adadelta(Context& context, ViewList params, ViewList grads, ViewList squares, ViewList deltas, double lr,
              double rho, double eps, double weight_decay, bool maximize, ViewList shadows) {
  if (!parallel_to(context, params, squares) || !parallel_to(context, params, deltas)) return;
  const Average average(rho);
  const Vec epsilon = set(float(eps)), step = set(float(-lr));
  step_elements(context, {params, grads, weight_decay, maximize, shadows}, {squares, deltas},
                [=](Vec x, Vec d, Vec(&s)[2]) {
                  s[0] = average(s[0], d * d);
                  const Vec delta = sqrt(s[1] + epsilon) / sqrt(s[0] + epsilon) * d;
                  s[1] = average(s[1], delta * delta);
                  return fma(step, delta, x);
                });
}

void lion(Context& context, ViewList params, ViewList grads, ViewList means, double lr, double beta1, double beta2,
          double weight_decay, bool maximize, ViewList shadows) {
  if (!parallel_to(context, params, means)) return;
  const Average direction(beta1), average(beta2);
  const Vec shrink = shrink_by(lr, weight_decay, true), step = set(float(-lr)), one = set(1.0f);
  step_elements(context, {params, grads, 0, maximize, shadows}, {means}, [=](Vec x, Vec d, Vec(&s)[1]) {
    const Vec v = direction(s[0], d);
    s[0] = average(s[0], d);
    return fma(step, select(v > zero(), one, select(v < zero(), -one, v)), x * shrink);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
