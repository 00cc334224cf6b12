// The CUDA driver, opened at run time: libcuda.so.1, or the library named by FIRESTEEL_CUDA_DRIVER.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <string>

#include "driver_types.h"
#include "tensor_map.h"

// function, parameters
#define FIRESTEEL_CUDA_FUNCTIONS(X)                                                                              \
  X(cuInit, unsigned)                                                                                            \
  X(cuDriverGetVersion, int*)                                                                                    \
  X(cuGetErrorString, Status, const char**)                                                                      \
  X(cuDeviceGetCount, int*)                                                                                      \
  X(cuDeviceGet, int*, int)                                                                                      \
  X(cuDeviceGetName, char*, int, int)                                                                            \
  X(cuDeviceGetAttribute, int*, DeviceAttribute, int)                                                            \
  X(cuDevicePrimaryCtxRetain, void**, int)                                                                       \
  X(cuDevicePrimaryCtxRelease_v2, int)                                                                           \
  X(cuCtxSetCurrent, void*)                                                                                      \
  X(cuModuleLoadData, void**, const void*)                                                                       \
  X(cuModuleGetFunction, void**, void*, const char*)                                                             \
  X(cuMemGetInfo_v2, size_t*, size_t*)                                                                           \
  X(cuMemAlloc_v2, uint64_t*, size_t)                                                                            \
  X(cuMemFree_v2, uint64_t)                                                                                      \
  X(cuMemcpyHtoDAsync_v2, uint64_t, const void*, size_t, void*)                                                  \
  X(cuMemcpyDtoHAsync_v2, void*, uint64_t, size_t, void*)                                                        \
  X(cuMemcpyDtoDAsync_v2, uint64_t, uint64_t, size_t, void*)                                                     \
  X(cuMemsetD8Async, uint64_t, unsigned char, size_t, void*)                                                     \
  X(cuMemsetD16Async, uint64_t, unsigned short, size_t, void*)                                                   \
  X(cuMemsetD32Async, uint64_t, unsigned, size_t, void*)                                                         \
  X(cuStreamCreate, void**, unsigned)                                                                            \
  X(cuStreamDestroy_v2, void*)                                                                                   \
  X(cuStreamSynchronize, void*)                                                                                  \
  X(cuMemHostAlloc, void**, size_t, unsigned)                                                                    \
  X(cuMemFreeHost, void*)                                                                                        \
  X(cuEventCreate, void**, unsigned)                                                                             \
  X(cuEventDestroy_v2, void*)                                                                                    \
  X(cuEventRecord, void*, void*)                                                                                 \
  X(cuEventSynchronize, void*)                                                                                   \
  X(cuStreamBeginCapture_v2, void*, int)                                                                         \
  X(cuStreamEndCapture, void*, void**)                                                                           \
  X(cuStreamGetCaptureInfo_v3, void*, int*, uint64_t*, void**, void* const**, const void**, size_t*)             \
  X(cuGraphExecKernelNodeSetParams_v2, void*, void*, const KernelNode*)                                          \
  X(cuGraphInstantiateWithFlags, void**, void*, uint64_t)                                                        \
  X(cuGraphLaunch, void*, void*)                                                                                 \
  X(cuGraphExecDestroy, void*)                                                                                   \
  X(cuGraphDestroy, void*)                                                                                       \
  X(cuFuncSetAttribute, void*, FunctionAttribute, int)                                                           \
  X(cuTensorMapEncodeTiled, TensorMap*, int, unsigned, void*, const uint64_t*, const uint64_t*, const uint32_t*, \
    const uint32_t*, int, int, int, int)                                                                         \
  X(cuLaunchKernel, void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**)

namespace firesteel::cuda {

struct Driver {
#define X(name, ...) Status (*name)(__VA_ARGS__) = nullptr;
  FIRESTEEL_CUDA_FUNCTIONS(X)
#undef X
  int version = 0;  // 13000 is 13.0
  int device_count = 0;
  std::string why;  // why the driver cannot be used; empty if it can

  // The number of GPUs, in words.
  std::string found() const;
  // "<what>: <the driver's words>"
  std::string error(const char* what, Status status) const;
};

// Opened and started once for the process, and never closed.
const Driver& driver();

}  // namespace firesteel::cuda
