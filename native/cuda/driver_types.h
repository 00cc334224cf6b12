// The few types of the CUDA driver's binary interface that this library uses. They are declared by hand, so that no
// toolkit is needed to build it. Handles (context, module, function, stream) are pointers, and device addresses are
// 64-bit integers.
#pragma once
namespace firesteel::cuda {

enum class Status : int {
  success = 0,
  invalid_value = 1,
  out_of_memory = 2,
  no_device = 100,
  invalid_device = 101,
  invalid_image = 200,
  no_binary_for_gpu = 209,
  unsupported_ptx_version = 222,
  invalid_handle = 400,
  not_found = 500,
  illegal_address = 700,
  launch_out_of_resources = 701,
  launch_failed = 719,
  stream_capture_unsupported = 900,
};

// CUDA_KERNEL_NODE_PARAMS_v2: a launch within a graph. Its kernel is the function.
struct KernelNode {
  void* function;
  unsigned grid_x, grid_y, grid_z;
  unsigned block_x, block_y, block_z;
  unsigned shared_bytes;
  void** parameters;
  void** extra;
  void* kernel;
  void* context;
};

enum class FunctionAttribute : int {
  most_dynamic_shared_bytes = 8,
};

enum class DeviceAttribute : int {
  multiprocessor_count = 16,
  compute_capability_major = 75,
  compute_capability_minor = 76,
};

}  // namespace firesteel::cuda
