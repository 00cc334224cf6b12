// The arguments of the kernels of optimisers, from the host (optimizer.cpp) to the device (optimizer.cu), for as many
// tensors as fit in a launch's parameter.
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

constexpr int tensors_of_step = 56, states_of_step = 3;
// The sizes of clipping and norms. Each block has pieces of one tensor.
constexpr int tensors_of_norm = 128, norm_blocks = 64;

struct StepTensor {
  float* param;
  const float* grad;
  float* states[states_of_step];
  void* shadow;  // bfloat16, or null
  int64_t count;
  float* product;  // the product of NAdam's momenta
};

struct Step {
  StepTensor tensors[tensors_of_step];
  int32_t tensor_count;
  float decay;   // the factor of p in the gradient
  float sign;    // -1 if the step maximises
  float shrink;  // 1 - lr * decoupled decay
  float numbers[8];
  double doubles[3];
  bool flags[3];
};

struct NormTensors {
  float* data[tensors_of_norm];
  int64_t counts[tensors_of_norm];
  double* parts;  // [tensors, norm_blocks]
  double p;
  float* norm;
  double largest;  // maxNorm
  int64_t part_count;
};

static_assert(sizeof(Step) <= 4096 && sizeof(NormTensors) <= 4096, "a launch's parameter has 4 KB");

}  // namespace firesteel::cuda
