#include "library.h"

#include <stdio.h>

#include "device.h"

namespace firesteel::cuda {
namespace {

const char* why() { return driver().why.empty() ? nullptr : driver().why.c_str(); }
int device_count() { return driver().device_count; }

Device* open(int index, char* error, size_t error_size) {
  std::string text;
  if (why()) {
    text = why();
  } else if (index < 0 || index >= device_count()) {
    text = "there is no GPU " + std::to_string(index) + "; " + driver().found() + ", and counts from 0";
  } else if (std::unique_ptr<Device> device = Device::open(driver(), index, &text)) {
    return device.release();
  }
  snprintf(error, error_size, "%s", text.c_str());
  return nullptr;
}

void close(Device* device) { delete device; }
const char* name(const Device* device) { return device->name.c_str(); }

int find_kernel(Device* device, const KernelInfo* info) {
  device->make_current();
  return device->find_kernel(*info);
}

const char* result(const Device* device, bool success) { return success ? nullptr : device->error.c_str(); }

void* allocate(Device* device, size_t bytes) {
  device->make_current();
  return device->memory.allocate(bytes);
}
const char* allocation_failure(Device* device) {
  const Status status = device->memory.failure();
  return result(device, device->check("the GPU failed", status));
}
void release(Device* device, void* data, size_t bytes) {
  device->make_current();
  device->memory.release(data, bytes);
}
void flush(Device* device) {
  device->make_current();
  device->memory.flush();
}
size_t live_bytes(const Device* device) { return device->memory.live_bytes(); }
size_t reserved_bytes(const Device* device) { return device->memory.reserved_bytes(); }

size_t available_bytes(Device* device) {
  device->make_current();
  size_t available = 0, total = 0;
  device->driver.cuMemGetInfo_v2(&available, &total);
  return available;
}

size_t total_bytes(Device* device) {
  device->make_current();
  size_t available = 0, total = 0;
  device->driver.cuMemGetInfo_v2(&available, &total);
  return total;
}

const char* synchronize(Device* device) {
  // Captured calls do not run, so there is nothing to wait for.
  if (device->graphs.capturing()) return nullptr;
  device->make_current();
  const bool success = device->check("the GPU failed", device->driver.cuStreamSynchronize(device->stream));
  if (success) device->late.collect();
  return result(device, success);
}

ErrorCode code(const Device* device) { return device->code; }
bool take_late_error(Device* device, LateError* error) { return device->late.take(error); }

const char* write(Device* device, void* to, const void* from, size_t bytes) {
  device->make_current();
  if (bytes == 0) return nullptr;
  if (!device->graphs.refuse("numbers of the program would be the same at each replay")) return result(device, false);
  // The driver has copied the bytes of pageable memory by the time it returns.
  const Status status = device->driver.cuMemcpyHtoDAsync_v2(address(to), from, bytes, device->stream);
  return result(device, device->check("upload", status));
}

const char* read(Device* device, void* to, const void* from, size_t bytes) {
  device->make_current();
  if (bytes == 0) return nullptr;
  if (!device->graphs.refuse("a read waits for calls that are only captured")) return result(device, false);
  const Status status = device->driver.cuMemcpyDtoHAsync_v2(to, address(from), bytes, device->stream);
  return device->check("the GPU failed", status) ? synchronize(device) : result(device, false);
}

bool begin_read(Device* device, void* to, const void* from, size_t bytes, ReadDone done, void* owner) {
  if (device->late.expected() || device->graphs.capturing()) return false;
  device->make_current();
  return device->reads.begin(to, from, bytes, done, owner);
}
void finish_reads(Device* device) { device->reads.finish(); }

const char* launch(Device* device, int kernel, const KernelCall* call) {
  device->make_current();
  const Launchable& launchable = device->kernels[static_cast<size_t>(kernel)];
  if (device->graphs.capturing()) {
    device->graphs.touch(*call);
    if (launchable.varies_in(*call)) return result(device, device->graphs.capture_varying(launchable, *call));
  }
  return result(device, launchable.launch(*device, launchable, *call));
}

const char* begin_capture(Device* device) {
  device->make_current();
  return result(device, device->graphs.begin());
}
const char* end_capture(Device* device, int* graph) {
  device->make_current();
  *graph = device->graphs.end();
  return result(device, *graph >= 0);
}
const char* replay(Device* device, int graph, const double* values, size_t count) {
  device->make_current();
  return result(device, device->graphs.replay(graph, values, count));
}
void drop_graph(Device* device, int graph) {
  device->make_current();
  device->graphs.drop(graph);
}
uint64_t launches(const Device* device) { return device->launches; }

void allow_tf32(Device* device, bool allowed) { device->allows_tf32 = allowed; }

constexpr Library library = {
    .version = library_version,
    .why = why,
    .device_count = device_count,
    .open = open,
    .close = close,
    .name = name,
    .find_kernel = find_kernel,
    .allocate = allocate,
    .allocation_failure = allocation_failure,
    .release = release,
    .flush = flush,
    .live_bytes = live_bytes,
    .reserved_bytes = reserved_bytes,
    .available_bytes = available_bytes,
    .total_bytes = total_bytes,
    .write = write,
    .read = read,
    .begin_read = begin_read,
    .finish_reads = finish_reads,
    .launch = launch,
    .begin_capture = begin_capture,
    .end_capture = end_capture,
    .replay = replay,
    .drop_graph = drop_graph,
    .launches = launches,
    .allow_tf32 = allow_tf32,
    .code = code,
    .synchronize = synchronize,
    .take_late_error = take_late_error,
};

}  // namespace
}  // namespace firesteel::cuda

extern "C" __attribute__((visibility("default"))) const firesteel::cuda::Library* firesteel_cuda() {
  return &firesteel::cuda::library;
}
