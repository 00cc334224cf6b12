// Launches the entries of optimizer.cu: computes the numbers of a step, and passes as many tensors as a launch takes.
#include <algorithm>
#include <cmath>

#include "device.h"
#include "steps.h"

namespace firesteel::cuda {
namespace {

constexpr unsigned blocks_of_tensor = 64;
constexpr int64_t block_elements = 1024;

float* at(const ViewList& list, int64_t t) { return static_cast<float*>(list.items[t].data); }

// The lists of a step in the order of its row: params, grads, states, and last shadows.
struct Lists {
  const ViewList* lists;
  int states;
  int shadows;        // the place of the list
  int products = -1;  // the place of NAdam's products, or -1
};

bool parallel(Device& device, const Lists& l) {
  const ViewList& params = l.lists[0];
  for (int i = 1; i <= l.states + 1; i++) {
    const ViewList& list = l.lists[i];
    // A state may be absent.
    if (i > 1 && list.size == 0) continue;
    if (list.size != params.size) return device.fail("optimizer: lists of tensors differ in length");
    for (int64_t t = 0; t < list.size; t++)
      if (list.items[t].count != params.items[t].count) return device.fail("optimizer: sizes of tensors differ");
  }
  const ViewList& shadows = l.lists[l.shadows];
  if (shadows.size > params.size) return device.fail("optimizer: more shadows than parameters");
  for (int64_t t = 0; t < shadows.size; t++)
    if (shadows.items[t].count != params.items[t].count) return device.fail("optimizer: a shadow differs in size");
  if (l.products >= 0 && l.lists[l.products].size != params.size)
    return device.fail("optimizer: lists of tensors differ in length");
  return true;
}

unsigned blocks_for(int64_t largest) {
  return static_cast<unsigned>(
      std::clamp<int64_t>((largest + block_elements - 1) / block_elements, 1, blocks_of_tensor));
}

bool run(Device& device, const char* entry, const Lists& l, Step job) {
  if (!parallel(device, l)) return false;
  const ViewList &params = l.lists[0], &shadows = l.lists[l.shadows];
  for (int64_t first = 0; first < params.size; first += tensors_of_step) {
    job.tensor_count = static_cast<int32_t>(std::min<int64_t>(params.size - first, tensors_of_step));
    int64_t largest = 0;
    for (int32_t i = 0; i < job.tensor_count; i++) {
      const int64_t t = first + i;
      StepTensor& tensor = job.tensors[i];
      tensor = {};
      tensor.param = at(params, t);
      tensor.grad = at(l.lists[1], t);
      for (int s = 0; s < l.states; s++)
        if (l.lists[2 + s].size > 0) tensor.states[s] = at(l.lists[2 + s], t);
      if (t < shadows.size) tensor.shadow = shadows.items[t].data;
      if (l.products >= 0) tensor.product = at(l.lists[l.products], t);
      tensor.count = params.items[t].count;
      largest = std::max(largest, tensor.count);
    }
    if (l.products >= 0 && !device.launch("step_nadam_products", Grid{1}, &job)) return false;
    if (!device.launch(entry, Grid{blocks_for(largest), static_cast<unsigned>(job.tensor_count)}, &job)) return false;
  }
  return true;
}

// A step with its weight decay, and with a sign of -1 if it maximises.
Step step_of(double lr, double weight_decay, bool decoupled, bool maximize) {
  Step job = {};
  job.decay = static_cast<float>(decoupled ? 0 : weight_decay);
  job.sign = maximize ? -1.0f : 1.0f;
  job.shrink = static_cast<float>(decoupled ? 1 - lr * weight_decay : 1.0);
  return job;
}

void set(Step* job, std::initializer_list<double> numbers) {
  int i = 0;
  for (const double number : numbers) job->numbers[i++] = static_cast<float>(number);
}

bool sgd(Device& device, const Launchable&, const KernelCall& call) {
  const double* n = call.numbers;  // lr, momentum, dampening, weightDecay, nesterov, maximize, first
  Step job = step_of(n[0], n[3], false, n[5] != 0);
  set(&job, {-n[0], n[1], 1 - n[2]});
  job.flags[0] = n[4] != 0;
  job.flags[1] = n[6] != 0;
  job.flags[2] = n[1] != 0;
  if (job.flags[2] && call.lists[2].size != call.lists[0].size)
    return device.fail("optimizer: lists of tensors differ in length");
  return run(device, "step_sgd", {call.lists, job.flags[2] ? 1 : 0, 3}, job);
}

bool adam(Device& device, const Launchable&, const KernelCall& call) {
  const double* n = call.numbers;  // lr, beta1, beta2, eps, weightDecay, decoupled, maximize, step
  Step job = step_of(n[0], n[4], n[5] != 0, n[6] != 0);
  if (n[7] < 1) return device.fail("adam: the first step is 1");
  const double correction1 = 1 - std::pow(n[1], n[7]), correction2 = 1 - std::pow(n[2], n[7]);
  set(&job, {1 - n[1], n[2], 1 - n[2], 1 / std::sqrt(correction2), n[3], -n[0] / correction1});
  job.flags[0] = call.lists[4].size != 0;
  return run(device, "step_adam", {call.lists, 3, 5}, job);
}

bool adamax(Device& device, const Launchable&, const KernelCall& call) {
  const double* n = call.numbers;  // rate, beta1, beta2, eps, weightDecay, maximize
  Step job = step_of(0, n[4], false, n[5] != 0);
  set(&job, {n[1], 1 - n[1], n[2], n[3], -n[0]});
  return run(device, "step_adamax", {call.lists, 2, 4}, job);
}

bool nadam(Device& device, const Launchable&, const KernelCall& call) {
  // lr, beta1, beta2, eps, momentum, nextMomentum, correction, weightDecay, decoupled, maximize
  const double* n = call.numbers;
  Step job = step_of(n[0], n[7], n[8] != 0, n[9] != 0);
  set(&job, {n[1], 1 - n[1], n[2], 1 - n[2], 1 / std::sqrt(n[6]), n[3]});
  job.doubles[0] = n[4];
  job.doubles[1] = n[5];
  job.doubles[2] = n[0];
  return run(device, "step_nadam", {call.lists, 2, 5, 4}, job);
}

bool radam(Device& device, const Launchable&, const KernelCall& call) {
  const double* n = call.numbers;  // lr, beta1, beta2, eps, rate, adapts, weightDecay, decoupled, maximize
  Step job = step_of(n[0], n[6], n[7] != 0, n[8] != 0);
  set(&job, {n[1], 1 - n[1], n[2], 1 - n[2], n[3], -n[4]});
  job.flags[0] = n[5] != 0;
  return run(device, "step_radam", {call.lists, 2, 4}, job);
}

bool rmsprop(Device& device, const Launchable&, const KernelCall& call) {
  const double* n = call.numbers;  // lr, alpha, eps, momentum, weightDecay, maximize
  Step job = step_of(n[0], n[4], false, n[5] != 0);
  set(&job, {n[1], 1 - n[1], n[2], -n[0], n[3]});
  job.flags[0] = call.lists[3].size != 0;
  job.flags[1] = call.lists[4].size != 0;
  return run(device, "step_rmsprop", {call.lists, 3, 5}, job);
}

bool adagrad(Device& device, const Launchable&, const KernelCall& call) {
  const double* n = call.numbers;  // rate, eps, weightDecay, maximize
  Step job = step_of(0, n[2], false, n[3] != 0);
  set(&job, {n[1], -n[0]});
  return run(device, "step_adagrad", {call.lists, 1, 3}, job);
}

bool adadelta(Device& device, const Launchable&, const KernelCall& call) {
  const double* n = call.numbers;  // lr, rho, eps, weightDecay, maximize
  Step job = step_of(0, n[3], false, n[4] != 0);
  set(&job, {n[1], 1 - n[1], n[2], -n[0]});
  return run(device, "step_adadelta", {call.lists, 2, 4}, job);
}

bool lion(Device& device, const Launchable&, const KernelCall& call) {
  const double* n = call.numbers;  // lr, beta1, beta2, weightDecay, maximize
  Step job = step_of(n[0], n[3], true, n[4] != 0);
  set(&job, {n[1], 1 - n[1], n[2], 1 - n[2], -n[0]});
  return run(device, "step_lion", {call.lists, 1, 3}, job);
}

// Launches an entry for tensors in portions. `each` gets the number of a portion's first tensor.
template <class F>
bool for_portions(Device& device, const char* entry, const ViewList& tensors, NormTensors job, bool whole_grid,
                  const F& each) {
  for (int64_t first = 0; first < tensors.size; first += tensors_of_norm) {
    const int64_t count = std::min<int64_t>(tensors.size - first, tensors_of_norm);
    int64_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
      job.data[i] = at(tensors, first + i);
      job.counts[i] = tensors.items[first + i].count;
      largest = std::max(largest, job.counts[i]);
    }
    each(&job, first);
    const unsigned blocks = whole_grid ? norm_blocks : blocks_for(largest);
    if (!device.launch(entry, Grid{blocks, static_cast<unsigned>(count)}, &job)) return false;
  }
  return true;
}

bool total_norm(Device& device, const Launchable&, const KernelCall& call) {
  const View& out = call.views[0];
  const ViewList& tensors = call.lists[0];
  NormTensors job = {};
  job.p = call.numbers[0];
  job.norm = static_cast<float*>(out.data);
  if (out.count != 1) return device.fail("total_norm: out is not a scalar");
  if (!(job.p > 0)) return device.fail("total_norm: p must be positive", ErrorCode::value);
  Scratch room(device);
  double* const parts = room.take<double>(tensors.size * norm_blocks);
  if (!parts) return false;
  const auto part = [parts](NormTensors* portion, int64_t first) { portion->parts = parts + first * norm_blocks; };
  if (!for_portions(device, "norm_parts", tensors, job, true, part)) return false;
  job.parts = parts;
  job.part_count = tensors.size * norm_blocks;
  return device.launch("norm_finish", Grid{1}, &job);
}

bool clip_scale(Device& device, const Launchable&, const KernelCall& call) {
  const View& norm = call.views[0];
  NormTensors job = {};
  job.norm = static_cast<float*>(norm.data);
  job.largest = call.numbers[0];
  if (norm.count != 1) return device.fail("clip_scale: norm is not a scalar");
  return for_portions(device, "norm_clip", call.lists[0], job, false, [](NormTensors*, int64_t) {});
}

}  // namespace

const Launchable optimizer_kernels[] = {
    {"sgd", sgd, "step_sgd"},
    {"adam", adam, "step_adam"},
    {"adamax", adamax, "step_adamax"},
    {"nadam", nadam, "step_nadam"},
    {"radam", radam, "step_radam"},
    {"rmsprop", rmsprop, "step_rmsprop"},
    {"adagrad", adagrad, "step_adagrad"},
    {"adadelta", adadelta, "step_adadelta"},
    {"lion", lion, "step_lion"},
    {"total_norm", total_norm, "norm_parts"},
    {"clip_scale", clip_scale, "norm_clip"},
    {},
};

}  // namespace firesteel::cuda
