// Convolution and its two gradients as matrix products. Each product takes as many images as there is memory for their
// patches.
//
//   out [n, g, O, PQ] = weight [g, O, CRS] patches [g, CRS, n, PQ]    (O outputs and C channels of each of g groups)
//   patches' gradient = weight^T dy, of which each element of dx adds its taps;  dweight = dy patches^T
#include <algorithm>
#include <limits>

#include "device.h"
#include "multiply.h"
#include "windows.h"

namespace firesteel::cuda {
namespace {

constexpr int64_t most = std::numeric_limits<int32_t>::max();
// The number of elements of the patches that are made at a time.
constexpr int64_t patch_elements = int64_t(1) << 26;

struct Shape {
  int64_t N, C, H, W;  // C of all groups
  int64_t O, P, Q;
  int64_t groups, depth;  // depth: C / groups R S
  Windows windows;
  int64_t together;  // images
};

// Reads x [N, C, H, W], y [N, O, P, Q] and weight [O, C / groups, R, S]. The integers are stride, padding and dilation,
// and the number is groups.
bool read_shape(Device& device, Shape* shape, const KernelCall& call, const View& x, const View& y,
                const View& weight) {
  const Integers *stride = &call.integers[0], *padding = &call.integers[1], *dilation = &call.integers[2];
  const auto groups = static_cast<int64_t>(call.numbers[0]);
  if (x.ndim != 4 || y.ndim != 4 || weight.ndim != 4 || stride->size != 2 || padding->size != 2 || dilation->size != 2)
    return device.fail("conv2d: tensors have 4 dimensions, and options 2 values");
  *shape = {x.sizes[0], x.sizes[1], x.sizes[2], x.sizes[3], y.sizes[1], y.sizes[2], y.sizes[3], groups, 0, {}, 1};
  if (groups < 1 || shape->C % groups != 0 || shape->O % groups != 0 || weight.sizes[0] != shape->O ||
      weight.sizes[1] * groups != shape->C || y.sizes[0] != shape->N || stride->items[0] < 1 || stride->items[1] < 1)
    return device.fail("conv2d: the sizes differ");
  shape->depth = weight.sizes[1] * weight.sizes[2] * weight.sizes[3];
  const auto number = [](int64_t n) { return static_cast<int32_t>(std::clamp<int64_t>(n, -most, most)); };
  shape->windows = {number(weight.sizes[2]),    number(weight.sizes[3]),   number(stride->items[0]),
                    number(stride->items[1]),   number(padding->items[0]), number(padding->items[1]),
                    number(dilation->items[0]), number(dilation->items[1])};
  const int64_t of_image = std::max<int64_t>(groups * shape->depth * shape->P * shape->Q, 1);
  if (std::max({of_image, shape->C * shape->H * shape->W, shape->O * shape->P * shape->Q}) > most)
    return device.fail("conv2d: an image of more than 2^31 elements or patches");
  const int64_t largest = std::max({of_image, shape->C * shape->H * shape->W, shape->O * shape->P * shape->Q});
  shape->together = std::clamp<int64_t>(patch_elements / largest, 1, std::max<int64_t>(shape->N, 1));
  return true;
}

Divisor divisor(int64_t size) { return make_divisor(static_cast<uint32_t>(std::max<int64_t>(size, 1))); }

Patches patches_of(const Shape& s, const float* image, float* patches, int64_t images) {
  Patches job = {};
  job.image = const_cast<float*>(image);
  job.patches = patches;
  job.channels = static_cast<int32_t>(s.C);
  job.windows = s.windows;
  job.images = divisor(images);
  job.H = divisor(s.H);
  job.W = divisor(s.W);
  job.P = divisor(s.P);
  job.Q = divisor(s.Q);
  job.R = divisor(s.windows.R);
  job.S = divisor(s.windows.S);
  return job;
}

bool gather(Device& device, const Shape& s, const float* x, float* patches, int64_t images) {
  Patches job = patches_of(s, x, patches, images);
  job.count = s.groups * s.depth * images * s.P * s.Q;
  return job.count == 0 || device.launch("conv_gather", static_cast<uint64_t>(job.count), &job);
}

bool forward(Device& device, const Launchable&, const KernelCall& call) {
  const View &out = call.views[0], &x = call.views[1], &weight = call.views[2], &bias = call.views[3];
  Shape s;
  if (!read_shape(device, &s, call, x, out, weight)) return false;
  if (bias.ndim >= 0 && bias.count != s.O) return device.fail("conv2d: bias and outputs differ");
  if (out.count == 0) return true;
  Scratch room(device);
  float* const patches = room.take<float>(s.groups * s.depth * s.P * s.Q * s.together);
  if (!patches) return false;
  const int64_t outputs = s.O / s.groups, windows = s.P * s.Q;
  for (int64_t n = 0; n < s.N; n += s.together) {
    const int64_t images = std::min(s.together, s.N - n);
    float* const to = floats(out) + n * s.O * windows;
    const View result =
        view_of(to, {images, s.groups, outputs, windows}, {s.O * windows, outputs * windows, windows, 1});
    const View a = view_of(floats(weight), {images, s.groups, outputs, s.depth}, {0, outputs * s.depth, s.depth, 1});
    const View b = view_of(patches, {images, s.groups, s.depth, windows},
                           {windows, s.depth * images * windows, images * windows, 1});
    if (!gather(device, s, floats(x) + n * s.C * s.H * s.W, patches, images) ||
        !multiply(device, result, a, b, nullptr, false))
      return false;
    Finish job = {to, floats(bias), images * s.O * windows, divisor(s.O), divisor(windows), call.numbers[1] != 0};
    if ((job.bias || job.relu) && !device.launch("conv_finish", static_cast<uint64_t>(job.count), &job)) return false;
  }
  return true;
}

bool input_gradient(Device& device, const Launchable&, const KernelCall& call) {
  const View &dx = call.views[0], &dy = call.views[1], &weight = call.views[2];
  Shape s;
  if (!read_shape(device, &s, call, dx, dy, weight)) return false;
  if (dx.count == 0) return true;
  Scratch room(device);
  float* const patches = room.take<float>(s.groups * s.depth * s.P * s.Q * s.together);
  if (!patches) return false;
  const int64_t outputs = s.O / s.groups, windows = s.P * s.Q;
  for (int64_t n = 0; n < s.N; n += s.together) {
    const int64_t images = std::min(s.together, s.N - n);
    const View result = view_of(patches, {images, s.groups, s.depth, windows},
                                {s.groups * s.depth * windows, s.depth * windows, windows, 1});
    const View a = view_of(floats(weight), {images, s.groups, s.depth, outputs}, {0, outputs * s.depth, 1, s.depth});
    const View b = view_of(floats(dy) + n * s.O * windows, {images, s.groups, outputs, windows},
                           {s.O * windows, outputs * windows, windows, 1});
    Patches job = patches_of(s, floats(dx) + n * s.C * s.H * s.W, patches, images);
    job.count = images * s.C * s.H * s.W;
    if (!multiply(device, result, a, b, nullptr, false) ||
        !device.launch("conv_add", static_cast<uint64_t>(job.count), &job))
      return false;
  }
  return true;
}

bool weight_gradient(Device& device, const Launchable&, const KernelCall& call) {
  const View &dweight = call.views[0], &dy = call.views[1], &x = call.views[2];
  Shape s;
  if (!read_shape(device, &s, call, x, dy, dweight)) return false;
  if (dweight.count == 0) return true;
  const int64_t outputs = s.O / s.groups, windows = s.P * s.Q;
  if (s.N == 0) return device.clear(dweight.data, static_cast<size_t>(dweight.count) * 4);
  Scratch room(device), other(device);
  float* const patches = room.take<float>(s.groups * s.depth * windows * s.together);
  float* const turned = patches ? other.take<float>(s.O * windows * s.together) : nullptr;
  if (!turned) return false;
  // dy becomes [O, images, PQ], as its patches of one tap.
  Shape single = s;
  single.C = s.O;
  single.H = s.P;
  single.W = s.Q;
  single.groups = s.O;
  single.depth = 1;
  single.windows = {1, 1, 1, 1, 0, 0, 1, 1};
  for (int64_t n = 0; n < s.N; n += s.together) {
    const int64_t images = std::min(s.together, s.N - n), all = images * windows;
    const View result = view_of(floats(dweight), {s.groups, outputs, s.depth}, {outputs * s.depth, s.depth, 1});
    const View a = view_of(turned, {s.groups, outputs, all}, {outputs * all, all, 1});
    const View b = view_of(patches, {s.groups, all, s.depth}, {s.depth * all, 1, all});
    if (!gather(device, s, floats(x) + n * s.C * s.H * s.W, patches, images) ||
        !gather(device, single, floats(dy) + n * s.O * windows, turned, images) ||
        !multiply(device, result, a, b, nullptr, n > 0))
      return false;
  }
  return true;
}

}  // namespace

const Launchable conv_kernels[] = {
    {"conv2d_forward", forward, "conv_gather"},
    {"conv2d_input_gradient", input_gradient, "conv_add"},
    {"conv2d_weight_gradient", weight_gradient, "conv_gather"},
    {},
};

}  // namespace firesteel::cuda
