// Convolution and pooling against float64 oracles that follow the definitions: ragged shapes, strides, paddings wider
// than the kernel, dilation, groups, an empty batch; equal bits for 1, 2 and 3 threads; wrong calls are refused. The
// error allowed follows from the length of the sums and their terms. Buffers end with their last element, so that
// sanitizers see overruns.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "../core/context.h"
#include "../cpu/conv/winograd.h"
#include "../generated/kernels.h"

namespace {

using namespace firesteel;
using namespace firesteel::FIRESTEEL_ISA;

int passed = 0, failed = 0;

void check(bool condition, const std::string& what) {
  condition ? passed++ : failed++;
  if (!condition && failed <= 20) fprintf(stderr, "failed: %s\n", what.c_str());
}

// Uniform in [-1, 1), the same everywhere.
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

// Runs with 1, 2 and 3 threads, compares bits, leaves the result of the last.
template <class T>
void run(const std::string& what, std::vector<Tensor<T>*> outputs, const std::function<void(Context&)>& kernel) {
  std::vector<std::vector<T>> first;
  for (int threads = 1; threads <= 3; threads++) {
    for (Tensor<T>* output : outputs) output->values.assign(output->values.size(), T(77));
    Context context(threads);
    kernel(context);
    context.release_scratch();
    check(!context.failed.load(), what + ": " + context.take_error().text);
    for (size_t i = 0; i < outputs.size(); i++) {
      const std::vector<T>& values = outputs[i]->values;
      if (threads == 1)
        first.push_back(values);
      else
        check(values.empty() || !memcmp(values.data(), first[i].data(), values.size() * sizeof(T)),
              what + ": bits of threads");
    }
  }
}

// |error| <= (terms + 3) epsilon sum of |terms|: no smaller bound holds for every order of summation.
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
      if (!(fabs(double(values[i]) - sum[i]) <= (terms[i] + 3) * 6e-8 * size[i])) {
        check(false, what + ": element " + std::to_string(i) + " is " + std::to_string(values[i]) + ", should be " +
                         std::to_string(sum[i]));
        return;
      }
    check(true, what);
  }
};

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

void test_conv(const Case& c) {
  const std::string name = name_of(c);
  const int64_t P = result_length(c.H, c.R, c.stride_h, c.pad_h, c.dilation_h);
  const int64_t Q = result_length(c.W, c.S, c.stride_w, c.pad_w, c.dilation_w);
  const int64_t in = c.C / c.groups, out = c.M / c.groups;
  Tensor<float> x = random_tensor({c.N, c.C, c.H, c.W}, 1), weight = random_tensor({c.M, in, c.R, c.S}, 2),
                bias = random_tensor({c.M}, 3), dy = random_tensor({c.N, c.M, P, Q}, 4), y, dx, dweight;
  shape(y, {c.N, c.M, P, Q});
  shape(dx, {c.N, c.C, c.H, c.W});
  shape(dweight, {c.M, in, c.R, c.S});

  Sums plain(y.values.size()), biased(y.values.size()), sums_x(x.values.size()), sums_weight(weight.values.size());
  for (int64_t n = 0; n < c.N; n++)
    for (int64_t m = 0; m < c.M; m++)
      for (int64_t p = 0; p < P; p++)
        for (int64_t q = 0; q < Q; q++) {
          const size_t at = size_t(((n * c.M + m) * P + p) * Q + q);
          biased.add(at, bias.values[size_t(m)]);
          for (int64_t k = 0; k < in; k++)
            for (int64_t r = 0; r < c.R; r++)
              for (int64_t s = 0; s < c.S; s++) {
                const int64_t h = p * c.stride_h - c.pad_h + r * c.dilation_h,
                              w = q * c.stride_w - c.pad_w + s * c.dilation_w;
                if (h < 0 || h >= c.H || w < 0 || w >= c.W) continue;
                const size_t from = size_t(((n * c.C + m / out * in + k) * c.H + h) * c.W + w);
                const size_t tap = size_t(((m * in + k) * c.R + r) * c.S + s);
                plain.add(at, double(x.values[from]) * weight.values[tap]);
                biased.add(at, double(x.values[from]) * weight.values[tap]);
                sums_x.add(from, double(dy.values[at]) * weight.values[tap]);
                sums_weight.add(tap, double(dy.values[at]) * x.values[from]);
              }
        }

  for (const View* b : {static_cast<const View*>(nullptr), static_cast<const View*>(&bias.view)}) {
    run<float>(name, {&y}, [&](Context& context) {
      conv2d_forward(context, y.view, x.view, weight.view, b, c.stride_h, c.stride_w, c.pad_h, c.pad_w, c.dilation_h,
                     c.dilation_w, c.groups, false);
    });
    (b ? biased : plain).compare(name + (b ? " with bias" : ""), y.values);
    Tensor<float> rectified;
    shape(rectified, {c.N, c.M, P, Q});
    run<float>(name, {&rectified}, [&](Context& context) {
      conv2d_forward(context, rectified.view, x.view, weight.view, b, c.stride_h, c.stride_w, c.pad_h, c.pad_w,
                     c.dilation_h, c.dilation_w, c.groups, true);
    });
    bool equal = true;
    for (size_t i = 0; i < y.values.size(); i++)
      equal = equal && rectified.values[i] == (y.values[i] < 0 ? 0 : y.values[i]);
    check(equal, name + (b ? " with bias" : "") + ", relu");
  }
  run<float>(name, {&dx}, [&](Context& context) {
    conv2d_input_gradient(context, dx.view, dy.view, weight.view, c.stride_h, c.stride_w, c.pad_h, c.pad_w,
                          c.dilation_h, c.dilation_w, c.groups);
  });
  sums_x.compare(name + ", gradient of the input", dx.values);
  run<float>(name, {&dweight}, [&](Context& context) {
    conv2d_weight_gradient(context, dweight.view, dy.view, x.view, c.stride_h, c.stride_w, c.pad_h, c.pad_w,
                           c.dilation_h, c.dilation_w, c.groups);
  });
  sums_weight.compare(name + ", gradient of the weight", dweight.values);
}

void test_convolutions() {
  const Case cases[] = {
      {2, 3, 9, 11, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},
      {0, 3, 9, 11, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {2, 7, 13, 17, 13, 1, 1, 1, 1, 0, 0, 1, 1, 1},
      {2, 70, 17, 19, 40, 1, 1, 1, 1, 0, 0, 1, 1, 1},
      {1, 6, 17, 16, 2, 1, 1, 1, 1, 0, 0, 1, 1, 1},    // in place, few channels out
      {2, 300, 5, 5, 33, 1, 1, 1, 1, 0, 0, 1, 1, 1},   // more than a block of depth
      {2, 37, 14, 15, 30, 3, 3, 1, 1, 1, 1, 1, 1, 1},  // the same with taps
      {1, 2, 40, 40, 8, 17, 18, 1, 1, 3, 4, 1, 1, 1},  // a channel deeper than a block
      {1, 2, 45, 47, 3, 17, 18, 2, 3, 3, 4, 1, 1, 1},
      {2, 3, 31, 33, 10, 7, 7, 2, 2, 3, 3, 1, 1, 1},  // a stem
      {1, 5, 10, 13, 4, 1, 1, 2, 2, 0, 0, 1, 1, 1},   // subsampling
      {1, 5, 10, 13, 8, 2, 2, 3, 4, 0, 0, 1, 1, 1},   // pixels that no window reads
      {1, 3, 32, 32, 24, 8, 8, 8, 8, 0, 0, 1, 1, 1},  // patches
      {1, 5, 10, 13, 8, 3, 2, 1, 2, 2, 0, 2, 3, 1},
      {1, 4, 6, 7, 6, 2, 3, 1, 1, 5, 7, 1, 1, 1},  // wider than the kernel
      {1, 4, 6, 7, 6, 2, 3, 2, 3, 5, 7, 1, 2, 1},
      {1, 2, 1, 900, 9, 1, 5, 1, 1, 0, 2, 1, 1, 1},     // one row, cut into blocks
      {1, 2, 1, 900, 9, 1, 3, 1, 2, 0, 0, 1, 300, 1},   // taps far apart
      {1, 2, 90, 5, 9, 3, 1, 2, 1, 0, 0, 31, 1, 1},     // also rows
      {2, 12, 9, 10, 18, 3, 3, 1, 1, 1, 1, 1, 1, 3},    // groups
      {2, 12, 9, 10, 6, 3, 3, 2, 1, 1, 0, 1, 2, 2},     //
      {3, 16, 14, 14, 16, 3, 3, 1, 1, 1, 1, 1, 1, 16},  // depthwise
      {2, 19, 15, 29, 19, 3, 3, 2, 2, 1, 1, 1, 1, 19},  //
      {2, 5, 9, 40, 10, 5, 4, 1, 1, 2, 2, 2, 1, 5},     // two out of each
      {1, 3, 70, 90, 9, 3, 3, 1, 1, 1, 1, 1, 1, 3},     //
      {4, 1, 28, 28, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1},    // digits
      {1, 20, 7, 7, 530, 3, 3, 1, 1, 1, 1, 1, 1, 1},    // parts of the channels out
      {9, 3, 4, 4, 2, 4, 4, 1, 1, 0, 0, 1, 1, 1},       // one position
      {1, 33, 57, 56, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {2, 30, 11, 12, 30, 3, 3, 1, 1, 5, 4, 1, 1, 1},    // results of nothing but padding
      {20, 300, 5, 7, 230, 1, 1, 1, 1, 0, 0, 1, 1, 1},   // weights beyond the second-level cache
      {1, 270, 18, 19, 230, 1, 1, 1, 1, 0, 0, 1, 1, 1},  // a gradient of the weight beyond it
      {1, 80, 33, 35, 150, 2, 2, 1, 1, 0, 0, 1, 1, 1},   // the same with taps
      {16, 20, 9, 10, 30, 3, 3, 2, 2, 1, 1, 1, 1, 1},    // phases that share tiles
      {2, 3, 40, 90, 20, 5, 5, 2, 2, 2, 2, 1, 1, 1},     //
      {2, 3, 41, 301, 20, 4, 5, 3, 2, 1, 0, 1, 1, 1},    //
      {1, 4, 30, 33, 9, 5, 3, 2, 2, 1, 1, 2, 3, 1},      //
  };
  for (const Case& c : cases) test_conv(c);
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

// Shapes that Winograd's algorithm takes, in all three kernels: tiles that hang over each border, narrow planes,
// paddings from none to all that leaves each result something, channels that fill no vector, several blocks of tiles
// and of depth.
void test_winograd() {
  const Case cases[] = {
      {5, 17, 19, 21, 33, 3, 3, 1, 1, 1, 1, 1, 1, 1},  {2, 33, 16, 16, 17, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {3, 24, 17, 18, 29, 3, 3, 1, 1, 0, 0, 1, 1, 1},  {1, 24, 23, 30, 23, 3, 3, 1, 1, 2, 0, 1, 1, 1},
      {2, 31, 13, 14, 26, 3, 3, 1, 1, 2, 2, 1, 1, 1},  {1, 29, 90, 7, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {1, 32, 7, 101, 29, 3, 3, 1, 1, 1, 1, 1, 1, 1},  {40, 32, 4, 4, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {30, 40, 7, 7, 40, 3, 3, 1, 1, 1, 1, 1, 1, 1},   {3, 48, 15, 16, 66, 3, 3, 1, 1, 1, 0, 1, 1, 2},
      {2, 400, 16, 16, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1}, {1, 20, 20, 20, 300, 3, 3, 1, 1, 1, 1, 1, 1, 1},
  };
  for (const Case& c : cases) {
    const conv::Shape s = shape_of(c);
    check(conv::winograd_product_pays(s, s.C, s.M, s.P, s.Q) && conv::winograd_product_pays(s, s.M, s.C, s.H, s.W) &&
              conv::winograd_weight_gradient_pays(s),
          name_of(c) + " goes another way");
    test_conv(c);
  }
}

// The gradient of the weight over more tiles than are transformed at a time, by all threads or by one, where dy is zero
// but in places that fall on every border of tiles and blocks: an oracle that visits those is quick.
void test_winograd_slabs(int64_t channels, int64_t M) {
  const Case c = {3, channels, 75, 81, M, 3, 3, 1, 1, 1, 1, 1, 1, 1};
  const conv::Shape s = shape_of(c);
  check(conv::winograd_weight_gradient_pays(s), "slabs: goes another way");
  Tensor<float> x = random_tensor({c.N, c.C, c.H, c.W}, 1), dy, dweight;
  shape(dy, {c.N, c.M, s.P, s.Q});
  shape(dweight, {c.M, c.C, 3, 3});
  dy.values.assign(dy.values.size(), 0);
  Sums sums(dweight.values.size());
  Numbers numbers{7};
  for (int64_t n = 0; n < c.N; n++)
    for (int64_t i = 0; i < s.P * s.Q; i += i % 5 + 37)
      for (int64_t m = i % 3; m < c.M; m += 13) {
        const float g = dy.values[size_t((n * c.M + m) * s.P * s.Q + i)] = numbers.next();
        for (int64_t k = 0; k < c.C; k++)
          for (int64_t t = 0; t < 9; t++) {
            const int64_t h = i / s.Q - 1 + t / 3, w = i % s.Q - 1 + t % 3;
            if (h >= 0 && h < c.H && w >= 0 && w < c.W)
              sums.add(size_t((m * c.C + k) * 9 + t),
                       double(g) * x.values[size_t(((n * c.C + k) * c.H + h) * c.W + w)]);
          }
      }
  run<float>("slabs", {&dweight}, [&](Context& context) {
    conv2d_weight_gradient(context, dweight.view, dy.view, x.view, 1, 1, 1, 1, 1, 1, 1);
  });
  sums.compare("slabs", dweight.values);
}

// What the choice of points is worth: the largest error, relative to the largest result, within what the goldens allow
// of a sum of that many terms, with room to spare.
void test_winograd_error() {
  for (const int64_t channels : {32, 64, 512}) {
    const Case c = {1, channels, 24, 24, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1};
    const conv::Shape s = shape_of(c);
    check(conv::winograd_product_pays(s, s.C, s.M, s.P, s.Q), "error: goes another way");
    Tensor<float> x = random_tensor({1, channels, 24, 24}, 1), weight = random_tensor({16, channels, 3, 3}, 2), y;
    shape(y, {1, 16, 24, 24});
    run<float>("error", {&y}, [&](Context& context) {
      conv2d_forward(context, y.view, x.view, weight.view, nullptr, 1, 1, 1, 1, 1, 1, 1, false);
    });
    double largest = 0, error = 0;
    for (int64_t i = 0; i < 16 * 24 * 24; i++) {
      double sum = 0;
      for (int64_t k = 0; k < channels * 9; k++) {
        const int64_t h = i % 576 / 24 - 1 + k % 9 / 3, w = i % 24 - 1 + k % 3;
        if (h >= 0 && h < 24 && w >= 0 && w < 24)
          sum +=
              double(weight.values[size_t(i / 576 * channels * 9 + k)]) * x.values[size_t((k / 9 * 24 + h) * 24 + w)];
      }
      largest = fmax(largest, fabs(sum));
      error = fmax(error, fabs(sum - double(y.values[size_t(i)])));
    }
    const double allowed = 1.2e-7 * (16 + 4 * sqrt(double(channels * 9))) * largest;
    printf("winograd, %d channels: error %.1e of the largest, %.2f of what is allowed\n", int(channels),
           error / largest, error / allowed);
    check(error < 0.3 * allowed, "winograd is exact enough");
  }
}

// Window (p, q) of a plane visited in order.
struct Pool {
  int64_t H, W, R, S, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int64_t P, Q;
  template <class F>
  void each(int64_t p, int64_t q, const F& body) const {
    for (int64_t r = 0; r < R; r++)
      for (int64_t s = 0; s < S; s++) {
        const int64_t h = p * stride_h - pad_h + r * dilation_h, w = q * stride_w - pad_w + s * dilation_w;
        if (h >= 0 && h < H && w >= 0 && w < W) body(h * W + w);
      }
  }
};

void test_pool(Pool c, bool padding) {
  char text[160];
  snprintf(text, sizeof text, "pool %dx%d kernel %dx%d stride %d,%d pad %d,%d dilation %d,%d", int(c.H), int(c.W),
           int(c.R), int(c.S), int(c.stride_h), int(c.stride_w), int(c.pad_h), int(c.pad_w), int(c.dilation_h),
           int(c.dilation_w));
  const std::string name = text;
  c.P = result_length(c.H, c.R, c.stride_h, c.pad_h, c.dilation_h);
  c.Q = result_length(c.W, c.S, c.stride_w, c.pad_w, c.dilation_w);
  const int64_t N = 3, C = 5, planes = N * C;
  Tensor<float> x = random_tensor({N, C, c.H, c.W}, 5), dy = random_tensor({N, C, c.P, c.Q}, 6), y, dx;
  Tensor<int32_t> indices;
  shape(y, {N, C, c.P, c.Q});
  shape(dx, {N, C, c.H, c.W});
  shape(indices, {N, C, c.P, c.Q});
  // Ties, infinities and NaN.
  for (size_t i = 0; i < x.values.size(); i++) {
    if (i % 3 == 0) x.values[i] = float(int(x.values[i] * 2));
    if (i % 41 == 7) x.values[i] = std::numeric_limits<float>::quiet_NaN();
    if (i % 29 == 3) x.values[i] = -std::numeric_limits<float>::infinity();
  }
  run<float>(name, {&y}, [&](Context& context) {
    max_pool2d_forward(context, y.view, indices.view, x.view, c.R, c.S, c.stride_h, c.stride_w, c.pad_h, c.pad_w,
                       c.dilation_h, c.dilation_w);
  });
  run<float>(name, {&dx}, [&](Context& context) { max_pool2d_backward(context, dx.view, dy.view, indices.view); });
  bool right = true;
  std::vector<float> expected(x.values.size());
  for (int64_t plane = 0; plane < planes; plane++)
    for (int64_t p = 0; p < c.P; p++)
      for (int64_t q = 0; q < c.Q; q++) {
        const float* from = x.values.data() + plane * c.H * c.W;
        int64_t best = -1;
        c.each(p, q, [&](int64_t at) {
          if (best < 0 || from[at] > from[best] || (isnan(from[at]) && !isnan(from[best]))) best = at;
        });
        const size_t at = size_t((plane * c.P + p) * c.Q + q);
        right = right && indices.values[at] == best && !memcmp(&y.values[at], from + best, sizeof(float));
        expected[size_t(plane * c.H * c.W + best)] += dy.values[at];
      }
  check(right, name + ": maximum");
  check(expected == dx.values, name + ": gradient of the maximum");

  x = random_tensor({N, C, c.H, c.W}, 5);
  run<float>(name, {&y}, [&](Context& context) {
    avg_pool2d_forward(context, y.view, x.view, c.R, c.S, c.stride_h, c.stride_w, c.pad_h, c.pad_w, padding);
  });
  run<float>(name, {&dx}, [&](Context& context) {
    avg_pool2d_backward(context, dx.view, dy.view, c.R, c.S, c.stride_h, c.stride_w, c.pad_h, c.pad_w, padding);
  });
  if (c.dilation_h != 1 || c.dilation_w != 1) return;
  Sums means(y.values.size()), shares(x.values.size());
  for (int64_t plane = 0; plane < planes; plane++)
    for (int64_t p = 0; p < c.P; p++)
      for (int64_t q = 0; q < c.Q; q++) {
        int64_t size = 0;
        c.each(p, q, [&](int64_t) { size++; });
        if (padding) size = c.R * c.S;
        const size_t at = size_t((plane * c.P + p) * c.Q + q);
        c.each(p, q, [&](int64_t in) {
          means.add(at, double(x.values[size_t(plane * c.H * c.W + in)]) / double(size));
          shares.add(size_t(plane * c.H * c.W + in), double(dy.values[at]) / double(size));
        });
      }
  means.compare(name + ": average", y.values);
  shares.compare(name + ": gradient of the average", dx.values);
}

void test_refusals() {
  Tensor<float> x = random_tensor({1, 4, 8, 8}, 1), weight = random_tensor({6, 4, 3, 3}, 2), y;
  shape(y, {1, 6, 8, 8});
  const auto refused = [&](const char* what, const std::function<void(Context&)>& kernel) {
    Context context(1);
    kernel(context);
    context.release_scratch();
    check(context.failed.load(), std::string("refused: ") + what);
    check(y.values[0] == 77, std::string("nothing written: ") + what);
  };
  const int64_t huge = int64_t(1) << 62;
  refused("another plane",
          [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, 1, 1, 0, 1, 1, 1, 1, false); });
  refused("groups",
          [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, 1, 1, 1, 1, 1, 1, 4, false); });
  refused("no groups",
          [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, 1, 1, 1, 1, 1, 1, 0, false); });
  refused("stride 0",
          [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, 0, 1, 1, 1, 1, 1, 1, false); });
  refused("padding",
          [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, 1, 1, huge, 1, 1, 1, 1, false); });
  refused("dilation",
          [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, 1, 1, 1, 1, huge, 1, 1, false); });

  Tensor<float> dy = random_tensor({1, 1, 1, 2}, 3), dx;
  Tensor<int32_t> indices;
  shape(dx, {1, 1, 2, 2});
  shape(indices, {1, 1, 1, 2});
  indices.values = {4, -1};
  indices.view.data = indices.values.data();
  Context context(1);
  max_pool2d_backward(context, dx.view, dy.view, indices.view);
  check(context.take_error().code == ErrorCode::index && dx.values == std::vector<float>(4, 0.0f),
        "an index out of its plane");
}

}  // namespace

int main() {
  test_convolutions();
  test_winograd();
  test_winograd_slabs(64, 66);
  test_winograd_slabs(32, 48);
  test_winograd_slabs(16, 20);
  test_winograd_error();
  for (bool padding : {false, true}) {
    test_pool({8, 10, 2, 2, 2, 2, 0, 0, 1, 1, 0, 0}, padding);
    test_pool({28, 28, 2, 2, 2, 2, 0, 0, 1, 1, 0, 0}, padding);
    test_pool({29, 71, 2, 2, 2, 2, 0, 0, 1, 1, 0, 0}, padding);
    test_pool({29, 70, 2, 2, 2, 2, 1, 0, 1, 1, 0, 0}, padding);
    test_pool({29, 70, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0}, padding);
    test_pool({15, 17, 3, 3, 2, 2, 1, 1, 1, 1, 0, 0}, padding);
    test_pool({15, 17, 3, 2, 1, 3, 1, 0, 1, 1, 0, 0}, padding);
    test_pool({15, 17, 3, 3, 2, 1, 1, 1, 2, 3, 0, 0}, padding);
    test_pool({7, 7, 7, 7, 1, 1, 0, 0, 1, 1, 0, 0}, padding);
    test_pool({1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0}, padding);
  }
  test_refusals();
  printf("conv: %d passed, %d failed\n", passed, failed);
  return failed != 0;
}
