// The CUDA driver's functions over the emulator: a libcuda for machines without a GPU. FIRESTEEL_CUDA_DRIVER names the
// library that is made of this file and the emulated kernels. Modules are not read, because kernels are found by name.
//
// Streams are as late as they may be: submitted work runs only when the program waits for the stream. So a buffer that
// is returned too early, or a result that is read too soon, is noticed. Copies from pageable memory take their bytes at
// once, and copies into it wait for the stream, like the driver's.
//
// FIRESTEEL_EMULATOR_ORDER=reverse runs threads from the last to the first. FIRESTEEL_EMULATOR_DEVICES is the number of
// devices, 1 by default. FIRESTEEL_EMULATOR_VERSION is the CUDA version that the driver supports, 13000 (13.0) by
// default. FIRESTEEL_EMULATOR_CAPABILITY is 10 times their compute capability, 80 by default. FIRESTEEL_EMULATOR_MEMORY
// is the memory of each in bytes; FIRESTEEL_EMULATOR_OTHERS is the part of it that other processes hold.
// FIRESTEEL_EMULATOR_CHECK=1 checks kernels for races and stray accesses (check.h). FIRESTEEL_EMULATOR_GATE names a
// file. While the file does not exist, no submitted work runs, as if a kernel that takes hours came first. If it says
// "fail", the device has failed. FIRESTEEL_EMULATOR_FAIL is read at each call, so a program may set it between two
// calls. With "allocate" there is no memory, and with "launch" no kernel starts. With "address" the next kernel touches
// memory that is not its own. Like a GPU's context, the device then does nothing more.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "../cuda/driver_types.h"
#include "check.h"
#include "emulator.h"
#include "kernels.h"
#include "tiles.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace emulator {

std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> kernels;
  return kernels;
}

}  // namespace emulator

namespace {

using firesteel::cuda::DeviceAttribute;
using firesteel::cuda::FunctionAttribute;
using firesteel::cuda::KernelNode;
using firesteel::cuda::Status;

constexpr int emulated_processors = 2;
constexpr int most_shared_bytes = 227 << 10;  // of a block

enum class Gate { open, closed, failed };

Gate gate() {
  static const char* const path = getenv("FIRESTEEL_EMULATOR_GATE");
  FILE* file = path ? fopen(path, "r") : nullptr;
  if (!file) return path ? Gate::closed : Gate::open;
  char text[5] = "";
  const bool failed = fread(text, 1, 4, file) == 4 && strcmp(text, "fail") == 0;
  fclose(file);
  return failed ? Gate::failed : Gate::open;
}

bool fails(const char* what) {
  const char* now = getenv("FIRESTEEL_EMULATOR_FAIL");
  return now && strcmp(now, what) == 0;
}

// Whether a kernel has touched an illegal address.
std::atomic<bool> lost{false};

// 10 times the compute capability.
int capability() {
  const char* wanted = getenv("FIRESTEEL_EMULATOR_CAPABILITY");
  return wanted ? atoi(wanted) : 80;
}

int devices() {
  const char* wanted = getenv("FIRESTEEL_EMULATOR_DEVICES");
  return wanted ? atoi(wanted) : 1;
}

// A context is the number of its device, from 1 on. Each thread has one that is current.
void* context_of(int device) { return reinterpret_cast<void*>(static_cast<intptr_t>(device) + 1); }
thread_local void* current = nullptr;

// Captured work, and for each piece the handle of its node, which is an address within the graph's own memory.
struct Graph {
  std::vector<std::function<void()>> work;
  std::vector<void*> nodes;
  std::deque<char> addresses;
  void add(std::function<void()> piece) {
    work.push_back(std::move(piece));
    nodes.push_back(&addresses.emplace_back());
  }
};

struct Executable {
  const Graph* source;
  std::vector<std::function<void()>> work;
};

struct Stream {
  void* const context = current;
  std::deque<std::function<void()>> work;
  // Work that is submitted while the stream is captured, which does not run.
  std::unique_ptr<Graph> captured;
  // Runs the work that was submitted first. False if there is none, or it must not run.
  bool step() {
    if (work.empty() || gate() != Gate::open) return false;
    const std::function<void()> next = std::move(work.front());
    work.pop_front();
    next();
    return true;
  }
};

struct Event {
  Stream* stream = nullptr;
  bool happened = true;
};

// The emulator runs one thing at a time.
std::recursive_mutex& mutex() {
  static std::recursive_mutex* mutex = new std::recursive_mutex;
  return *mutex;
}
using Lock = std::lock_guard<std::recursive_mutex>;

std::vector<Stream*>& streams() {
  static std::vector<Stream*>* streams = new std::vector<Stream*>;
  return *streams;
}

// Those that nobody has destroyed.
std::vector<std::unique_ptr<Graph>>& graphs() {
  static auto* graphs = new std::vector<std::unique_ptr<Graph>>;
  return *graphs;
}

size_t bytes_in(const char* variable, size_t otherwise) {
  const char* bytes = getenv(variable);
  return bytes ? strtoull(bytes, nullptr, 10) : otherwise;
}

Status submit(void* stream, std::function<void()> work) {
  if (lost) return Status::illegal_address;
  if (static_cast<Stream*>(stream)->context != current) return Status::invalid_handle;
  auto* to = static_cast<Stream*>(stream);
  if (to->captured)
    to->captured->add(std::move(work));
  else
    to->work.push_back(std::move(work));
  return Status::success;
}

// Runs the stream's work until `done` is true. The lock is held while `done` is called, and released between steps.
template <class Done>
Status wait(Stream& stream, const Done& done) {
  for (bool stepped = true;;) {
    if (!stepped) usleep(1000);
    Lock lock(mutex());
    if (lost) return Status::illegal_address;
    if (stream.captured) return Status::stream_capture_unsupported;
    if (done()) return Status::success;
    stepped = stream.step();
    if (!stepped && gate() == Gate::failed) return Status::launch_failed;
  }
}

Status wait(Stream& stream) {
  return wait(stream, [&] { return stream.work.empty(); });
}

// Page-locked memory of the host. Copies into it need not wait.
std::vector<std::pair<const char*, size_t>>& pinned() {
  static auto* pinned = new std::vector<std::pair<const char*, size_t>>;
  return *pinned;
}

bool is_pinned(const void* data, size_t bytes) {
  const char* first = static_cast<const char*>(data);
  for (const auto& [start, size] : pinned())
    if (first >= start && first + bytes <= start + size) return true;
  return false;
}

// The dynamic shared memory that each function may have.
std::unordered_map<void*, unsigned>& shared_bytes_of() {
  static auto* bytes = new std::unordered_map<void*, unsigned>;
  return *bytes;
}
unsigned most_shared_of(void* function) {
  const auto found = shared_bytes_of().find(function);
  return found == shared_bytes_of().end() ? 48u << 10 : found->second;
}

// A launch with its arguments as they are now.
std::function<void()> bound(void* function, dim3 grid, dim3 block, size_t shared_bytes, void** arguments) {
  emulator::BoundKernel kernel = (*static_cast<emulator::Kernel*>(function))(arguments);
  return [=, kernel = std::move(kernel)] {
    emulator::run(grid, block, shared_bytes, kernel);
    // A process that goes on after a race proves nothing, so it ends, as under a GPU's checker.
    if (emulator::faults) _exit(3);
  };
}

bool valid(uint64_t data, size_t bytes) { return bytes == 0 || emulator::device_contains(data, bytes); }

}  // namespace

EXPORT Status cuInit(unsigned) {
  const char* order = getenv("FIRESTEEL_EMULATOR_ORDER");
  emulator::reverse = order && strcmp(order, "reverse") == 0;
  const char* check = getenv("FIRESTEEL_EMULATOR_CHECK");
  emulator::checking = check && strcmp(check, "1") == 0;
  return devices() == 0 ? Status::no_device : Status::success;
}
EXPORT Status cuDriverGetVersion(int* version) {
  const char* wanted = getenv("FIRESTEEL_EMULATOR_VERSION");
  *version = wanted ? atoi(wanted) : 13000;
  return Status::success;
}
EXPORT Status cuGetErrorString(Status status, const char** text) {
  *text = status == Status::out_of_memory             ? "out of memory"
          : status == Status::not_found               ? "not found"
          : status == Status::illegal_address         ? "an illegal memory access was encountered"
          : status == Status::launch_out_of_resources ? "too many resources requested for launch"
                                                      : "emulated failure";
  return Status::success;
}
EXPORT Status cuDeviceGetCount(int* count) {
  *count = devices();
  return Status::success;
}
EXPORT Status cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return ordinal >= 0 && ordinal < devices() ? Status::success : Status::invalid_device;
}
EXPORT Status cuDeviceGetName(char* name, int size, int) {
  snprintf(name, static_cast<size_t>(size), "emulator");
  return Status::success;
}
EXPORT Status cuDeviceGetAttribute(int* value, DeviceAttribute attribute, int) {
  switch (attribute) {
    case DeviceAttribute::multiprocessor_count:
      *value = emulated_processors;
      return Status::success;
    case DeviceAttribute::compute_capability_major:
      *value = capability() / 10;
      return Status::success;
    case DeviceAttribute::compute_capability_minor:
      *value = capability() % 10;
      return Status::success;
  }
  return Status::invalid_value;
}
EXPORT Status cuDevicePrimaryCtxRetain(void** context, int device) {
  *context = context_of(device);
  return Status::success;
}
EXPORT Status cuDevicePrimaryCtxRelease_v2(int) { return Status::success; }
EXPORT Status cuCtxSetCurrent(void* context) {
  current = context;
  return Status::success;
}

EXPORT Status cuModuleLoadData(void** module, const void*) {
  *module = &emulator::kernels();
  return Status::success;
}
EXPORT Status cuModuleGetFunction(void** function, void*, const char* name) {
  *function = nullptr;
  const auto found = emulator::kernels().find(name);
  if (found == emulator::kernels().end()) return Status::not_found;
  *function = &found->second;
  return Status::success;
}

EXPORT Status cuMemGetInfo_v2(size_t* available, size_t* total) {
  *total = bytes_in("FIRESTEEL_EMULATOR_MEMORY", size_t(2) << 30);
  const size_t used = emulator::device_bytes_in_use() + bytes_in("FIRESTEEL_EMULATOR_OTHERS", 0);
  *available = *total > used ? *total - used : 0;
  return Status::success;
}
EXPORT Status cuMemAlloc_v2(uint64_t* data, size_t bytes) {
  size_t available = 0, total = 0;
  cuMemGetInfo_v2(&available, &total);
  if (bytes == 0) return Status::invalid_value;
  if (lost) return Status::illegal_address;
  if (fails("allocate")) return Status::out_of_memory;
  void* memory = bytes <= available ? emulator::device_allocate(bytes) : nullptr;
  *data = reinterpret_cast<uint64_t>(memory);
  return memory ? Status::success : Status::out_of_memory;
}
// Waits for the device, as the driver does.
EXPORT Status cuMemFree_v2(uint64_t data) {
  Lock lock(mutex());
  for (Stream* stream : streams())
    if (const Status status = wait(*stream); status != Status::success) return status;
  return emulator::device_release(reinterpret_cast<void*>(data)) ? Status::success : Status::invalid_value;
}
EXPORT Status cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
  Lock lock(mutex());
  if (!valid(to, bytes)) return Status::invalid_value;
  // The driver would read the memory at each replay, and by then it would hold something else.
  if (static_cast<Stream*>(stream)->captured) return Status::stream_capture_unsupported;
  const auto* start = static_cast<const char*>(from);
  auto staged = std::make_shared<std::vector<char>>(start, start + bytes);
  return submit(stream, [=] { memcpy(reinterpret_cast<void*>(to), staged->data(), bytes); });
}
EXPORT Status cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
  {
    Lock lock(mutex());
    if (!valid(from, bytes)) return Status::invalid_value;
    submit(stream, [=] { memcpy(to, reinterpret_cast<const void*>(from), bytes); });
    if (is_pinned(to, bytes)) return Status::success;
  }
  return wait(*static_cast<Stream*>(stream));
}
EXPORT Status cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
  Lock lock(mutex());
  if (!valid(to, bytes) || !valid(from, bytes)) return Status::invalid_value;
  return submit(stream, [=] { memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes); });
}
EXPORT Status cuMemsetD8Async(uint64_t to, unsigned char value, size_t count, void* stream) {
  Lock lock(mutex());
  if (!valid(to, count)) return Status::invalid_value;
  return submit(stream, [=] { memset(reinterpret_cast<void*>(to), value, count); });
}
EXPORT Status cuMemsetD16Async(uint64_t to, unsigned short value, size_t count, void* stream) {
  Lock lock(mutex());
  if (to % 2 || !valid(to, 2 * count)) return Status::invalid_value;
  return submit(stream, [=] { std::fill_n(reinterpret_cast<unsigned short*>(to), count, value); });
}
EXPORT Status cuMemsetD32Async(uint64_t to, unsigned value, size_t count, void* stream) {
  Lock lock(mutex());
  if (to % 4 || !valid(to, 4 * count)) return Status::invalid_value;
  return submit(stream, [=] {
    auto* words = reinterpret_cast<unsigned*>(to);
    for (size_t i = 0; i < count; i++) words[i] = value;
  });
}

EXPORT Status cuStreamCreate(void** stream, unsigned) {
  Lock lock(mutex());
  auto* made = new Stream;
  streams().push_back(made);
  *stream = made;
  return Status::success;
}
EXPORT Status cuStreamDestroy_v2(void* stream) {
  Lock lock(mutex());
  std::erase(streams(), static_cast<Stream*>(stream));
  delete static_cast<Stream*>(stream);
  return Status::success;
}
EXPORT Status cuStreamSynchronize(void* stream) { return wait(*static_cast<Stream*>(stream)); }

EXPORT Status cuStreamBeginCapture_v2(void* stream, int) {
  Lock lock(mutex());
  auto* from = static_cast<Stream*>(stream);
  if (from->captured) return Status::invalid_value;
  from->captured = std::make_unique<Graph>();
  return Status::success;
}
EXPORT Status cuStreamEndCapture(void* stream, void** graph) {
  Lock lock(mutex());
  auto* from = static_cast<Stream*>(stream);
  if (!from->captured) return Status::invalid_value;
  graphs().push_back(std::move(from->captured));
  *graph = graphs().back().get();
  return Status::success;
}
// The node that the next one waits for is the last one.
EXPORT Status cuStreamGetCaptureInfo_v3(void* stream, int* status, uint64_t*, void**, void* const** nodes,
                                        const void** edges, size_t* count) {
  Lock lock(mutex());
  const auto& captured = static_cast<Stream*>(stream)->captured;
  *status = captured ? 1 : 0;
  *edges = nullptr;
  *count = captured && !captured->nodes.empty() ? 1 : 0;
  *nodes = *count ? &captured->nodes.back() : nullptr;
  return Status::success;
}
EXPORT Status cuGraphInstantiateWithFlags(void** executable, void* graph, uint64_t) {
  Lock lock(mutex());
  const auto* from = static_cast<Graph*>(graph);
  *executable = new Executable{from, from->work};
  return Status::success;
}
EXPORT Status cuGraphExecKernelNodeSetParams_v2(void* executable, void* node, const KernelNode* to) {
  Lock lock(mutex());
  auto* changed = static_cast<Executable*>(executable);
  // The graph with the node must still be there.
  const auto is_source = [&](const auto& graph) { return graph.get() == changed->source; };
  const auto source = std::find_if(graphs().begin(), graphs().end(), is_source);
  if (source == graphs().end()) return Status::invalid_value;
  const std::vector<void*>& nodes = (*source)->nodes;
  const auto found = std::find(nodes.begin(), nodes.end(), node);
  if (found == nodes.end() || !to->function || to->extra) return Status::invalid_value;
  const dim3 grid = {to->grid_x, to->grid_y, to->grid_z}, block = {to->block_x, to->block_y, to->block_z};
  changed->work[static_cast<size_t>(found - nodes.begin())] =
      bound(to->function, grid, block, to->shared_bytes, to->parameters);
  return Status::success;
}
EXPORT Status cuGraphLaunch(void* executable, void* stream) {
  Lock lock(mutex());
  for (const std::function<void()>& work : static_cast<Executable*>(executable)->work)
    if (const Status status = submit(stream, work); status != Status::success) return status;
  return Status::success;
}
EXPORT Status cuGraphExecDestroy(void* executable) {
  delete static_cast<Executable*>(executable);
  return Status::success;
}
EXPORT Status cuGraphDestroy(void* graph) {
  Lock lock(mutex());
  std::erase_if(graphs(), [&](const auto& each) { return each.get() == graph; });
  return Status::success;
}

EXPORT Status cuMemHostAlloc(void** data, size_t bytes, unsigned) {
  Lock lock(mutex());
  char* memory = static_cast<char*>(malloc(bytes));
  if (!memory) return Status::out_of_memory;
  pinned().emplace_back(memory, bytes);
  *data = memory;
  return Status::success;
}
EXPORT Status cuMemFreeHost(void* data) {
  Lock lock(mutex());
  std::erase_if(pinned(), [&](const auto& block) { return block.first == data; });
  free(data);
  return Status::success;
}

EXPORT Status cuEventCreate(void** event, unsigned) {
  *event = new Event;
  return Status::success;
}
EXPORT Status cuEventDestroy_v2(void* event) {
  delete static_cast<Event*>(event);
  return Status::success;
}
EXPORT Status cuEventRecord(void* event, void* stream) {
  Lock lock(mutex());
  auto* recorded = static_cast<Event*>(event);
  recorded->stream = static_cast<Stream*>(stream);
  recorded->happened = false;
  return submit(stream, [=] { recorded->happened = true; });
}
EXPORT Status cuEventSynchronize(void* event) {
  auto* awaited = static_cast<Event*>(event);
  if (!awaited->stream) return Status::success;  // it was never recorded
  return wait(*awaited->stream, [=] { return awaited->happened; });
}

EXPORT Status cuFuncSetAttribute(void* function, FunctionAttribute attribute, int value) {
  if (attribute != FunctionAttribute::most_dynamic_shared_bytes || value < 0 || value > most_shared_bytes)
    return Status::invalid_value;
  Lock lock(mutex());
  shared_bytes_of()[function] = unsigned(value);
  return Status::success;
}

// Takes maps of the kind that matrix products use, and checks what the driver's manual demands of them.
EXPORT Status cuTensorMapEncodeTiled(TensorMap* map, int dtype, unsigned rank, void* data, const uint64_t* sizes,
                                     const uint64_t* line_bytes, const uint32_t* box, const uint32_t* steps,
                                     int interleave, int swizzle, int, int fill) {
  constexpr int bfloat16 = 9, swizzle_of_128 = 3;
  if (dtype != bfloat16 || rank != 2 || steps[0] != 1 || steps[1] != 1 || interleave || swizzle != swizzle_of_128 ||
      fill)
    return Status::invalid_value;
  if (reinterpret_cast<uintptr_t>(map) % 64 || reinterpret_cast<uintptr_t>(data) % 16) return Status::invalid_value;
  if (*line_bytes % 16 || *line_bytes >= uint64_t(1) << 40 || *line_bytes < 2 * sizes[0]) return Status::invalid_value;
  for (int d = 0; d < 2; d++)
    if (sizes[d] == 0 || sizes[d] > uint64_t(1) << 32 || box[d] == 0 || box[d] > 256) return Status::invalid_value;
  if (2 * box[0] != 128) return Status::invalid_value;
  *map = emulator::map_of(
      {static_cast<const char*>(data), int64_t(sizes[0]), int64_t(sizes[1]), int64_t(*line_bytes), box[0], box[1]});
  return Status::success;
}

EXPORT Status cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                             unsigned block_y, unsigned block_z, unsigned shared_bytes, void* stream, void** arguments,
                             void**) {
  Lock lock(mutex());
  const dim3 grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
  if (grid.count() == 0 || block.count() == 0 || block.count() > 1024 || grid_y > 65535 || grid_z > 65535)
    return Status::invalid_value;
  if (shared_bytes > most_shared_of(function)) return Status::invalid_value;
  if (fails("launch")) return Status::launch_out_of_resources;
  if (fails("address")) return submit(stream, [] { lost = true; });
  return submit(stream, bound(function, grid, block, shared_bytes, arguments));
}
