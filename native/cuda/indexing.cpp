// Launches the entries of indexing.cu.
#include <algorithm>
#include <limits>

#include "device.h"
#include "indices.h"

namespace firesteel::cuda {
namespace {

int64_t element_bytes(const View& view) { return dtype_bytes[static_cast<int>(view.dtype)]; }

std::string out_of_range(int64_t dim, int64_t size) {
  const std::string text =
      "index %value at position %position is out of range for dimension " + std::to_string(dim) + " of size ";
  if (size == 0) return text + "0, which is empty";
  return text + std::to_string(size) + "; allowed are 0 to " + std::to_string(size - 1);
}

// Reads `large` [.., size, ..] and `small` [.., count, ..] along dim.
bool read_rows(Device& device, RowIndex* job, const KernelCall& call, const View& large, int64_t small_count,
               const View& index, int64_t dim) {
  if (dim < 0 || dim >= large.ndim) return device.fail("there is no such dimension to index");
  *job = {};
  job->index = static_cast<const int32_t*>(index.data);
  job->count = index.count;
  job->outer = job->inner = 1;
  for (int64_t d = 0; d < dim; d++) job->outer *= large.sizes[d];
  for (int64_t d = dim + 1; d < large.ndim; d++) job->inner *= large.sizes[d];
  if (large.sizes[dim] > std::numeric_limits<int32_t>::max()) return device.fail("more than 2^31 rows to index");
  job->size = static_cast<int32_t>(large.sizes[dim]);
  if (small_count != job->outer * job->count * job->inner)
    return device.fail("rows and their indices differ in number");
  job->wrong = device.late.expect(call, ErrorCode::index, out_of_range(dim, job->size));
  return true;
}

bool select(Device& device, const KernelCall& call, const View& out, const View& x, const View& index, int64_t dim) {
  RowIndex job;
  if (out.dtype != x.dtype) return device.fail("all rows must have one dtype");
  if (!read_rows(device, &job, call, x, out.count, index, dim)) return false;
  if (out.count == 0) return true;
  job.out = out.data;
  job.x = x.data;
  int64_t width = element_bytes(x);
  if (is_blocks(x)) {
    // Blocks are taken as pairs of bytes.
    if (job.inner == 1 || x.strides[x.ndim - 1] != 1) return device.fail("an index cannot cut blocks");
    job.inner = bytes_of(x.dtype, job.inner) / 2;
    width = 2;
    if (job.inner % 8 == 0 && (address(x.data) | address(out.data)) % 16 == 0) {
      job.inner /= 8;
      width = 16;
    }
  }
  if (width == 4 && job.inner % 4 == 0 && (address(x.data) | address(out.data)) % 16 == 0) {
    job.inner /= 4;
    width = 16;
  }
  return device.launch("index_select_" + std::to_string(width),
                       static_cast<uint64_t>(job.outer * job.count * job.inner), &job);
}

bool launch_select(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return select(device, call, v[0], v[1], v[2], static_cast<int64_t>(call.numbers[0]));
}

bool launch_embedding(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return select(device, call, v[0], v[1], v[2], 0);
}

bool launch_accumulate(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  RowIndex job;
  if (!read_rows(device, &job, call, v[0], v[1].count, v[2], static_cast<int64_t>(call.numbers[0]))) return false;
  if (v[1].count == 0) return true;
  job.out = v[0].data;
  job.x = v[1].data;
  job.skip = static_cast<int64_t>(call.numbers[1]);
  const char* entry = v[0].dtype == DType::int32 ? "index_add_int32" : "index_add_float32";
  return device.launch(entry, static_cast<uint64_t>(job.count) * 256, &job);
}

bool launch_add(Device& device, const Launchable& kernel, const KernelCall& call) {
  const View& dx = call.views[0];
  return device.clear(dx.data, static_cast<size_t>(dx.count * element_bytes(dx))) &&
         launch_accumulate(device, kernel, call);
}

// False after Device::fail.
bool read_elements(Device& device, ElementIndex* job, const KernelCall& call, const View& large, const View& small,
                   const View& index, int64_t dim) {
  const int n = index.ndim;
  if (large.ndim != n || !same_shape(small, index) || (n > 0 && (dim < 0 || dim >= n)))
    return device.fail("elements and their indices differ in shape");
  if (large.dtype != small.dtype) return device.fail("all elements must have one dtype");
  *job = {};
  job->large = large.data;
  job->small = small.data;
  job->index = static_cast<const int32_t*>(index.data);
  job->lines = 1;
  job->length = 1;
  job->size = 1;
  if (n > 0) {
    if (std::max(index.sizes[dim], large.sizes[dim]) > std::numeric_limits<int32_t>::max())
      return device.fail("a line of more than 2^31 elements");
    job->length = static_cast<int32_t>(index.sizes[dim]);
    job->size = static_cast<int32_t>(large.sizes[dim]);
    job->index_step = index.strides[dim];
    job->large_step = large.strides[dim];
    job->small_step = small.strides[dim];
  }
  for (int d = n - 1; d >= 0; d--) {
    if (d == dim) continue;
    if (index.sizes[d] > large.sizes[d]) return device.fail("there are indices beyond the tensor");
    job->lines *= index.sizes[d];
    job->divisors[job->dims] = make_divisor(static_cast<uint32_t>(std::max<int64_t>(index.sizes[d], 1)));
    job->index_strides[job->dims] = index.strides[d];
    job->large_strides[job->dims] = large.strides[d];
    job->small_strides[job->dims++] = small.strides[d];
  }
  if (job->lines > std::numeric_limits<int32_t>::max()) return device.fail("more than 2^31 lines to index");
  job->wrong = device.late.expect(call, ErrorCode::index, out_of_range(dim, job->size));
  return true;
}

bool launch_gather(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  ElementIndex job;
  if (!read_elements(device, &job, call, v[1], v[0], v[2], static_cast<int64_t>(call.numbers[0]))) return false;
  return v[2].count == 0 || device.launch("gather_" + std::to_string(element_bytes(v[1])),
                                          static_cast<uint64_t>(job.lines * job.length), &job);
}

bool scatter(Device& device, const KernelCall& call, const std::string& entry) {
  const View* v = call.views;
  ElementIndex job;
  if (!read_elements(device, &job, call, v[0], v[1], v[2], static_cast<int64_t>(call.numbers[0]))) return false;
  return v[2].count == 0 || device.launch(entry, static_cast<uint64_t>(job.lines), &job);
}

bool launch_scatter(Device& device, const Launchable&, const KernelCall& call) {
  return scatter(device, call, "scatter_" + std::to_string(element_bytes(call.views[0])));
}

bool launch_scatter_accumulate(Device& device, const Launchable&, const KernelCall& call) {
  static constexpr const char* ways[] = {"sum", "product", "largest", "smallest"};
  const auto by = static_cast<size_t>(call.numbers[1]);
  if (by >= 4) return device.fail("there is no such operation to combine two elements");
  return scatter(device, call, std::string("scatter_") + ways[by] + '_' + dtype_names[int(call.views[0].dtype)]);
}

bool launch_scatter_add(Device& device, const Launchable&, const KernelCall& call) {
  const View& dx = call.views[0];
  return device.clear(dx.data, static_cast<size_t>(dx.count * element_bytes(dx))) &&
         scatter(device, call, "scatter_sum_float32");
}

}  // namespace

const Launchable indexing_kernels[] = {
    {"index_select", launch_select, "index_select_4"},
    {"embedding", launch_embedding, "index_select_4"},
    {"index_add", launch_add, "index_add_float32"},
    {"index_accumulate", launch_accumulate, "index_add_float32"},
    {"gather", launch_gather, "gather_4"},
    {"scatter_into", launch_scatter, "scatter_4"},
    {"scatter_add", launch_scatter_add, "scatter_sum_float32"},
    {"scatter_accumulate", launch_scatter_accumulate, "scatter_sum_float32"},
    {},
};

}  // namespace firesteel::cuda
