// The common part of the tests of convolution and pooling: tensors, float64 sums with their bounds, and a convolution
// whose result and gradients are checked against them with 1, 2 and 3 threads.
#pragma once
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <functional>
#include <string>
#include <vector>

#include "../core/context.h"
#include "../cpu/conv/shape.h"
#include "../generated/kernels.h"
#include "integers.h"
#include "sanitizers.h"

namespace {

using namespace firesteel;
using namespace firesteel::FIRESTEEL_ISA;
using firesteel::test::Vector;

int passed = 0, failed = 0;

void check(bool condition, const std::string& what) {
  condition ? passed++ : failed++;
  if (!condition && failed <= 20) fprintf(stderr, "failed: %s\n", what.c_str());
}

// Uniform in [-1, 1), the same on every machine.
struct Numbers {
  uint32_t state;
  float next() {
    state = state * 1664525u + 1013904223u;
    return float(int32_t(state >> 8) - (1 << 23)) / float(1 << 23);
  }
};

template <class T>
struct Tensor {
  std::vector<T> values;
  View view;
};

template <class T>
void shape(Tensor<T>& tensor, std::vector<int64_t> sizes) {
  tensor.view = {};
  tensor.view.dtype = sizeof(T) == 4 && T(0.5) != T(0) ? DType::float32 : DType::int32;
  tensor.view.ndim = int(sizes.size());
  int64_t count = 1;
  for (int i = tensor.view.ndim - 1; i >= 0; i--) {
    tensor.view.sizes[i] = sizes[size_t(i)];
    tensor.view.strides[i] = count;
    count *= sizes[size_t(i)];
  }
  tensor.view.count = count;
  tensor.values.assign(size_t(count), T(77));
  tensor.values.shrink_to_fit();
  tensor.view.data = tensor.values.data();
}

Tensor<float> random_tensor(std::vector<int64_t> sizes, uint32_t seed) {
  Tensor<float> tensor;
  shape(tensor, sizes);
  Numbers numbers{seed};
  for (float& x : tensor.values) x = numbers.next();
  return tensor;
}

// Runs with 1, 2 and 3 threads, compares bits, and leaves the last result.
template <class T>
void run(const std::string& what, std::vector<Tensor<T>*> outputs, const std::function<void(Context&)>& kernel) {
  std::vector<std::vector<T>> first;
  for (int threads = firesteel::test::least_threads; threads <= 3; threads++) {
    for (Tensor<T>* output : outputs) output->values.assign(output->values.size(), T(77));
    Context context(threads);
    kernel(context);
    context.release_scratch();
    check(!context.failed.load(), what + ": " + context.take_error().text);
    for (size_t i = 0; i < outputs.size(); i++) {
      const std::vector<T>& values = outputs[i]->values;
      if (threads == firesteel::test::least_threads)
        first.push_back(values);
      else
        check(values.empty() || !memcmp(values.data(), first[i].data(), values.size() * sizeof(T)),
              what + ": bits of threads");
    }
  }
}

// |error| <= (terms + 3) epsilon sum of |terms|, because no smaller bound holds for every order of summation. A result
// that is not finite must be the same.
struct Sums {
  std::vector<double> sum, size, terms;
  explicit Sums(size_t count) : sum(count), size(count), terms(count) {}
  void add(size_t i, double term) {
    sum[i] += term;
    size[i] += fabs(term);
    terms[i]++;
  }
  void compare(const std::string& what, const std::vector<float>& values) const {
    for (size_t i = 0; i < sum.size(); i++)
      if (isfinite(sum[i]) ? !(fabs(double(values[i]) - sum[i]) <= (terms[i] + 3) * 6e-8 * size[i])
                           : isnan(sum[i]) != isnan(values[i]) || (isinf(sum[i]) && double(values[i]) != sum[i])) {
        check(false, what + ": element " + std::to_string(i) + " is " + std::to_string(values[i]) + ", should be " +
                         std::to_string(sum[i]));
        return;
      }
    check(true, what);
  }
};

const Vector one = {1, 1};

struct Case {
  int64_t N, C, H, W, M, R, S, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;  // C, M: of all groups
};

std::string name_of(const Case& c) {
  char text[200];
  snprintf(text, sizeof text, "conv N%d C%d %dx%d M%d kernel %dx%d stride %d,%d pad %d,%d dilation %d,%d groups %d",
           int(c.N), int(c.C), int(c.H), int(c.W), int(c.M), int(c.R), int(c.S), int(c.stride_h), int(c.stride_w),
           int(c.pad_h), int(c.pad_w), int(c.dilation_h), int(c.dilation_w), int(c.groups));
  return text;
}

int64_t result_length(int64_t length, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
  return (length + 2 * pad - dilation * (taps - 1) - 1) / stride + 1;
}

conv::Shape shape_of(const Case& c) {
  return {c.N,
          c.groups,
          c.C / c.groups,
          c.M / c.groups,
          c.H,
          c.W,
          c.R,
          c.S,
          result_length(c.H, c.R, c.stride_h, c.pad_h, c.dilation_h),
          result_length(c.W, c.S, c.stride_w, c.pad_w, c.dilation_w),
          c.stride_h,
          c.stride_w,
          c.pad_h,
          c.pad_w,
          c.dilation_h,
          c.dilation_w};
}

// The definition of a convolution and of its gradients, row by row. An element outside the plane gives no term.
struct Oracle {
  Sums y, dx, dweight;  // y is without the bias
  Oracle(const Case& c, const Tensor<float>& x, const Tensor<float>& weight, const Tensor<float>& dy)
      : y(dy.values.size()), dx(x.values.size()), dweight(weight.values.size()) {
    const conv::Shape s = shape_of(c);
    y.terms.assign(y.terms.size(), double(s.C * s.R * s.S));
    dx.terms.assign(dx.terms.size(), double(s.M * s.R * s.S));
    dweight.terms.assign(dweight.terms.size(), double(s.N * s.P * s.Q));
    for (int64_t image_group = 0; image_group < s.N * s.G; image_group++)
      for (int64_t m = 0; m < s.M; m++)
        for (int64_t k = 0; k < s.C; k++)
          for (int64_t tap = 0; tap < s.R * s.S; tap++) {
            const int64_t to = (image_group * s.M + m) * s.P * s.Q, from = (image_group * s.C + k) * s.H * s.W;
            const size_t at = size_t(((image_group % s.G * s.M + m) * s.C + k) * s.R * s.S + tap);
            const int64_t h0 = tap / s.S * s.dilation_h - s.pad_h, w0 = tap % s.S * s.dilation_w - s.pad_w;
            const double w = weight.values[at];
            double sum = 0, size = 0;
            for (int64_t p = 0; p < s.P; p++) {
              const int64_t h = p * s.stride_h + h0;
              if (h < 0 || h >= s.H) continue;
              int64_t q = w0 < 0 ? (-w0 + s.stride_w - 1) / s.stride_w : 0;
              for (; q < s.Q && q * s.stride_w + w0 < s.W; q++) {
                const size_t result = size_t(to + p * s.Q + q), place = size_t(from + h * s.W + q * s.stride_w + w0);
                const double value = x.values[place], gradient = dy.values[result];
                const double forward = value * w, backward = gradient * w, both = value * gradient;
                y.sum[result] += forward;
                y.size[result] += fabs(forward);
                dx.sum[place] += backward;
                dx.size[place] += fabs(backward);
                sum += both;
                size += fabs(both);
              }
            }
            dweight.sum[at] += sum;
            dweight.size[at] += size;
          }
  }
};

// A case with its tensors, which a test may change before the check.
struct Convolution {
  const Case c;
  const std::string name;
  Tensor<float> x, weight, bias, dy;

  explicit Convolution(const Case& c) : c(c), name(name_of(c)) {
    const conv::Shape s = shape_of(c);
    x = random_tensor({c.N, c.C, c.H, c.W}, 1);
    weight = random_tensor({c.M, s.C, c.R, c.S}, 2);
    bias = random_tensor({c.M}, 3);
    dy = random_tensor({c.N, c.M, s.P, s.Q}, 4);
  }

  Tensor<float> forward(const View* b, bool relu) const {
    Tensor<float> y;
    shape(y, {dy.view.sizes[0], dy.view.sizes[1], dy.view.sizes[2], dy.view.sizes[3]});
    run<float>(name, {&y}, [&](Context& context) {
      conv2d_forward(context, y.view, x.view, weight.view, b, Vector{c.stride_h, c.stride_w}, Vector{c.pad_h, c.pad_w},
                     Vector{c.dilation_h, c.dilation_w}, c.groups, relu);
    });
    return y;
  }

  // All ways through the kernels: with and without a bias, and with a relu.
  void check_all() const {
    Oracle oracle(c, x, weight, dy);
    oracle.y.compare(name, forward(nullptr, false).values);
    check_gradients(oracle);
    const size_t plane = c.N * c.M == 0 ? 1 : dy.values.size() / size_t(c.N * c.M);
    for (size_t i = 0; i < dy.values.size(); i++) oracle.y.add(i, bias.values[i / plane % size_t(c.M)]);
    oracle.y.compare(name + " with bias", forward(&bias.view, false).values);
    for (const View* b : {static_cast<const View*>(nullptr), &bias.view}) {
      const Tensor<float> y = forward(b, false), rectified = forward(b, true);
      bool equal = true;
      for (size_t i = 0; i < y.values.size(); i++)
        equal = equal && rectified.values[i] == (y.values[i] < 0 ? 0 : y.values[i]);
      check(equal, name + (b ? " with bias" : "") + ", relu");
    }
  }

  // Each kernel once.
  void check_once() const {
    const Oracle oracle(c, x, weight, dy);
    oracle.y.compare(name, forward(nullptr, false).values);
    check_gradients(oracle);
  }

  void check_gradients(const Oracle& oracle) const {
    Tensor<float> dx, dweight;
    shape(dx, {c.N, c.C, c.H, c.W});
    shape(dweight, {c.M, c.C / c.groups, c.R, c.S});
    run<float>(name, {&dx}, [&](Context& context) {
      conv2d_input_gradient(context, dx.view, dy.view, weight.view, Vector{c.stride_h, c.stride_w},
                            Vector{c.pad_h, c.pad_w}, Vector{c.dilation_h, c.dilation_w}, c.groups);
    });
    oracle.dx.compare(name + ", gradient of the input", dx.values);
    run<float>(name, {&dweight}, [&](Context& context) {
      conv2d_weight_gradient(context, dweight.view, dy.view, x.view, Vector{c.stride_h, c.stride_w},
                             Vector{c.pad_h, c.pad_w}, Vector{c.dilation_h, c.dilation_w}, c.groups);
    });
    oracle.dweight.compare(name + ", gradient of the weight", dweight.values);
  }
};

}  // namespace
