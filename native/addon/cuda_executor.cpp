#include "cuda_executor.h"

#include <new>

#include "../core/dynamic_library.h"
#include "../core/kernel_infos.h"

namespace firesteel {

using namespace cuda;

std::unique_ptr<CudaExecutor> CudaExecutor::open(const char* path, int index, std::string* why) {
  // The library is never closed, because the driver's threads may run in it.
  const DynamicLibrary opened(path, why);
  if (!opened) return nullptr;
  const auto entry = opened.find<FiresteelCudaEntry>("firesteel_cuda");
  const Library* library = entry ? entry() : nullptr;
  if (!library || library->version != library_version) {
    *why = std::string(path) + " belongs to another version of firesteel";
    return nullptr;
  }
  char error[512] = "";
  Device* device = library->open(index, error, sizeof error);
  if (device) return std::unique_ptr<CudaExecutor>(new CudaExecutor(*library, device));
  *why = error;
  return nullptr;
}

CudaExecutor::CudaExecutor(const Library& library, Device* device) : library_(library), device_(device) {
  for (const KernelInfo& kernel : kernel_rows) numbers_.push_back(library.find_kernel(device, &kernel));
}

CudaExecutor::~CudaExecutor() { library_.close(device_); }

void CudaExecutor::release(void* data, size_t bytes) noexcept {
  try {
    library_.release(device_, data, bytes);
  } catch (const std::bad_alloc&) {
    // The block is lost if there is no memory to note that it is free.
  }
}

void CudaExecutor::run(Context& context, const Call& call) {
  const auto count = static_cast<size_t>(call.view_count);
  views_.assign(call.views.begin(), call.views.begin() + call.view_count);
  for (size_t i = 0; i < count; i++)
    if (call.places[i].handle < 0)
      views_[i] = {.data = nullptr, .dtype = DType::float32, .ndim = -1, .count = 0, .sizes = {}, .strides = {}};
  const KernelCall decoded = {views_.data(), call.view_count, call.lists, call.list_count, call.numbers,
                              call.integers, call.philox,     context.op, context.label};
  const int number = numbers_[static_cast<size_t>(call.kernel - kernel_rows.data())];
  const char* error = number < 0 ? "this device has no such kernel" : library_.launch(device_, number, &decoded);
  if (error) record_error(context, number < 0 ? ErrorCode::internal : library_.code(device_), "%s", error);
}

void CudaExecutor::record_late_error(Context& context) {
  LateError late;
  if (library_.take_late_error(device_, &late)) context.record_of(late.op, late.label, late.code, late.text);
}

void CudaExecutor::write(Context& context, void* to, const void* from, size_t bytes) {
  if (const char* error = library_.write(device_, to, from, bytes))
    record_error(context, library_.code(device_), "%s", error);
}

bool CudaExecutor::read(Context& context, void* to, const void* from, size_t bytes) {
  const char* error = library_.read(device_, to, from, bytes);
  if (error) record_error(context, library_.code(device_), "%s", error);
  record_late_error(context);
  return !error;
}

void CudaExecutor::finish(Context& context) {
  if (const char* error = library_.synchronize(device_)) record_error(context, ErrorCode::internal, "%s", error);
  record_late_error(context);
}

}  // namespace firesteel
