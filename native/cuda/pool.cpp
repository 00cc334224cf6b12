// Launches the entries of pool.cu.
#include <algorithm>
#include <limits>

#include "device.h"
#include "windows.h"

namespace firesteel::cuda {
namespace {

constexpr int64_t most = std::numeric_limits<int32_t>::max();

// Reads planes of `image`, and their windows, of which `pooled` has an element each.
bool read_planes(Device& device, Pool* job, const View& image, const View& pooled) {
  const int n = image.ndim;
  if (n < 2 || pooled.ndim != n) return device.fail("pool2d: the ranks differ");
  *job = {};
  job->planes = 1;
  for (int d = 0; d < n - 2; d++) {
    if (image.sizes[d] != pooled.sizes[d]) return device.fail("pool2d: the planes differ in number");
    job->planes *= image.sizes[d];
  }
  if (image.sizes[n - 2] * image.sizes[n - 1] > most || pooled.sizes[n - 2] * pooled.sizes[n - 1] > most)
    return device.fail("pool2d: planes of more than 2^31 elements");
  job->H = static_cast<int32_t>(image.sizes[n - 2]);
  job->W = static_cast<int32_t>(image.sizes[n - 1]);
  job->P = static_cast<int32_t>(pooled.sizes[n - 2]);
  job->Q = static_cast<int32_t>(pooled.sizes[n - 1]);
  return true;
}

// Reads kernel, stride, padding, and dilation if there is one.
bool read_windows(Device& device, Pool* job, const Integers* integers, bool dilates) {
  int32_t values[8] = {0, 0, 0, 0, 0, 0, 1, 1};
  for (int i = 0; i < (dilates ? 4 : 3); i++) {
    if (integers[i].size != 2) return device.fail("pool2d: options have 2 values");
    for (int k = 0; k < 2; k++) {
      const int64_t value = integers[i].items[k];
      if (value < (i == 2 ? 0 : 1) || value > most / 4) return device.fail("pool2d: an option is out of range");
      values[2 * i + k] = static_cast<int32_t>(value);
    }
  }
  job->windows = {values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7]};
  return true;
}

bool maxima(Device& device, const KernelCall& call, bool adaptive) {
  const View &out = call.views[0], &indices = call.views[1], &x = call.views[2];
  Pool job;
  if (!read_planes(device, &job, x, out)) return false;
  if (!adaptive && !read_windows(device, &job, call.integers, true)) return false;
  if (indices.count != out.count) return device.fail("pool2d: indices and results differ in number");
  job.out = floats(out);
  job.indices = static_cast<int32_t*>(indices.data);
  job.x = floats(x);
  job.adaptive = adaptive;
  return out.count == 0 || device.launch("pool_maxima", static_cast<uint64_t>(out.count), &job);
}

bool launch_maxima(Device& device, const Launchable&, const KernelCall& call) { return maxima(device, call, false); }
bool launch_adaptive(Device& device, const Launchable&, const KernelCall& call) { return maxima(device, call, true); }

bool launch_maxima_slope(Device& device, const Launchable&, const KernelCall& call) {
  const View &dx = call.views[0], &dy = call.views[1], &indices = call.views[2];
  Pool job;
  if (!read_planes(device, &job, dx, dy)) return false;
  if (indices.count != dy.count) return device.fail("pool2d: indices and gradients differ in number");
  job.out = floats(dx);
  job.indices = static_cast<int32_t*>(indices.data);
  job.x = floats(dy);
  if (!device.clear(dx.data, static_cast<size_t>(dx.count) * 4)) return false;
  return dx.count == 0 || device.launch("pool_maxima_slope", static_cast<uint64_t>(job.planes), &job);
}

// The call's numbers are countIncludePad and divisor.
bool averages(Device& device, const KernelCall& call, const View& image, const View& pooled, const char* entry) {
  const View &out = call.views[0], &x = call.views[1];
  Pool job;
  if (!read_planes(device, &job, image, pooled) || !read_windows(device, &job, call.integers, false)) return false;
  job.out = floats(out);
  job.x = floats(x);
  job.counts_padding = call.numbers[0] != 0;
  if (!(call.numbers[1] >= -double(most) && call.numbers[1] <= double(most)))
    return device.fail("pool2d: the divisor is out of range");
  job.divisor = static_cast<int32_t>(call.numbers[1]);
  return out.count == 0 || device.launch(entry, static_cast<uint64_t>(out.count), &job);
}

bool launch_averages(Device& device, const Launchable&, const KernelCall& call) {
  return averages(device, call, call.views[1], call.views[0], "pool_averages");
}
bool launch_averages_slope(Device& device, const Launchable&, const KernelCall& call) {
  return averages(device, call, call.views[0], call.views[1], "pool_averages_slope");
}

}  // namespace

const Launchable pool_kernels[] = {
    {"max_pool2d_forward", launch_maxima, "pool_maxima"},
    {"adaptive_max_pool2d_forward", launch_adaptive, "pool_maxima"},
    {"max_pool2d_backward", launch_maxima_slope, "pool_maxima_slope"},
    {"avg_pool2d_forward", launch_averages, "pool_averages"},
    {"avg_pool2d_backward", launch_averages_slope, "pool_averages_slope"},
    {},
};

}  // namespace firesteel::cuda
