// Launches the entries of random.cu.
#include <algorithm>
#include <limits>

#include "device.h"
#include "random_job.h"

namespace firesteel::cuda {
namespace {

Random read(const KernelCall& call) {
  Random job = {};
  const View& out = call.views[0];
  const Philox& position = call.philox[0];
  job.out = out.data;
  job.count = out.count;
  job.seed = position.seed;
  job.offset = position.offset;
  job.stream = position.stream;
  return job;
}

bool launch(Device& device, const std::string& entry, const Random& job) {
  return job.count == 0 || device.launch(entry, static_cast<uint64_t>((job.count + 3) / 4), &job);
}

bool launch_fill(Device& device, const Launchable& kernel, const KernelCall& call) {
  Random job = read(call);
  job.a = call.numbers[0];
  job.b = call.numbers[1];
  return launch(device, kernel.entry, job);
}

bool launch_integers(Device& device, const Launchable& kernel, const KernelCall& call) {
  const double low = call.numbers[0], high = call.numbers[1];
  if (!(low >= -2147483648.0 && high <= 2147483648.0 && low < high))
    return device.fail("random_integers: low and high must hold -2^31 <= low < high <= 2^31", ErrorCode::value);
  Random job = read(call);
  job.a = low;
  job.bound = static_cast<uint64_t>(high - low);
  return launch(device, kernel.entry, job);
}

bool launch_dropout(Device& device, const Launchable&, const KernelCall& call) {
  const View &out = call.views[0], &x = call.views[1];
  const double p = call.numbers[0];
  if (!same_shape(out, x) || out.dtype != x.dtype) return device.fail("dropout: out and x differ in shape or dtype");
  if (!(p >= 0 && p <= 1)) return device.fail("dropout: p must lie in [0, 1]", ErrorCode::value);
  if (x.count > std::numeric_limits<int32_t>::max()) return device.fail("dropout: more than 2^31 elements");
  Random job = read(call);
  // Everything is dropped. out is cleared, because a product with the infinite scale would be NaN.
  if (p == 1) return device.clear(out.data, static_cast<size_t>(out.count * (out.dtype == DType::bfloat16 ? 2 : 4)));
  job.a = 1 / (1 - p);
  job.bound = static_cast<uint64_t>(p * 4294967296.0 + 0.5);
  job.x = x.data;
  for (int d = x.ndim - 1; d >= 0; d--) {
    if (x.sizes[d] == 1) continue;
    job.divisors[job.dims] = make_divisor(static_cast<uint32_t>(std::max<int64_t>(x.sizes[d], 1)));
    job.strides[job.dims++] = x.strides[d];
  }
  return launch(device, std::string("dropout_") + dtype_names[static_cast<int>(x.dtype)], job);
}

}  // namespace

const Launchable random_kernels[] = {
    {"random_uniform", launch_fill, "random_uniform_float32"},
    {"random_normal", launch_fill, "random_normal_float32"},
    {"random_integers", launch_integers, "random_integers_int32"},
    {"dropout", launch_dropout, "dropout_float32"},
    {},
};

}  // namespace firesteel::cuda
