#include "device.h"

#include <algorithm>
#include <string_view>

// The binaries of the .cu files, each for all targets, with null at the end. There are none if the library was built
// without nvcc (scripts/build-cuda.mjs writes them).
extern "C" __attribute__((visibility("hidden"))) const void* const firesteel_cuda_modules[];

namespace firesteel::cuda {
namespace {

constexpr unsigned threads_per_block = 256;
// More blocks than a multiprocessor can run at once, so that they end at different times without a long tail.
constexpr uint64_t blocks_per_processor = 16;

bool built_with_kernels() { return firesteel_cuda_modules[0] != nullptr; }

}  // namespace

Device::Device(const Driver& driver, int index)
    : driver(driver), memory(driver), reads(*this), late(driver), graphs(*this), index_(index) {}

std::unique_ptr<Device> Device::open(const Driver& driver, int index, std::string* error) {
  std::unique_ptr<Device> device(new Device(driver, index));
  return device->start(error) ? std::move(device) : nullptr;
}

bool Device::start(std::string* error) {
  const auto failed = [&](const char* what, Status status) {
    if (status == Status::success) return false;
    *error = driver.error(what, status);
    return true;
  };
  int ordinal = 0, major = 0, minor = 0;
  char text[128] = "";
  if (failed("cuDeviceGet", driver.cuDeviceGet(&ordinal, index_)) ||
      failed("cuDeviceGetName", driver.cuDeviceGetName(text, sizeof text, ordinal)) ||
      failed("cuDeviceGetAttribute",
             driver.cuDeviceGetAttribute(&processors_, DeviceAttribute::multiprocessor_count, ordinal)) ||
      failed("cuDeviceGetAttribute",
             driver.cuDeviceGetAttribute(&major, DeviceAttribute::compute_capability_major, ordinal)) ||
      failed("cuDeviceGetAttribute",
             driver.cuDeviceGetAttribute(&minor, DeviceAttribute::compute_capability_minor, ordinal)) ||
      failed("cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain(&context_, ordinal)))
    return false;
  name = std::string(text) + " (sm_" + std::to_string(major) + std::to_string(minor) + ")";
  generation = 10 * major + minor;
  make_current();
  // An emulator has its own kernels, for which an empty image stands.
  static constexpr const void* none[] = {"", nullptr};
  for (const void* const* image = built_with_kernels() ? firesteel_cuda_modules : none; *image; image++) {
    void* module = nullptr;
    const Status status = driver.cuModuleLoadData(&module, *image);
    if (status == Status::success) {
      modules_.push_back(module);
      continue;
    }
    *error = !built_with_kernels() ? "the CUDA library was built without nvcc and holds no kernels"
             : status == Status::no_binary_for_gpu
                 ? name + " is older than the kernels support: sm_75 (Turing) or later is needed"
                 : driver.error("the kernels cannot be loaded", status);
    return false;
  }
  // The flag 1 means that the stream does not wait for the default stream.
  if (failed("cuStreamCreate", driver.cuStreamCreate(&stream, 1))) return false;
  if (failed("cuMemHostAlloc", late.start())) return false;
  if (!reads.start()) {
    *error = this->error;
    return false;
  }
  return true;
}

int Device::find_kernel(const KernelInfo& info) {
  const auto add = [&](const Launchable& kernel, bool there) {
    if (!there) return -1;
    kernels.push_back(kernel);
    const std::string_view family = info.family, name = info.name;
    Launchable& added = kernels.back();
    for (int i = 0; i < info.argument_count; i++) {
      const Role role = info.arguments[i].role;
      if (role == Role::philox_) added.positions++;
      if (role != Role::number_ && role != Role::integer_ && role != Role::flag_) continue;
      if (std::string_view(info.arguments[i].name) == "dropout") added.dropout = added.numbers;
      added.numbers++;
    }
    const bool clips = name == "total_norm" || name == "clip_scale";
    added.varies = added.positions > 0 || (family == "optimizer" && !clips);
    return static_cast<int>(kernels.size()) - 1;
  };
  for (const Launchable* table :
       {elementwise_kernels, gated_kernels, shape_kernels, reduce_kernels, sort_kernels, indexing_kernels,
        matmul_kernels, conv_kernels, pool_kernels, interpolate_kernels, norm_kernels, softmax_kernels, loss_kernels,
        head_kernels, ctc_kernels, recurrent_kernels, attention_kernels, random_kernels, optimizer_kernels})
    for (; table->kernel; table++)
      if (std::string_view(table->kernel) == info.name) return add(*table, !table->entry || entry(table->entry));
  if (!is_map(info)) return -1;
  // Some kernels take only integers.
  const std::string name = info.name;
  return add({info.name, launch_map, nullptr}, entry(name + "_float32") || entry(name + "_int32"));
}

Device::~Device() {
  if (!context_) return;
  make_current();
  reads.stop();
  if (stream) {
    driver.cuStreamSynchronize(stream);
    graphs.drop_all();
    late.stop();
    memory.release_all();
    driver.cuStreamDestroy_v2(stream);
  }
  // The modules are released with the context, which other queues may share.
  driver.cuDevicePrimaryCtxRelease_v2(index_);
}

void Device::make_current() {
  thread_local void* current = nullptr;
  if (current == context_) return;
  driver.cuCtxSetCurrent(context_);
  current = context_;
}

bool Device::fail(std::string text, ErrorCode code) {
  error = std::move(text);
  this->code = code;
  return false;
}

bool Device::check(const char* what, Status status) {
  return status == Status::success || fail(driver.error(what, status));
}

void* Device::entry(const std::string& name) {
  const auto found = entries_.find(name);
  if (found != entries_.end()) return found->second;
  void* function = nullptr;
  for (void* module : modules_)
    if (driver.cuModuleGetFunction(&function, module, name.c_str()) == Status::success) break;
  entries_.emplace(name, function);
  return function;
}

bool Device::launch(const std::string& name, uint64_t threads, const void* parameter) {
  const uint64_t blocks = std::clamp<uint64_t>((threads + threads_per_block - 1) / threads_per_block, 1,
                                               blocks_per_processor * static_cast<uint64_t>(processors_));
  return launch(name, Grid{static_cast<unsigned>(blocks)}, parameter);
}

bool Device::launch(const std::string& name, Grid grid, const void* parameter) {
  void* function = entry(name);
  if (!function) return fail("there is no kernel " + name + " for GPUs yet; move the tensors with .to('cpu')");
  void* parameters[] = {const_cast<void*>(parameter)};
  const KernelNode node = {.function = function,
                           .grid_x = grid.x,
                           .grid_y = grid.y,
                           .grid_z = 1,
                           .block_x = grid.threads,
                           .block_y = 1,
                           .block_z = 1,
                           .shared_bytes = grid.shared_bytes,
                           .parameters = parameters,
                           .extra = nullptr,
                           .kernel = nullptr,
                           .context = nullptr};
  if (graphs.renewing()) return graphs.renew(name.c_str(), node);
  // A kernel must be allowed to have more than 48 KiB.
  if (grid.shared_bytes > 0 &&
      !check(name.c_str(), driver.cuFuncSetAttribute(function, FunctionAttribute::most_dynamic_shared_bytes,
                                                     static_cast<int>(grid.shared_bytes))))
    return false;
  launches++;
  return check(name.c_str(), driver.cuLaunchKernel(function, grid.x, grid.y, 1, grid.threads, 1, 1, grid.shared_bytes,
                                                   stream, parameters, nullptr)) &&
         graphs.note_node();
}

bool Device::clear(void* to, size_t bytes) {
  return bytes == 0 || graphs.renewing() || check("clear", driver.cuMemsetD8Async(address(to), 0, bytes, stream));
}

bool Device::copy(void* to, const void* from, size_t bytes) {
  return graphs.renewing() || check("copy", driver.cuMemcpyDtoDAsync_v2(address(to), address(from), bytes, stream));
}

}  // namespace firesteel::cuda
