// Convolution and pooling against float64 oracles that follow the definitions: ragged shapes, strides, paddings wider
// than the kernel, dilation, groups, an empty batch; equal bits for 1, 2 and 3 threads; wrong calls are refused. The
// allowed error follows from the length of the sums and their terms. Buffers end with their last element, so that
// sanitizers see overruns.
#include <limits>

#include "../cpu/conv/winograd.h"
#include "convolutions.h"

namespace {

using namespace firesteel;
using namespace firesteel::FIRESTEEL_ISA;

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
  for (const Case& c : cases) Convolution(c).check_all();
}

// Shapes that Winograd's algorithm takes, in all three kernels: tiles that hang over each border, narrow planes, all
// paddings that leave each result some element, channels that fill no vector, and several blocks of tiles and of depth.
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
    Convolution(c).check_all();
  }
}

// No result depends on an element that it does not read, even if that is very large or not a number. A wide or
// non-finite tile is left to the direct sum. The error bound is the direct sum's, so a result of zeros alone must be
// zero.
void test_winograd_range() {
  const float huge = 3e38f, infinity = std::numeric_limits<float>::infinity(), nan = NAN;
  const Case cases[] = {
      {2, 48, 21, 18, 50, 3, 3, 1, 1, 1, 1, 1, 1, 1},  // borders in the middle of tiles, slabs
      {3, 24, 17, 18, 29, 3, 3, 1, 1, 0, 0, 1, 1, 1},  // slices
      {2, 31, 13, 14, 26, 3, 3, 1, 1, 2, 2, 1, 1, 1},  {2, 48, 20, 20, 60, 3, 3, 1, 1, 1, 0, 1, 1, 2},
      {1, 20, 20, 20, 300, 3, 3, 1, 1, 1, 1, 1, 1, 1},  // parts of the channels out
  };
  for (const Case& c : cases) {
    const conv::Shape s = shape_of(c);
    check(conv::winograd_product_pays(s, s.C, s.M, s.P, s.Q) && conv::winograd_product_pays(s, s.M, s.C, s.H, s.W) &&
              conv::winograd_weight_gradient_pays(s),
          name_of(c) + " goes another way");
    Numbers numbers{9};
    const auto somewhere = [&](Tensor<float>& t) -> float& {  // away from the border, where 0 times NaN is NaN
      const int64_t H = t.view.sizes[2], W = t.view.sizes[3];
      const auto below = [&](int64_t n) { return int64_t(fabs(double(numbers.next())) * double(n)); };
      const int64_t plane = below(t.view.sizes[0] * t.view.sizes[1]);
      return t.values[size_t((plane * H + 2 + below(H - 4)) * W + 2 + below(W - 4))];
    };
    for (const float value : {1e4f, 1e5f, 1e6f, huge, infinity, -infinity, nan})
      for (const bool of_x : {true, false}) {
        Convolution outlier(c);  // among other numbers
        somewhere(of_x ? outlier.x : outlier.dy) = value;
        outlier.check_once();
        if (value > 1e6f || value != value) continue;
        Convolution lonely(c);  // among zeros
        std::vector<float>& values = of_x ? lonely.x.values : lonely.dy.values;
        values.assign(values.size(), 0);
        for (int i = 0; i < 3; i++) somewhere(of_x ? lonely.x : lonely.dy) = value;
        lonely.check_once();
      }
    Convolution corners(c);
    corners.x.values.front() = 1e6f;
    corners.x.values.back() = -1e6f;
    corners.dy.values.front() = -1e6f;
    corners.dy.values.back() = 1e6f;
    corners.check_once();
    Convolution corner(c);  // in a corner, where all results of the last tile may read it, with taps of every size
    for (Tensor<float>* t : {&corner.x, &corner.dy}) {
      t->values.assign(t->values.size(), 0);
      t->values.back() = 1e6f;
    }
    for (size_t i = 0; i < corner.weight.values.size(); i++)
      if (i % 9 == 4 || i % 9 == 5) corner.weight.values[i] *= 1e-4f;
    corner.check_once();
    Convolution border(c);  // a row and a column that not all taps read
    for (size_t i = 0; i < border.x.values.size(); i++)
      if (int64_t(i) / c.W % c.H == c.H - 1 || int64_t(i) % c.W == c.W - 1) border.x.values[i] *= 1e6f;
    border.check_once();
    Convolution masked(c);  // a hole of zeros in all channels, and a half that is a thousandth of the other
    for (size_t i = 0; i < masked.x.values.size(); i++) {
      const int64_t h = int64_t(i) / c.W % c.H, w = int64_t(i) % c.W;
      if (h >= 3 && h < 11 && w >= 2 && w < 9) masked.x.values[i] = 0;
    }
    for (size_t i = 0; i < masked.dy.values.size(); i++)
      if (int64_t(i) % s.Q >= s.Q / 2) masked.dy.values[i] *= 1e-3f;
    masked.check_once();
    Convolution everything(c);
    for (float& x : everything.x.values) x = nan;
    for (float& g : everything.dy.values) g *= 1e25f;
    everything.check_once();
    Convolution filters(c);
    filters.weight.values[filters.weight.values.size() / 2] = infinity;
    for (float& x : filters.x.values) x = float(fabs(x));
    if (c.pad_h == 0)
      Oracle(c, filters.x, filters.weight, filters.dy)
          .y.compare(name_of(c) + ", a filter", filters.forward(nullptr, false).values);
  }
}

// The benefit of the chosen points. The largest error, relative to the largest result, is well within the goldens'
// tolerance for a sum of that many terms.
void test_winograd_error() {
  for (const int64_t channels : {32, 64, 512}) {
    const Case c = {1, channels, 24, 24, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1};
    const conv::Shape s = shape_of(c);
    check(conv::winograd_product_pays(s, s.C, s.M, s.P, s.Q), "error: goes another way");
    Tensor<float> x = random_tensor({1, channels, 24, 24}, 1), weight = random_tensor({16, channels, 3, 3}, 2), y;
    shape(y, {1, 16, 24, 24});
    run<float>("error", {&y}, [&](Context& context) {
      conv2d_forward(context, y.view, x.view, weight.view, nullptr, one, one, one, 1, false);
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

// The window (p, q) of a plane that is visited in order.
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
    max_pool2d_forward(context, y.view, indices.view, x.view, Vector{c.R, c.S}, Vector{c.stride_h, c.stride_w},
                       Vector{c.pad_h, c.pad_w}, Vector{c.dilation_h, c.dilation_w});
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
    avg_pool2d_forward(context, y.view, x.view, Vector{c.R, c.S}, Vector{c.stride_h, c.stride_w},
                       Vector{c.pad_h, c.pad_w}, padding, 0);
  });
  run<float>(name, {&dx}, [&](Context& context) {
    avg_pool2d_backward(context, dx.view, dy.view, Vector{c.R, c.S}, Vector{c.stride_h, c.stride_w},
                        Vector{c.pad_h, c.pad_w}, padding, 0);
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
  refused("another plane", [&](Context& c) {
    conv2d_forward(c, y.view, x.view, weight.view, nullptr, one, Vector{0, 1}, one, 1, false);
  });
  refused("groups",
          [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, one, one, one, 4, false); });
  refused("no groups",
          [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, one, one, one, 0, false); });
  refused("stride 0", [&](Context& c) {
    conv2d_forward(c, y.view, x.view, weight.view, nullptr, Vector{0, 1}, one, one, 1, false);
  });
  refused("padding", [&](Context& c) {
    conv2d_forward(c, y.view, x.view, weight.view, nullptr, one, Vector{huge, 1}, one, 1, false);
  });
  refused("dilation", [&](Context& c) {
    conv2d_forward(c, y.view, x.view, weight.view, nullptr, one, one, Vector{huge, 1}, 1, false);
  });
  for (const Vector& wrong : {Vector{}, Vector{1}, Vector{1, 1, 1}}) {
    refused("a stride of another rank",
            [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, wrong, one, one, 1, false); });
    refused("a padding of another rank",
            [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, one, wrong, one, 1, false); });
    refused("a dilation of another rank",
            [&](Context& c) { conv2d_forward(c, y.view, x.view, weight.view, nullptr, one, one, wrong, 1, false); });
  }

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
  test_winograd_range();
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
