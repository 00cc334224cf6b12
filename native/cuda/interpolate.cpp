// Launches the entries of interpolate.cu.
#include <algorithm>
#include <limits>

#include "device.h"
#include "resampling.h"

namespace firesteel::cuda {
namespace {

// False after Device::fail.
bool read_taps(Device& device, Taps* taps, const View& table, const View& weights, int64_t results, int64_t size) {
  if (std::max(results, size) > std::numeric_limits<int32_t>::max())
    return device.fail("resample: an axis of more than 2^31 elements");
  *taps = {nullptr, nullptr, static_cast<int32_t>(results), 0, static_cast<int32_t>(size)};
  if (table.ndim < 0) return results == size || device.fail("resample: an axis without a table keeps its size");
  const int64_t terms = table.count - results - 1;
  if (terms < 0 || weights.ndim < 0 || weights.count != terms)
    return device.fail("resample: a table lacks the ends, positions or weights of its results");
  taps->ends = static_cast<const int32_t*>(table.data);
  taps->weights = static_cast<const float*>(weights.data);
  taps->terms = static_cast<int32_t>(std::min<int64_t>(terms, std::numeric_limits<int32_t>::max()));
  return true;
}

bool launch_resample(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  const View &out = v[0], &x = v[1];
  if (out.ndim != 3 || x.ndim != 3 || out.sizes[0] != x.sizes[0] || out.dtype != x.dtype)
    return device.fail("resample: x and out are not [planes, rows, columns] of one dtype");
  Resampling job = {out.data, x.data, out.count, {}, {}};
  if (!read_taps(device, &job.rows, v[2], v[3], out.sizes[1], x.sizes[1]) ||
      !read_taps(device, &job.columns, v[4], v[5], out.sizes[2], x.sizes[2]))
    return false;
  return out.count == 0 || device.launch(std::string("resample_") + dtype_names[static_cast<int>(x.dtype)],
                                         static_cast<uint64_t>(out.count), &job);
}

}  // namespace

const Launchable interpolate_kernels[] = {
    {"resample", launch_resample, "resample_float32"},
    {},
};

}  // namespace firesteel::cuda
