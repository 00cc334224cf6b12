// Launches the entries of elementwise.cu, almost all of them by their rows in the table of kernels. Strides and
// broadcasts of any rank are reduced to the few dimensions that matter. Elements are grouped by 4 if rows allow it.
// Launches have fewer than 2^31 elements.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string_view>

#include "copies.h"
#include "job.h"

namespace firesteel::cuda {
namespace {

// The iteration space of a call. Its dimensions run from the innermost on. Those of size 1 are left out, and neighbours
// are joined if every operand steps through both as through one.
struct Space {
  int operands;
  int dims = 0;
  char* data[job_operands];
  int64_t bytes[job_operands];  // of an element
  int64_t sizes[max_dims];
  int64_t strides[job_operands][max_dims];
};

int64_t element_bytes(DType dtype) { return dtype_bytes[static_cast<int>(dtype)]; }
const char* dtype_name(DType dtype) { return dtype_names[static_cast<int>(dtype)]; }

Space make_space(const View* const* views, int operands) {
  Space space;
  space.operands = operands;
  for (int o = 0; o < operands; o++) {
    space.data[o] = static_cast<char*>(views[o]->data);
    space.bytes[o] = element_bytes(views[o]->dtype);
  }
  for (int d = views[0]->ndim - 1; d >= 0; d--) {
    const int64_t size = views[0]->sizes[d];
    if (size == 1) continue;
    bool joins = space.dims > 0;
    const int last = space.dims - 1;
    for (int o = 0; joins && o < operands; o++)
      joins = views[o]->strides[d] == space.strides[o][last] * space.sizes[last];
    if (joins) {
      space.sizes[last] *= size;
      continue;
    }
    space.sizes[space.dims] = size;
    for (int o = 0; o < operands; o++) space.strides[o][space.dims] = views[o]->strides[d];
    space.dims++;
  }
  if (space.dims == 0) {
    space.dims = 1;
    space.sizes[0] = 1;
    for (int o = 0; o < operands; o++) space.strides[o][0] = o == 0 ? 1 : 0;
  }
  return space;
}

int64_t element_count(const Space& space) {
  int64_t count = 1;
  for (int d = 0; d < space.dims; d++) count *= space.sizes[d];
  return count;
}

// Whether every operand's rows can be read 4 elements at a time, or are a single value each.
bool can_group(const Space& space) {
  if (space.dims > 1 && space.sizes[0] % group_size != 0) return false;
  if (space.strides[0][0] != 1) return false;
  for (int o = 0; o < space.operands; o++) {
    if (space.strides[o][0] == 0) continue;
    if (space.strides[o][0] != 1 || address(space.data[o]) % uint64_t(group_size * space.bytes[o]) != 0) return false;
    for (int d = 1; d < space.dims; d++)
      if (space.strides[o][d] % group_size != 0) return false;
  }
  return true;
}

bool launch_space(Device& device, const std::string& entry, const Space& space, const Job& options) {
  Job job = options;
  job.grouped = can_group(space);
  job.dims = space.dims;
  const int64_t inner = job.grouped ? group_size : 1;
  for (int d = 0; d < space.dims; d++) {
    const int64_t size = d == 0 ? std::max<int64_t>(space.sizes[0] / inner, 1) : space.sizes[d];
    job.divisors[d] = make_divisor(static_cast<uint32_t>(size));
  }
  for (int o = 0; o < space.operands; o++) {
    job.data[o] = space.data[o];
    if (job.grouped && space.strides[o][0] == 0) job.splat |= 1u << o;
    for (int d = 0; d < space.dims; d++) job.strides[o][d] = space.strides[o][d] * (d == 0 ? inner : 1);
  }
  const int64_t count = element_count(space);
  job.count = static_cast<uint32_t>(count / inner);
  job.rest = static_cast<uint32_t>(count % inner);
  return device.launch(entry, std::max<uint64_t>(job.count, job.rest), &job);
}

// Halves the outermost dimension until a launch can count its elements.
bool launch_parts(Device& device, const std::string& entry, Space space, const Job& options) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  if (element_count(space) <= most) return launch_space(device, entry, space, options);
  const int outer = space.dims - 1;
  const int64_t size = space.sizes[outer];
  // Rows are cut only between groups.
  const int64_t half = size < 2 * group_size ? size / 2 : size / 2 / group_size * group_size;
  Space rest = space;
  space.sizes[outer] = half;
  rest.sizes[outer] = size - half;
  for (int o = 0; o < space.operands; o++) rest.data[o] += half * space.strides[o][outer] * space.bytes[o];
  return launch_parts(device, entry, space, options) && launch_parts(device, entry, rest, options);
}

// Runs an entry over views of the first view's shape.
bool map(Device& device, const std::string& entry, const View* const* views, int operands, const Job& options = {}) {
  for (int o = 1; o < operands; o++)
    if (!same_shape(*views[0], *views[o])) return device.fail("the shapes of an elementwise kernel's tensors differ");
  if (views[0]->count == 0) return true;
  return launch_parts(device, entry, make_space(views, operands), options);
}

int32_t whole(double x) {
  if (x >= 2147483647.0) return INT32_MAX;
  return x > -2147483648.0 ? static_cast<int32_t>(x) : INT32_MIN;
}

// Converts as a typed array does: towards zero and modulo 2^32. NaN becomes 0.
uint32_t wrapped(double x) {
  constexpr double power = 4294967296.0;
  if (!(std::fabs(x) <= std::numeric_limits<double>::max())) return 0;
  return static_cast<uint32_t>(static_cast<int64_t>(std::fmod(x, power)));
}

// Bool and uint8 have the same bytes.
std::string entry_name(const char* kernel, DType dtype) {
  return std::string(kernel) + '_' + dtype_name(dtype == DType::boolean ? DType::uint8 : dtype);
}

bool launch_where(Device& device, const Launchable&, const KernelCall& call) {
  const View* views[] = {&call.views[0], &call.views[1], &call.views[2], &call.views[3]};
  const int64_t bytes = element_bytes(views[0]->dtype);
  return map(device, bytes == 4 ? "where_word" : bytes == 2 ? "where_half" : "where_byte", views, 4);
}

}  // namespace

bool copy(Device& device, const View& to, const View& from) {
  if (is_blocks(to) || is_blocks(from)) return copy_blocks(device, to, from);
  const View* views[] = {&to, &from};
  // A copy from bool to uint8 is plain, but one from uint8 to bool is not.
  const bool plain = to.dtype == from.dtype || (to.dtype == DType::uint8 && from.dtype == DType::boolean);
  if (!plain) {
    const DType source = from.dtype == DType::boolean ? DType::uint8 : from.dtype;
    return map(device, std::string("copy_") + dtype_name(source) + "_to_" + dtype_name(to.dtype), views, 2);
  }
  if (!same_shape(to, from)) return device.fail("the shapes of a copy differ");
  if (to.count == 0) return true;
  const Space space = make_space(views, 2);
  const int64_t bytes = space.bytes[0];
  if (space.dims == 1 && space.strides[0][0] == 1 && space.strides[1][0] == 1)
    return device.copy(to.data, from.data, static_cast<size_t>(to.count * bytes));
  return launch_parts(device, bytes == 4 ? "copy_word" : bytes == 2 ? "copy_half" : "copy_byte", space, {});
}

namespace {

bool launch_copy(Device& device, const Launchable&, const KernelCall& call) {
  return copy(device, call.views[0], call.views[1]);
}

bool launch_accumulate(Device& device, const Launchable&, const KernelCall& call) {
  const View* views[] = {&call.views[0], &call.views[0], &call.views[1]};
  return map(device, entry_name("add", views[0]->dtype), views, 3);
}

// Rounds to the nearest, ties to even. NaN stays NaN.
uint16_t to_bfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 64);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// The same for float16, whose smallest steps are 2^-24.
uint16_t to_float16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x), rest = bits & 0x7fffffff;
  const auto sign = bits >> 16 & 0x8000;
  if (rest > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (rest >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (rest < 0x38800000)
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(std::fabs(x) + 0.5f) - std::bit_cast<uint32_t>(0.5f)));
  return static_cast<uint16_t>(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13));
}

bool launch_fill(Device& device, const Launchable&, const KernelCall& call) {
  const View& out = call.views[0];
  const double value = call.numbers[0];
  const uint64_t to = address(out.data);
  const auto count = static_cast<size_t>(out.count);
  const Driver& driver = device.driver;
  if (count == 0) return true;
  switch (out.dtype) {
    case DType::float32:
      return device.check("fill", driver.cuMemsetD32Async(to, std::bit_cast<uint32_t>(static_cast<float>(value)), count,
                                                          device.stream));
    case DType::int32:
      return device.check("fill", driver.cuMemsetD32Async(to, wrapped(value), count, device.stream));
    case DType::uint8:
      return device.check("fill",
                          driver.cuMemsetD8Async(to, static_cast<uint8_t>(wrapped(value)), count, device.stream));
    case DType::boolean:
      return device.check("fill", driver.cuMemsetD8Async(to, value != 0, count, device.stream));
    case DType::bfloat16:
      return device.check("fill",
                          driver.cuMemsetD16Async(to, to_bfloat16(static_cast<float>(value)), count, device.stream));
    case DType::float16:
      return device.check("fill",
                          driver.cuMemsetD16Async(to, to_float16(static_cast<float>(value)), count, device.stream));
    default:
      return device.fail("fill: a tensor of blocks cannot be filled");
  }
}

bool launch_arange(Device& device, const Launchable&, const KernelCall& call) {
  const View& out = call.views[0];
  const Ramp job = {out.data, out.count, call.numbers[0], call.numbers[1]};
  return out.count == 0 || device.launch(entry_name("arange", out.dtype), static_cast<uint64_t>(out.count), &job);
}

bool launch_cat(Device& device, const Launchable&, const KernelCall& call) {
  const View& out = call.views[0];
  const ViewList& inputs = call.lists[0];
  const auto dim = static_cast<int64_t>(call.numbers[0]);
  if (dim < 0 || dim >= out.ndim) return device.fail("cat: no such dimension");
  int64_t start = 0;
  for (int64_t i = 0; i < inputs.size; i++) {
    const View& input = inputs.items[i];
    if (input.ndim != out.ndim || input.sizes[dim] > out.sizes[dim] - start)
      return device.fail("cat: the sizes differ");
    View part = out;
    part.sizes[dim] = input.sizes[dim];
    part.count = input.count;
    part.data = static_cast<char*>(out.data) + start * out.strides[dim] * element_bytes(out.dtype);
    start += input.sizes[dim];
    if (!copy(device, part, input)) return false;
  }
  return start == out.sizes[dim] || device.fail("cat: the sizes differ");
}

bool launch_swiglu(Device& device, const Launchable&, const KernelCall& call) {
  const View* views[] = {&call.views[0], &call.views[1], &call.views[2]};
  return map(device, entry_name("swiglu", views[0]->dtype), views, 3);
}

bool launch_swiglu_backward(Device& device, const Launchable&, const KernelCall& call) {
  const View &dgate = call.views[0], &dup = call.views[1], &dy = call.views[2], &gate = call.views[3];
  const View* of_gate[] = {&dgate, &dy, &gate, &call.views[4]};
  const View* of_up[] = {&dup, &dy, &gate};
  return (dgate.ndim < 0 || map(device, entry_name("swiglu_dgate", dy.dtype), of_gate, 4)) &&
         (dup.ndim < 0 || map(device, entry_name("swiglu_dup", dy.dtype), of_up, 3));
}

constexpr int most_options = sizeof Job::numbers / sizeof *Job::numbers;

}  // namespace

bool is_map(const KernelInfo& info) {
  if (std::string_view(info.family) != "elementwise") return false;
  int tensors = 0, options = 0;
  for (int i = 0; i < info.argument_count; i++) {
    const ArgumentInfo& argument = info.arguments[i];
    if (argument.role == Role::number_ || argument.role == Role::integer_ || argument.role == Role::flag_) {
      options++;
    } else if (argument.arity == Arity::one && argument.role == (i == 0 ? Role::out_ : Role::strided_)) {
      tensors++;
    } else {
      return false;
    }
  }
  return tensors >= 2 && tensors <= job_operands && options <= most_options;
}

namespace {

bool launch_with(Device& device, const Launchable& kernel, const KernelCall& call, Job job) {
  const View* views[job_operands];
  for (int i = 0; i < call.view_count; i++) views[i] = &call.views[i];
  for (int i = 0; i < kernel.numbers; i++) {
    job.numbers[i] = static_cast<float>(call.numbers[i]);
    job.integers[i] = whole(call.numbers[i]);
  }
  // The last tensor's dtype is T, even if the result is bool.
  return map(device, entry_name(kernel.kernel, views[call.view_count - 1]->dtype), views, call.view_count, job);
}

bool launch_division(Device& device, const Launchable& kernel, const KernelCall& call) {
  Job job = {};
  if (call.views[0].dtype == DType::int32)
    job.wrong =
        device.late.expect(call, ErrorCode::value,
                           "an int32 is divided by 0; convert the tensors to float32, which has infinities and NaN");
  return launch_with(device, kernel, call, job);
}

}  // namespace

bool launch_map(Device& device, const Launchable& kernel, const KernelCall& call) {
  return launch_with(device, kernel, call, {});
}

const Launchable elementwise_kernels[] = {
    {"where", launch_where, "where_word"},
    {"fmod", launch_division, "fmod_float32"},
    {"remainder", launch_division, "remainder_float32"},
    {"quotient", launch_division, "quotient_float32", 1},
    {},
};

const Launchable gated_kernels[] = {
    {"swiglu", launch_swiglu, "swiglu_float32"},
    {"swiglu_backward", launch_swiglu_backward, "swiglu_dgate_float32"},
    {},
};

const Launchable shape_kernels[] = {
    {"copy", launch_copy, "copy_word"},
    {"copy_into", launch_copy, "copy_word"},
    {"accumulate", launch_accumulate, "add_float32"},
    {"fill", launch_fill, nullptr},
    {"arange", launch_arange, "arange_float32"},
    {"cat", launch_cat, "copy_word"},
    {},
};

}  // namespace firesteel::cuda
