// Launches the entries of reduce.cu.
#include <algorithm>
#include <limits>

#include "device.h"
#include "lines.h"
#include "reduction.h"

namespace firesteel::cuda {
namespace {

constexpr unsigned threads_per_block = 256;
// The number of neighbouring outputs from which on the threads of a few blocks keep the memory busy.
constexpr int64_t many_outputs = 1024;

// Returns false if there are more elements than a kernel can count.
bool add_dimension(Axes* axes, int64_t size, int64_t stride) {
  if (size == 1) return true;
  if (size > std::numeric_limits<int32_t>::max() / std::max<int64_t>(axes->count, 1)) return false;
  axes->divisors[axes->dims] = make_divisor(static_cast<uint32_t>(size));
  axes->strides[axes->dims++] = stride;
  axes->count *= static_cast<uint32_t>(size);
  return true;
}

std::string beyond(const char* what, const char* done) {
  return std::string("a ") + what +
         " is beyond what int32 holds; convert the tensor with .to('float32') before it is " + done;
}

// Launches a reduction. out has size 1 in the dimensions over which x is reduced.
bool launch_reduction(Device& device, const Launchable& kernel, const KernelCall& call) {
  const View &out = call.views[0], &x = call.views[1];
  const std::string name = kernel.kernel;
  const bool sums = name == "sum";
  if (out.ndim != x.ndim) return device.fail(name + ": the result and x differ in rank");
  if (out.count == 0) return true;
  Reduction job = {};
  job.out = out.data;
  job.x = x.data;
  job.scale = sums ? call.numbers[0] : 1;
  job.half_out = out.dtype == DType::bfloat16;
  job.kept.count = job.reduced.count = 1;
  if (x.count == 0) {
    if (!sums) return device.fail(name + ": there is nothing to choose from", ErrorCode::value);
    return device.clear(out.data, static_cast<size_t>(out.count * dtype_bytes[static_cast<int>(out.dtype)]));
  }
  for (int d = x.ndim - 1; d >= 0; d--) {
    const bool reduced = out.sizes[d] == 1;
    if (!reduced && out.sizes[d] != x.sizes[d]) return device.fail(name + ": the result's sizes are neither 1 nor x's");
    if (!add_dimension(reduced ? &job.reduced : &job.kept, x.sizes[d], x.strides[d]))
      return device.fail(name + ": more than 2^31 outputs, or elements of one");
  }
  const bool is_whole = x.dtype == DType::int32;
  if (sums && is_whole) job.wrong = device.late.expect(call, ErrorCode::value, beyond("sum", "summed"));
  if (sums && is_whole != (out.dtype == DType::int32))
    return device.fail("sum: integers must be summed to int32, and floats to floats");
  const bool by_threads = job.kept.count >= many_outputs && job.kept.strides[0] == 1;
  return device.launch(name + (by_threads ? "_by_threads_" : "_by_blocks_") + dtype_names[static_cast<int>(x.dtype)],
                       uint64_t(job.kept.count) * (by_threads ? 1 : threads_per_block), &job);
}

bool launch_running(Device& device, const Launchable& kernel, const KernelCall& call) {
  const View &out = call.views[0], &x = call.views[1];
  const std::string name = kernel.kernel;
  const auto dim = static_cast<int64_t>(call.numbers[0]);
  if (!same_shape(out, x) || dim < 0 || (dim >= x.ndim && x.ndim > 0))
    return device.fail(name + ": the shapes differ, or there is no such dimension");
  if (x.count == 0) return true;
  Lines job = {};
  job.out = out.data;
  job.x = x.data;
  const int64_t size = x.ndim == 0 ? 1 : x.sizes[dim];
  if (size > std::numeric_limits<int32_t>::max()) return device.fail(name + ": a line of more than 2^31 elements");
  job.size = static_cast<int32_t>(size);
  job.inner = 1;
  for (int64_t d = dim + 1; d < x.ndim; d++) job.inner *= x.sizes[d];
  job.count = x.count / job.size;
  const bool has_reverse = name == "cumsum" || name == "logcumsumexp";
  job.direction = has_reverse && call.numbers[1] != 0 ? -1 : 1;
  if (x.dtype == DType::int32 && (name == "cumsum" || name == "cumprod"))
    job.wrong = device.late.expect(call, ErrorCode::value,
                                   name == "cumsum" ? beyond("sum", "summed") : beyond("product", "multiplied"));
  return device.launch(name + '_' + dtype_names[static_cast<int>(x.dtype)], static_cast<uint64_t>(job.count), &job);
}

}  // namespace

const Launchable reduce_kernels[] = {
    {"sum", launch_reduction, "sum_by_blocks_float32"},
    {"amax", launch_reduction, "amax_by_blocks_float32"},
    {"amin", launch_reduction, "amin_by_blocks_float32"},
    {"argmax", launch_reduction, "argmax_by_blocks_float32"},
    {"argmin", launch_reduction, "argmin_by_blocks_float32"},
    {"cumsum", launch_running, "cumsum_float32"},
    {"cumprod", launch_running, "cumprod_float32"},
    {"cummax", launch_running, "cummax_float32"},
    {"cummin", launch_running, "cummin_float32"},
    {"logcumsumexp", launch_running, "logcumsumexp_float32"},
    {},
};

}  // namespace firesteel::cuda
