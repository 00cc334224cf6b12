// The interface of the CUDA library: a C table of functions, so that the addon does not link to CUDA, and works without
// this library. Functions that can fail return null, or a text that is valid until the next call on the device.
//
// A device belongs to one queue: only one thread at a time calls its functions, apart from `live_bytes`,
// `reserved_bytes`, `available_bytes` and `total_bytes`. All of its work goes to one stream, in order. Only `read`,
// `synchronize`, `finish_reads` and the return of memory to the driver wait for it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../core/call.h"

namespace firesteel::cuda {

// The version of this file and of the structs of core/kernel.h.
constexpr uint32_t library_version = 6;

struct Device;

// A kernel's decoded arguments, in the form of core/call.h. An absent optional tensor has null data and ndim -1.
struct KernelCall {
  const View* views;
  int view_count;
  const ViewList* lists;
  int list_count;
  const double* numbers;
  const Integers* integers;
  const Philox* philox;
  // The caller, for errors that appear only after the kernel has run.
  const char* op;
  int label;
};

// A fault that a kernel found in its data.
struct LateError {
  ErrorCode code;
  const char* op;
  int label;
  const char* text;
};

// Called at the end of a read, with the failure or null, by any thread.
using ReadDone = void (*)(void* owner, const char* error);

struct Library {
  uint32_t version;
  // Null if there is a usable GPU, else the reason why not; and the number of GPUs.
  const char* (*why)();
  int (*device_count)();

  // Null on failure, with the reason in `error`.
  Device* (*open)(int index, char* error, size_t error_size);
  void (*close)(Device* device);
  const char* (*name)(const Device* device);
  // The number by which `launch` names a row of the table of kernels, or -1 if there is no such kernel. The row must
  // outlive the device.
  int (*find_kernel)(Device* device, const KernelInfo* info);

  // Null if the GPU has no memory left, even after a flush, or if it has failed. `allocation_failure` says how it
  // failed, and is null otherwise.
  void* (*allocate)(Device* device, size_t bytes);
  const char* (*allocation_failure)(Device* device);
  void (*release)(Device* device, void* data, size_t bytes);
  // Returns unused memory to the driver.
  void (*flush)(Device* device);
  size_t (*live_bytes)(const Device* device);
  size_t (*reserved_bytes)(const Device* device);
  // The bytes that the driver has left, and the bytes of the GPU, or of the part of it that this process has (MIG).
  size_t (*available_bytes)(Device* device);
  size_t (*total_bytes)(Device* device);

  // The source may change once write returns. read waits until the bytes have arrived.
  const char* (*write)(Device* device, void* to, const void* from, size_t bytes);
  const char* (*read)(Device* device, void* to, const void* from, size_t bytes);
  // Reads in order without waiting, and calls `done` once, whatever happens. If it would have to wait, or if running
  // kernels may still find faults in their data, it does nothing and returns false.
  bool (*begin_read)(Device* device, void* to, const void* from, size_t bytes, ReadDone done, void* owner);
  // Waits until all reads that have begun are done.
  void (*finish_reads)(Device* device);
  const char* (*launch)(Device* device, int kernel, const KernelCall* call);
  // Captures the calls that follow instead of running them, until end_capture, which returns the number of the graph
  // for replay. Meanwhile, reads and writes fail with ErrorCode::value.
  const char* (*begin_capture)(Device* device);
  const char* (*end_capture)(Device* device, int* graph);
  // `values` are the numbers of the calls that vary (Launchable::varies_in), in the order of capture: of each call
  // first its numbers, then seed, stream and offset of its positions. Without values all calls keep the numbers they
  // had.
  const char* (*replay)(Device* device, int graph, const double* values, size_t count);
  void (*drop_graph)(Device* device, int graph);
  // The number of launches so far.
  uint64_t (*launches)(const Device* device);
  // Whether products of float32 may round their factors to tf32, from the next launch on. Initially they may not.
  void (*allow_tf32)(Device* device, bool allowed);
  // The error code of the last failed call.
  ErrorCode (*code)(const Device* device);
  const char* (*synchronize)(Device* device);
  // After a read or synchronize, takes the first fault that a kernel has found since the last one; false if there is
  // none.
  bool (*take_late_error)(Device* device, LateError* error);
};

}  // namespace firesteel::cuda

// The entry point of the library.
extern "C" const firesteel::cuda::Library* firesteel_cuda();
using FiresteelCudaEntry = const firesteel::cuda::Library* (*)();
