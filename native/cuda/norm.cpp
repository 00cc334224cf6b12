// Launches the entries of norm.cu.
#include <bit>
#include <cmath>
#include <limits>

#include "device.h"
#include "normalisation.h"

namespace firesteel::cuda {
namespace {

constexpr int64_t most = std::numeric_limits<int32_t>::max();

bool has(const View& view, int64_t count) { return view.ndim < 0 || view.count == count; }

bool launch_rows(Device& device, const char* entry, const Normalisation& job) {
  const int team = team_for(job.columns);
  return device.launch(std::string(entry) + team_suffix(team), static_cast<uint64_t>(job.rows * team), &job);
}

// Reads x [rows, columns] and its statistics, `mean` (null for RMS norm) and `rstd`.
bool read_rows(Device& device, Normalisation* job, const View& x, const View* mean, const View& rstd) {
  if (x.ndim != 2 || rstd.count != x.sizes[0] || (mean && mean->count != x.sizes[0]))
    return device.fail("a norm's x is not [rows, columns] with statistics of rows");
  if (x.sizes[1] > most) return device.fail("a norm has rows of more than 2^31 elements");
  *job = {};
  job->x = floats(x);
  job->mean = mean ? floats(*mean) : nullptr;
  job->rstd = floats(rstd);
  job->rows = x.sizes[0];
  job->columns = static_cast<int32_t>(x.sizes[1]);
  job->length = make_divisor(1);
  job->groups = 1;
  return true;
}

bool forward_of_rows(Device& device, const View& out, const View* mean, const View& rstd, const View& x,
                     const View& weight, const View* bias, double eps) {
  Normalisation job;
  if (!read_rows(device, &job, x, mean, rstd)) return false;
  if (out.count != x.count || !has(weight, x.sizes[1]) || (bias && !has(*bias, x.sizes[1])))
    return device.fail("a norm's out, weight or bias does not have x's size");
  job.out = floats(out);
  job.weight = floats(weight);
  job.bias = bias ? floats(*bias) : nullptr;
  job.eps = eps;
  if (job.rows == 0) return true;
  // The mean and the variance of no elements are 0.
  if (job.columns == 0) {
    const float value = static_cast<float>(1 / std::sqrt(eps));
    if (mean && !device.clear(mean->data, static_cast<size_t>(mean->count) * 4)) return false;
    return device.check("fill", device.driver.cuMemsetD32Async(address(rstd.data), std::bit_cast<uint32_t>(value),
                                                               size_t(rstd.count), device.stream));
  }
  return launch_rows(device, "norm_forward", job);
}

bool backward_of_rows(Device& device, const View& dx, const View& dweight, const View* dbias, const View& dy,
                      const View& x, const View* mean, const View& rstd, const View& weight) {
  Normalisation job;
  if (!read_rows(device, &job, x, mean, rstd)) return false;
  if (!has(dx, x.count) || dy.count != x.count || !has(weight, x.sizes[1]) || !has(dweight, x.sizes[1]) ||
      (dbias && !has(*dbias, x.sizes[1])))
    return device.fail("a norm's gradients or weight do not have x's size");
  job.dy = floats(dy);
  job.weight = floats(weight);
  job.out = floats(dx);
  job.dweight = floats(dweight);
  job.dbias = dbias ? floats(*dbias) : nullptr;
  if (job.columns == 0) return true;
  if (job.out && job.rows > 0 && !launch_rows(device, "norm_backward", job)) return false;
  if (!job.dweight && !job.dbias) return true;
  const int64_t parts = (job.rows + rows_of_part - 1) / rows_of_part;
  Scratch room(device);
  job.parts = room.take<float>(2 * parts * job.columns);
  return job.parts && device.launch("norm_sum_columns", static_cast<uint64_t>(parts * job.columns), &job) &&
         device.launch("norm_add_columns", static_cast<uint64_t>(job.columns), &job);
}

bool layer_forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return forward_of_rows(device, v[0], &v[1], v[2], v[3], v[4], &v[5], call.numbers[0]);
}

bool layer_backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return backward_of_rows(device, v[0], v[1], &v[2], v[3], v[4], &v[5], v[6], v[7]);
}

bool rms_forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return forward_of_rows(device, v[0], nullptr, v[1], v[2], v[3], nullptr, call.numbers[0]);
}

bool rms_backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return backward_of_rows(device, v[0], v[1], nullptr, v[2], v[3], nullptr, v[4], v[5]);
}

// Reads x [N, C, L].
bool read_channels(Device& device, Normalisation* job, const View& x) {
  if (x.ndim != 3) return device.fail("a norm's x is not [N, C, L]");
  if (x.sizes[0] * x.sizes[2] > most || x.sizes[1] > most)
    return device.fail("a norm has channels of more than 2^31 elements");
  *job = {};
  job->x = floats(x);
  job->images = static_cast<int32_t>(x.sizes[0]);
  job->channels = static_cast<int32_t>(x.sizes[1]);
  job->length = make_divisor(static_cast<uint32_t>(x.sizes[2] > 0 ? x.sizes[2] : 1));
  // Without elements, there are no images.
  if (x.sizes[2] == 0) job->images = 0;
  return true;
}

bool launch_channels(Device& device, const char* entry, const Normalisation& job) {
  return job.channels == 0 || device.launch(entry, static_cast<uint64_t>(job.channels) * 256, &job);
}

bool batch_forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Normalisation job;
  if (!read_channels(device, &job, v[3])) return false;
  const int64_t channels = v[3].sizes[1];
  for (int i : {1, 2, 4, 5, 6, 7})
    if (!has(v[i], channels)) return device.fail("batch_norm: a tensor of channels is not [C]");
  if (v[0].count != v[3].count) return device.fail("batch_norm: out and x differ in size");
  job.out = floats(v[0]);
  job.mean = floats(v[1]);
  job.rstd = floats(v[2]);
  job.weight = floats(v[4]);
  job.bias = floats(v[5]);
  job.running_mean = floats(v[6]);
  job.running_var = floats(v[7]);
  job.momentum = call.numbers[0];
  job.eps = call.numbers[1];
  job.training = call.numbers[2] != 0;
  if (!job.training && !(job.running_mean && job.running_var))
    return device.fail("batch_norm: there are no running statistics");
  return launch_channels(device, "norm_batch_forward", job);
}

bool batch_backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Normalisation job;
  if (!read_channels(device, &job, v[4])) return false;
  const int64_t channels = v[4].sizes[1];
  for (int i : {1, 2, 5, 6, 7})
    if (!has(v[i], channels)) return device.fail("batch_norm: a tensor of channels is not [C]");
  if (!has(v[0], v[4].count) || v[3].count != v[4].count) return device.fail("batch_norm: the sizes differ");
  job.out = floats(v[0]);
  job.dweight = floats(v[1]);
  job.dbias = floats(v[2]);
  job.dy = floats(v[3]);
  job.mean = floats(v[5]);
  job.rstd = floats(v[6]);
  job.weight = floats(v[7]);
  job.training = call.numbers[0] != 0;
  return launch_channels(device, "norm_channel_backward", job);
}

// The rows of group norm are [N groups, C / groups L].
bool read_groups(Device& device, Normalisation* job, const View& x, int64_t groups, const View& mean,
                 const View& rstd) {
  if (x.ndim != 3 || groups < 1 || x.sizes[1] % groups != 0)
    return device.fail("group_norm: x is not [N, C, L] with C in groups");
  const int64_t rows = x.sizes[0] * groups, columns = x.sizes[1] / groups * x.sizes[2];
  if (mean.count != rows || rstd.count != rows) return device.fail("group_norm: statistics are not [N groups]");
  if (columns > most) return device.fail("group_norm: groups of more than 2^31 elements");
  if (!read_channels(device, job, x)) return false;
  job->mean = floats(mean);
  job->rstd = floats(rstd);
  job->rows = rows;
  job->columns = static_cast<int32_t>(columns);
  job->groups = static_cast<int32_t>(groups);
  return true;
}

bool group_forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Normalisation job;
  if (!read_groups(device, &job, v[3], static_cast<int64_t>(call.numbers[0]), v[1], v[2])) return false;
  if (v[0].count != v[3].count || !has(v[4], job.channels) || !has(v[5], job.channels))
    return device.fail("group_norm: the sizes differ");
  job.out = floats(v[0]);
  job.weight = floats(v[4]);
  job.bias = floats(v[5]);
  job.eps = call.numbers[1];
  if (job.rows == 0) return true;
  if (job.columns == 0) {
    const float value = static_cast<float>(1 / std::sqrt(job.eps));
    return device.clear(job.mean, static_cast<size_t>(job.rows) * 4) &&
           device.check("fill", device.driver.cuMemsetD32Async(address(job.rstd), std::bit_cast<uint32_t>(value),
                                                               size_t(job.rows), device.stream));
  }
  return launch_rows(device, "norm_forward", job);
}

bool group_backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Normalisation job;
  if (!read_groups(device, &job, v[4], static_cast<int64_t>(call.numbers[0]), v[5], v[6])) return false;
  if (!has(v[0], v[4].count) || v[3].count != v[4].count || !has(v[1], job.channels) || !has(v[2], job.channels) ||
      !has(v[7], job.channels))
    return device.fail("group_norm: the sizes differ");
  job.dy = floats(v[3]);
  job.weight = floats(v[7]);
  job.out = floats(v[0]);
  if (job.out && job.rows > 0 && job.columns > 0 && !launch_rows(device, "norm_backward", job)) return false;
  job.out = nullptr;
  job.dweight = floats(v[1]);
  job.dbias = floats(v[2]);
  return (!job.dweight && !job.dbias) || launch_channels(device, "norm_channel_backward", job);
}

}  // namespace

const Launchable norm_kernels[] = {
    {"layer_norm_forward", layer_forward, "norm_forward_32"},
    {"layer_norm_backward", layer_backward, "norm_backward_32"},
    {"rms_norm_forward", rms_forward, "norm_forward_32"},
    {"rms_norm_backward", rms_backward, "norm_backward_32"},
    {"group_norm_forward", group_forward, "norm_forward_32"},
    {"group_norm_backward", group_backward, "norm_backward_32"},
    {"batch_norm_forward", batch_forward, "norm_batch_forward"},
    {"batch_norm_backward", batch_backward, "norm_channel_backward"},
    {},
};

}  // namespace firesteel::cuda
