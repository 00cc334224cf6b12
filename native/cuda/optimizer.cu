// Steps of optimisers: lists of tensors in one launch and one pass over memory; the norm of gradients, and their
// scaling. The host computes the numbers of a step in float64, and the device the elements in float32. The formulas are
// those of torch.optim, and for Lion those of Chen et al., "Symbolic discovery of optimization algorithms" (2023).
#include "scalar.h"
#include "steps.h"
#include "team.h"

using namespace firesteel::cuda;

namespace {

// A running average after `value`. It takes both shares, because 1 - keep in float32 is not exact.
DEVICE float average(const float* shares, float mean, float value) {
  return multiply_add(shares[1], value, mean * shares[0]);
}

template <int count>
struct States {
  float of[count > 0 ? count : 1];
};

// x = f(x, d, states, tensor). A block's second index is the number of its tensor.
template <int count, class F>
DEVICE void step(const Step& job, const F& f) {
  const StepTensor& tensor = job.tensors[blockIdx.y];
  for (int64_t i = int64_t(blockIdx.x) * 256 + threadIdx.x; i < tensor.count; i += int64_t(gridDim.x) * 256) {
    const float x = tensor.param[i], d = multiply_add(job.decay, x, job.sign * tensor.grad[i]);
    States<count> s = {};
#pragma unroll
    for (int k = 0; k < count; k++)
      if (tensor.states[k]) s.of[k] = tensor.states[k][i];
    const float next = f(x, d, s.of, tensor);
#pragma unroll
    for (int k = 0; k < count; k++)
      if (tensor.states[k]) tensor.states[k][i] = s.of[k];
    tensor.param[i] = next;
    if (tensor.shadow) static_cast<bfloat16*>(tensor.shadow)[i] = narrow<bfloat16>(next);
  }
}

// The larger of two numbers; NaN wins.
DEVICE float larger(float a, float b) { return b != b ? b : largest(a, b); }

DEVICE void sum_sizes(const NormTensors& job) {
  const float* x = job.data[blockIdx.y];
  const bool infinite = job.p == double(INFINITY);
  double mine = 0;
  for (int64_t i = int64_t(blockIdx.x) * 256 + threadIdx.x; i < job.counts[blockIdx.y];
       i += int64_t(norm_blocks) * 256) {
    const double size = fabs(double(x[i]));
    if (infinite)
      mine = size > mine || size != size ? size : mine;
    else
      mine += job.p == 2 ? size * size : job.p == 1 ? size : pow(size, job.p);
  }
  const double all =
      infinite ? combine<256>(mine, [](double a, double b) { return a != a || a > b ? a : b; }) : sum_of<256>(mine);
  if (threadIdx.x == 0) job.parts[blockIdx.y * norm_blocks + blockIdx.x] = all;
}

DEVICE void finish_norm(const NormTensors& job) {
  const bool infinite = job.p == double(INFINITY);
  double mine = 0;
  for (int64_t i = threadIdx.x; i < job.part_count; i += 256)
    mine = !infinite ? mine + job.parts[i] : job.parts[i] > mine || job.parts[i] != job.parts[i] ? job.parts[i] : mine;
  const double all =
      infinite ? combine<256>(mine, [](double a, double b) { return a != a || a > b ? a : b; }) : sum_of<256>(mine);
  if (threadIdx.x != 0) return;
  *job.norm = float(infinite || job.p == 1 ? all : job.p == 2 ? sqrt(all) : pow(all, 1 / job.p));
}

DEVICE void clip(const NormTensors& job) {
  const double ratio = job.largest / (double(*job.norm) + 1e-6);
  // NaN passes this test, because every element must then become NaN.
  if (ratio >= 1) return;
  float* x = job.data[blockIdx.y];
  for (int64_t i = int64_t(blockIdx.x) * 256 + threadIdx.x; i < job.counts[blockIdx.y]; i += int64_t(gridDim.x) * 256)
    x[i] *= float(ratio);
}

}  // namespace

#define STEP(name, count, ...)                                                                                \
  KERNEL(name, const __grid_constant__ Step job) {                                                            \
    step<count>(job, [&job](float x, float d, float* s, [[maybe_unused]] const StepTensor& tensor) -> float { \
      [[maybe_unused]] const float* n = job.numbers;                                                          \
      [[maybe_unused]] const bool* flag = job.flags;                                                          \
      __VA_ARGS__                                                                                             \
    });                                                                                                       \
  }

// n: -lr, momentum, 1 - dampening; flags: nesterov, first, keeps
STEP(step_sgd, 1, if (!flag[2]) return multiply_add(n[0], d, x);
     s[0] = flag[1] ? d : multiply_add(n[2], d, s[0] * n[1]);
     return multiply_add(n[0], flag[0] ? multiply_add(n[1], s[0], d) : s[0], x);)
// n: 1 - beta1, beta2, 1 - beta2, 1 / sqrt(correction2), eps, -lr / correction1; flag: amsgrad
STEP(step_adam, 3, s[0] = multiply_add(n[0], d - s[0], s[0]); s[1] = multiply_add(n[2] * d, d, s[1] * n[1]);
     s[2] = flag[0] ? larger(s[1], s[2]) : s[1];
     return multiply_add(n[5], s[0] / multiply_add(sqrtf(s[2]), n[3], n[4]), x* job.shrink);)
// n: beta1 and 1 - beta1, beta2, eps, -rate
STEP(step_adamax, 2, s[0] = average(n, s[0], d); s[1] = larger(s[1] * n[2], fabsf(d) + n[3]);
     return multiply_add(n[4], s[0] / s[1], x);)
// n: the shares of beta1 and of beta2, 1 / sqrt(correction), eps; doubles: momentum, that of the next step, lr
STEP(step_nadam, 2, const double product = *tensor.product;
     const float of_gradient = float(-job.doubles[2] * (1 - job.doubles[0]) / (1 - product));
     const float of_mean = float(-job.doubles[2] * job.doubles[1] / (1 - product * job.doubles[1]));
     s[0] = average(n, s[0], d); s[1] = average(n + 2, s[1], d* d);
     const float moved = multiply_add(d, of_gradient, s[0] * of_mean);
     return multiply_add(x, job.shrink, moved / multiply_add(sqrtf(s[1]), n[4], n[5]));)
// n: the shares of beta1 and of beta2, eps, -rate; flag: adapts
STEP(step_radam, 2, s[0] = average(n, s[0], d); s[1] = average(n + 2, s[1], d* d);
     return multiply_add(n[5], flag[0] ? s[0] / (sqrtf(s[1]) + n[4]) : s[0], x* job.shrink);)
// n: the shares of alpha, eps, -lr, momentum; flags: centred, keeps
STEP(step_rmsprop, 3, s[0] = average(n, s[0], d* d); s[1] = average(n, s[1], d);
     const float scaled = d / (sqrtf(flag[0] ? s[0] - s[1] * s[1] : s[0]) + n[2]);
     s[2] = multiply_add(n[4], s[2], scaled); return multiply_add(n[3], flag[1] ? s[2] : scaled, x);)
// n: eps, -rate
STEP(step_adagrad, 1, s[0] = multiply_add(d, d, s[0]); return multiply_add(n[1], d / (sqrtf(s[0]) + n[0]), x);)
// n: the shares of rho, eps, -lr
STEP(step_adadelta, 2, s[0] = average(n, s[0], d* d); const float delta = sqrtf(s[1] + n[2]) / sqrtf(s[0] + n[2]) * d;
     s[1] = average(n, s[1], delta* delta); return multiply_add(n[3], delta, x);)
// n: the shares of beta1 and of beta2, -lr
STEP(step_lion, 1, const float v = average(n, s[0], d); s[0] = average(n + 2, s[0], d);
     return multiply_add(n[4],
                         v > 0   ? 1.0f
                         : v < 0 ? -1.0f
                                 : v,
                         x* job.shrink);)

// The products of momenta, before the step that reads them.
KERNEL(step_nadam_products, const __grid_constant__ Step job) {
  for (int32_t t = static_cast<int32_t>(threadIdx.x); t < job.tensor_count; t += 256)
    *job.tensors[t].product *= float(job.doubles[0]);
}

KERNEL(norm_parts, const __grid_constant__ NormTensors job) { sum_sizes(job); }
KERNEL(norm_finish, const __grid_constant__ NormTensors job) { finish_norm(job); }
KERNEL(norm_clip, const __grid_constant__ NormTensors job) { clip(job); }
