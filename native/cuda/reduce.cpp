// Launches the entries of reduce.cu.
#include <algorithm>
#include <limits>

#include "device.h"
#include "reduction.h"

namespace firesteel::cuda {
namespace {

constexpr unsigned threads_per_block = 256;
// With so many outputs side by side the threads of a few blocks keep the memory busy.
constexpr int64_t many_outputs = 1024;

// False where the elements are more than a kernel counts.
bool add_dimension(Axes* axes, int64_t size, int64_t stride) {
  if (size == 1) return true;
  if (size > std::numeric_limits<int32_t>::max() / std::max<int64_t>(axes->count, 1)) return false;
  axes->divisors[axes->dims] = make_divisor(static_cast<uint32_t>(size));
  axes->strides[axes->dims++] = stride;
  axes->count *= static_cast<uint32_t>(size);
  return true;
}

// out has 1 where x is summed over.
bool launch_sum(Device& device, const Launchable&, const KernelCall& call) {
  const View &out = call.views[0], &x = call.views[1];
  if (out.ndim != x.ndim) return device.fail("sum: the result and x differ in rank");
  if (out.count == 0) return true;
  Reduction job = {};
  job.out = out.data;
  job.x = x.data;
  job.scale = static_cast<float>(call.numbers[0]);
  job.integer_scale = static_cast<int32_t>(std::clamp(call.numbers[0], -2147483648.0, 2147483647.0));
  job.kept.count = job.reduced.count = 1;
  if (x.count == 0)
    return device.check("sum", device.driver.cuMemsetD32Async(address(out.data), 0, size_t(out.count), device.stream));
  for (int d = x.ndim - 1; d >= 0; d--) {
    const bool reduced = out.sizes[d] == 1;
    if (!reduced && out.sizes[d] != x.sizes[d]) return device.fail("sum: the result's sizes are neither 1 nor x's");
    if (!add_dimension(reduced ? &job.reduced : &job.kept, x.sizes[d], x.strides[d]))
      return device.fail("sum: more than 2^31 outputs, or elements of one");
  }
  const bool by_threads = job.kept.count >= many_outputs && job.kept.strides[0] == 1;
  const char* dtype = x.dtype == DType::int32 ? "int32" : "float32";
  return device.launch(std::string(by_threads ? "sum_by_threads_" : "sum_by_blocks_") + dtype,
                       uint64_t(job.kept.count) * (by_threads ? 1 : threads_per_block), &job);
}

}  // namespace

const Launchable reduce_kernels[] = {
    {"sum", launch_sum, "sum_by_blocks_float32"},
    {},
};

}  // namespace firesteel::cuda
