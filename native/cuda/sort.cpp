// Launches the entries of sort.cu.
#include "device.h"
#include "sort_job.h"

namespace firesteel::cuda {
namespace {

constexpr int64_t most_elements = int64_t(1)
                                  << 30;  // the most elements of a line, so that its padded size fits in int32

bool launch_sort(Device& device, const Launchable&, const KernelCall& call) {
  const View &out = call.views[0], &indices = call.views[1], &x = call.views[2];
  const auto dim = static_cast<int64_t>(call.numbers[0]);
  if (out.dtype != x.dtype || out.ndim != x.ndim || !same_shape(out, indices) ||
      (x.ndim > 0 && (dim < 0 || dim >= x.ndim)))
    return device.fail("sort: the shapes or dtypes differ");
  Sort job = {};
  job.lines = job.inner = 1;
  int64_t size = 1, kept = 1;
  for (int d = 0; d < x.ndim; d++) {
    if (d == dim) {
      size = x.sizes[d];
      kept = out.sizes[d];
      continue;
    }
    if (out.sizes[d] != x.sizes[d]) return device.fail("sort: the shapes differ");
    job.lines *= x.sizes[d];
    if (d > dim) job.inner *= x.sizes[d];
  }
  if (kept > size || size > most_elements)
    return device.fail("sort: a line has more than 2^30 elements, or more are kept than it has");
  if (out.count == 0) return true;
  job.out = out.data;
  job.indices = static_cast<int32_t*>(indices.data);
  job.x = x.data;
  job.size = static_cast<int32_t>(size);
  job.kept = static_cast<int32_t>(kept);
  job.descending = call.numbers[1] != 0;
  job.padded = 2;
  while (job.padded < job.size) job.padded *= 2;
  job.count = job.lines * job.padded;
  Scratch keys(device);
  job.keys = keys.take<uint64_t>(job.count);
  if (!job.keys) return false;
  const std::string dtype = dtype_names[static_cast<int>(x.dtype)];
  const auto count = static_cast<uint64_t>(job.count);
  const uint64_t threads_of_chunks = (count + sort_chunk - 1) / sort_chunk * 256;
  if (!device.launch("sort_keys_" + dtype, count, &job) || !device.launch("sort_chunks", threads_of_chunks, &job))
    return false;
  for (int64_t run = 2 * sort_chunk; run <= job.padded; run *= 2) {
    job.run = static_cast<int32_t>(run);
    for (int64_t stride = run / 2; stride >= sort_chunk; stride /= 2) {
      job.stride = static_cast<int32_t>(stride);
      if (!device.launch("sort_step", count / 2, &job)) return false;
    }
    if (!device.launch("sort_merge", threads_of_chunks, &job)) return false;
  }
  return device.launch("sort_take_" + dtype, static_cast<uint64_t>(out.count), &job);
}

bool launch_search(Device& device, const Launchable&, const KernelCall& call) {
  const View &out = call.views[0], &sorted = call.views[1], &values = call.views[2];
  if (!same_shape(out, values) || sorted.dtype != values.dtype || sorted.ndim < 1)
    return device.fail("searchsorted: the shapes or dtypes differ");
  if (values.count == 0) return true;
  const int64_t size = sorted.sizes[sorted.ndim - 1];
  int64_t rows = 1;
  for (int d = 0; d < sorted.ndim - 1; d++) {
    if (values.ndim != sorted.ndim || values.sizes[d] != sorted.sizes[d])
      return device.fail("searchsorted: the values and the sorted tensor have different rows");
    rows *= sorted.sizes[d];
  }
  if (size > most_elements) return device.fail("searchsorted: a row of more than 2^30 elements");
  const Search job = {
      static_cast<int32_t*>(out.data), sorted.data,         values.data, values.count, values.count / rows,
      static_cast<int32_t>(size),      call.numbers[0] != 0};
  return device.launch(std::string("search_") + dtype_names[static_cast<int>(values.dtype)],
                       static_cast<uint64_t>(values.count), &job);
}

}  // namespace

const Launchable sort_kernels[] = {
    {"sort", launch_sort, "sort_keys_float32"},
    {"searchsorted", launch_search, "search_float32"},
    {},
};

}  // namespace firesteel::cuda
