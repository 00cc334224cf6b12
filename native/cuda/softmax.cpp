// Launches the entries of softmax.cu.
#include "device.h"
#include "lines.h"

namespace firesteel::cuda {
namespace {

// Reads out, x and, in backward passes, y, along dimension `dim`.
bool launch_along(Device& device, const Launchable& kernel, const KernelCall& call) {
  const View& out = call.views[0];
  const auto dim = static_cast<int64_t>(call.numbers[0]);
  if (dim < 0 || dim >= out.ndim) return device.fail(std::string(kernel.kernel) + ": there is no such dimension");
  for (int i = 1; i < call.view_count; i++)
    if (!same_shape(out, call.views[i])) return device.fail(std::string(kernel.kernel) + ": the shapes differ");
  if (out.count == 0) return true;
  Lines job = {};
  job.out = out.data;
  job.x = call.views[1].data;
  job.y = call.views[call.view_count - 1].data;
  if (out.sizes[dim] > INT32_MAX)
    return device.fail(std::string(kernel.kernel) + ": a line of more than 2^31 elements");
  job.size = static_cast<int32_t>(out.sizes[dim]);
  job.inner = 1;
  for (int64_t d = dim + 1; d < out.ndim; d++) job.inner *= out.sizes[d];
  job.count = out.count / job.size;
  const int team = job.inner > 1 ? 1 : team_for(job.size);
  return device.launch(std::string(kernel.kernel) + team_suffix(team), static_cast<uint64_t>(job.count * team), &job);
}

}  // namespace

const Launchable softmax_kernels[] = {
    {"softmax_forward", launch_along, "softmax_forward_32"},
    {"softmax_backward", launch_along, "softmax_backward_32"},
    {"log_softmax_forward", launch_along, "log_softmax_forward_32"},
    {"log_softmax_backward", launch_along, "log_softmax_backward_32"},
    {},
};

}  // namespace firesteel::cuda
