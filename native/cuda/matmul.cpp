// Launches matrix products: joins batch dimensions to the rows if possible, cuts the depth if there are few tiles, and
// chooses a kernel. All of this follows from shapes and strides alone, so that sums have one order.
#include <algorithm>
#include <limits>

#include "device.h"
#include "multiply.h"
#include "wide_product.h"

namespace firesteel::cuda {
namespace {

constexpr int64_t most_layers = 65535;  // the limit of a grid's second dimension
// The depth is cut until there are this many blocks, but never into parts smaller than the least depth.
constexpr int64_t wanted_blocks = 256, least_depth = 256, most_splits = 32;
constexpr int64_t depth_grain = 32;
// If there are fewer tiles of 128x256 than this, smaller ones keep more multiprocessors busy.
constexpr int64_t wide_tiles = 128;

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
int64_t pieces(int64_t n, int64_t of) { return (n + of - 1) / of; }

bool is_float(const View& view) { return view.dtype == DType::float32 || view.dtype == DType::bfloat16; }

bool consistent(Device& device, const View& out, const View& a, const View& b, const View* bias) {
  const int n = out.ndim;
  if (n < 2 || a.ndim != n || b.ndim != n) return device.fail("matmul: ranks of out, a and b differ");
  for (int d = 0; d < n - 2; d++)
    if (a.sizes[d] != out.sizes[d] || b.sizes[d] != out.sizes[d]) return device.fail("matmul: batch sizes differ");
  if (a.sizes[n - 1] != b.sizes[n - 2] || a.sizes[n - 2] != out.sizes[n - 2] || b.sizes[n - 1] != out.sizes[n - 1])
    return device.fail("matmul: the sizes of a, b and out differ");
  if (bias && bias->count != out.sizes[n - 1]) return device.fail("matmul: bias and columns of out differ");
  if (!is_float(out) || !is_float(a) || !(is_float(b) || is_blocks(b)))
    return device.fail("matmul: tensors must be float32 or bfloat16 here, but b may be of a block dtype");
  // The decoder has checked that the blocks of b are whole.
  if (is_blocks(b) && b.count > 0 && b.strides[n - 1] != 1 && b.strides[n - 2] != 1)
    return device.fail("matmul: blocks must lie along rows or columns");
  return true;
}

// Whether every group of `together` neighbours lies side by side, at an address that is a multiple of its size.
bool can_group(const Factor& factor, int64_t together, int64_t bytes, int dims) {
  const bool along_lines = factor.line == 1;
  if (!along_lines && factor.depth != 1) return false;
  if ((along_lines ? factor.depth : factor.line) % together != 0) return false;
  for (int d = 0; d < dims; d++)
    if (factor.batch[d] % together != 0) return false;
  return address(factor.data) % uint64_t(together * bytes) == 0;
}

struct Shape {
  int64_t rows, columns, depth;
};

// Fills in the factors and the batch. False after Device::fail.
bool describe(Device& device, Product* job, Shape* shape, const View& out, const View& a, const View& b) {
  const int n = out.ndim;
  *shape = {out.sizes[n - 2], out.sizes[n - 1], a.sizes[n - 1]};
  // The stride of a dimension of size 1 has no meaning, so 1 stands for it, which counts as contiguous.
  const auto stride = [](const View& view, int d) { return view.sizes[d] == 1 ? int64_t(0) : view.strides[d]; };
  job->a = {a.data, stride(a, n - 2), stride(a, n - 1), false, {}};
  job->b = {b.data, stride(b, n - 1), stride(b, n - 2), false, {}};
  int64_t matrices = 1;
  for (int d = n - 3; d >= 0; d--) {
    const int64_t size = out.sizes[d];
    if (size == 1) continue;
    const bool joins =
        job->dims == 0 && b.strides[d] == 0 && (shape->rows == 1 || a.strides[d] == job->a.line * shape->rows);
    if (joins) {
      if (shape->rows == 1) job->a.line = a.strides[d];
      shape->rows *= size;
      continue;
    }
    if (job->dims == product_dims) return device.fail("matmul: more than 6 batch dimensions");
    job->divisors[job->dims] = make_divisor(static_cast<uint32_t>(size));
    job->a.batch[job->dims] = a.strides[d];
    job->b.batch[job->dims++] = b.strides[d];
    matrices *= size;
  }
  for (Factor* factor : {&job->a, &job->b})
    if (shape->depth == 1 && factor->line != 1) factor->depth = 1;
  constexpr int64_t most = std::numeric_limits<int32_t>::max() / 2;
  if (std::max({shape->rows, shape->columns, shape->depth, matrices}) > most)
    return device.fail("matmul: more than 2^30 rows, columns or matrices");
  job->rows = static_cast<int32_t>(shape->rows);
  job->columns = static_cast<int32_t>(shape->columns);
  job->depth = static_cast<int32_t>(shape->depth);
  job->matrices = static_cast<uint32_t>(matrices);
  return true;
}

// Whether the tensor cores' kernels can take the factor. Their copies have 16 bytes, which must all exist or all be
// beyond the end.
bool suits_copies(const Factor& factor, int64_t lines, int64_t depth, int dims, int64_t bytes) {
  const int64_t together = 16 / bytes;
  return can_group(factor, together, bytes, dims) && (factor.line == 1 ? lines : depth) % together == 0;
}

// Whether warpgroups can multiply: both factors are single matrices of bfloat16 whose lines the engine of copies takes.
// Other compute capabilities lack the instructions, later ones too.
bool suits_warpgroups(const Device& device, const Product& job, const Shape& shape) {
  const auto is_matrix = [&](const Factor& factor) { return factor.line != 1 && factor.line >= shape.depth; };
  return device.generation == 90 && job.matrices == 1 && !job.live.count && shape.depth >= wide_deep &&
         shape.columns > small_tile / 4 && is_matrix(job.a) && is_matrix(job.b);
}

// Fills in the arguments that warpgroups take instead of a factor: lines of `depth` elements, taken `lines` at a time.
bool describe_matrix(Device& device, TensorMap* map, const Factor& factor, int64_t lines, int64_t depth, int64_t some) {
  // The driver's numbers for bfloat16, for a swizzle of 128 bytes, and for 256 bytes that the L2 cache takes at once.
  constexpr int bfloat16 = 9, no_interleave = 0, swizzle = 3, promotion = 3, zeros = 0;
  const uint64_t sizes[] = {static_cast<uint64_t>(depth), static_cast<uint64_t>(lines)};
  const uint64_t line_bytes = 2 * static_cast<uint64_t>(factor.line);
  const uint32_t box[] = {wide_deep, static_cast<uint32_t>(some)}, steps[] = {1, 1};
  return device.check("cuTensorMapEncodeTiled", device.driver.cuTensorMapEncodeTiled(
                                                    map, bfloat16, 2, const_cast<void*>(factor.data), sizes,
                                                    &line_bytes, box, steps, no_interleave, swizzle, promotion, zeros));
}

std::string choose(const Device& device, const Product& job, const Shape& shape, DType a, DType b) {
  const std::string dtypes = std::string(dtype_names[static_cast<int>(a)]) + '_' + dtype_names[static_cast<int>(b)];
  const bool blocks = b >= first_block_dtype;
  if (shape.rows <= few_rows && !job.live.count && job.b.line != 1 && shape.depth % 4 == 0 && (blocks || job.b.vectors))
    return "matmul_few_" + dtypes;
  const auto order = [](const Factor& factor) { return factor.line == 1 ? 'l' : 'd'; };
  const int64_t bytes = a == DType::float32 ? 4 : 2;
  const bool tensor_cores = device.generation >= 80 && shape.rows > small_tile / 4 &&
                            (a == DType::bfloat16 || device.allows_tf32) &&
                            suits_copies(job.a, shape.rows, shape.depth, job.dims, bytes);
  // Blocks are the weights of products, whose left factors are not turned.
  if (blocks && tensor_cores && a == DType::bfloat16 && order(job.a) == 'd')
    return std::string("matmul_mma_") + dtype_names[static_cast<int>(b)] + '_' + order(job.b);
  if (blocks) return "matmul_64_" + dtypes;
  if (tensor_cores && a == b && suits_copies(job.b, shape.columns, shape.depth, job.dims, bytes)) {
    if (a == DType::bfloat16 && suits_warpgroups(device, job, shape)) {
      const bool wide = pieces(shape.rows, wide_rows) * pieces(shape.columns, 256) >= wide_tiles;
      return wide ? "matmul_wgmma_256" : "matmul_wgmma_128";
    }
    return std::string("matmul_mma_") + (a == DType::float32 ? "tf32" : "bfloat16") + '_' + order(job.a) + order(job.b);
  }
  const int64_t tiles = pieces(shape.rows, large_tile) * pieces(shape.columns, large_tile) * job.matrices;
  const bool large = std::min(shape.rows, shape.columns) > small_tile && tiles >= wanted_blocks / 4;
  return (large ? "matmul_128_" : "matmul_64_") + dtypes;
}

}  // namespace

bool multiply(Device& device, const View& out, const View& a, const View& b, const View* bias, bool accumulates,
              const Live& live) {
  if (!consistent(device, out, a, b, bias)) return false;
  if (out.count == 0) return true;
  Product job = {};
  Shape shape;
  if (!describe(device, &job, &shape, out, a, b)) return false;
  job.out = out.data;
  job.bias = bias ? bias->data : nullptr;
  job.half_bias = bias && bias->dtype == DType::bfloat16;
  job.half_out = out.dtype == DType::bfloat16;
  job.accumulates = accumulates;
  job.live = live;
  if (live.count && job.matrices > 1)
    return device.fail("matmul: only the GPU knows the number of rows, so there must be a single matrix");
  const auto bytes = [](const View& view) { return view.dtype == DType::float32 ? 4 : 2; };
  job.a.vectors = can_group(job.a, 4, bytes(a), job.dims);
  job.b.vectors = !is_blocks(b) && can_group(job.b, 4, bytes(b), job.dims);
  job.whole_rows = shape.columns % 4 == 0 && address(out.data) % uint64_t(4 * bytes(out)) == 0;

  const std::string entry = choose(device, job, shape, a.dtype, b.dtype);
  const bool warpgroups = entry.starts_with("matmul_wgmma_");
  const int64_t tile = entry.starts_with("matmul_64_") ? small_tile : large_tile;
  const int64_t across = entry == "matmul_wgmma_256" ? 256 : tile;
  const bool few = entry.starts_with("matmul_few_");
  // In products of few rows, each column takes a warp.
  const int64_t tiles = few ? pieces(shape.columns, 8) : pieces(shape.rows, tile) * pieces(shape.columns, across);
  if (tiles > std::numeric_limits<int32_t>::max()) return device.fail("matmul: more than 2^31 tiles");
  const int64_t wanted = pieces(wanted_blocks, tiles * job.matrices);
  const int64_t splits = std::clamp<int64_t>(std::min(wanted, shape.depth / least_depth), 1, most_splits);
  // Warpgroups take whole pieces, because only the matrix's end cuts a copy short.
  const int64_t grain = warpgroups ? wide_deep : depth_grain;
  job.depth_of_split = static_cast<int32_t>(round_up(pieces(shape.depth, splits), grain));
  job.splits = static_cast<int32_t>(std::max<int64_t>(pieces(shape.depth, std::max(job.depth_of_split, 1)), 1));

  Scratch parts(device);
  if (job.splits > 1) {
    job.parts = parts.take<float>(out.count * job.splits);
    if (!job.parts) return false;
  }
  const int64_t layers = int64_t(job.matrices) * job.splits;
  if (layers > std::numeric_limits<int32_t>::max()) return device.fail("matmul: more than 2^31 matrices");
  WideProduct wide = {};
  if (warpgroups && !(describe_matrix(device, &wide.a, job.a, shape.rows, shape.depth, wide_rows) &&
                      describe_matrix(device, &wide.b, job.b, shape.columns, shape.depth, across)))
    return false;
  const size_t shared = across == 256 ? sizeof(WideStages<256>) : sizeof(WideStages<128>);
  for (int64_t first = 0; first < layers; first += most_layers) {
    job.first_layer = static_cast<uint32_t>(first);
    const auto some = static_cast<unsigned>(std::min(layers - first, most_layers));
    Grid grid = {static_cast<unsigned>(tiles), some};
    if (warpgroups) {
      grid.threads = wide_threads;
      grid.shared_bytes = static_cast<unsigned>(shared);
      wide.product = job;
    }
    if (!device.launch(entry, grid, warpgroups ? static_cast<const void*>(&wide) : &job)) return false;
  }
  return job.splits == 1 || device.launch("matmul_add_parts", static_cast<uint64_t>(out.count), &job);
}

namespace {

bool launch_matmul(Device& device, const Launchable&, const KernelCall& call) {
  const View* bias = call.views[3].ndim < 0 ? nullptr : &call.views[3];
  return multiply(device, call.views[0], call.views[1], call.views[2], bias, false);
}

bool launch_accumulate(Device& device, const Launchable&, const KernelCall& call) {
  return multiply(device, call.views[0], call.views[1], call.views[2], nullptr, true);
}

}  // namespace

const Launchable matmul_kernels[] = {
    {"matmul", launch_matmul, "matmul_128_float32_float32"},
    {"matmul_accumulate", launch_accumulate, "matmul_128_float32_float32"},
    {},
};

}  // namespace firesteel::cuda
