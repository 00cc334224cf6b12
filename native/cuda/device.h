// One GPU for one queue: its stream, its memory, and the kernels of the
// embedded binary.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "driver.h"
#include "library.h"
#include "memory.h"
#include "reads.h"

namespace firesteel::cuda {

struct Launchable;

// Runs a kernel of the table: checks relations between shapes, chooses an
// entry, computes the grid. False after Device::fail.
using Launcher = bool (*)(Device& device, const Launchable& kernel, const KernelCall& call);

struct Launchable {
  const char* kernel;
  Launcher launch;
  const char* entry;  // of the binary; null if none is needed. Where it is
                      // missing, so is the kernel.
  int options = 0;    // the kernel's numbers; launch_map reads them
};

// Kernels whose launcher is written by hand, by family, ended by a null name.
extern const Launchable elementwise_kernels[];
extern const Launchable shape_kernels[];
extern const Launchable reduce_kernels[];

// Launches a map over single elements: the result, its operands, and up to two
// options. The entries are named <kernel>_<dtype>.
bool launch_map(Device& device, const Launchable& kernel, const KernelCall& call);
// Whether launch_map takes calls of the row.
bool is_map(const KernelInfo& info);

struct Device {
  // Null on failure, which `error` tells.
  static std::unique_ptr<Device> open(const Driver& driver, int index, std::string* error);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // What is called on a device acts on its context, which is a thread's own.
  void make_current();
  // Notes a failure of the current call; always false.
  bool fail(std::string text);
  // True if the status is success, else fails.
  bool check(const char* what, Status status);

  // The number of a row of the table of kernels for the library's `launch`; -1
  // where this device lacks it.
  int find_kernel(const KernelInfo& info);

  // Null where the binary has no such entry.
  void* entry(const std::string& name);
  // One dimension of blocks of 256 threads, as many as keep the GPU busy with
  // `threads` threads' work.
  bool launch(const std::string& entry, uint64_t threads, const void* parameter);
  bool copy(void* to, const void* from, size_t bytes);

  const Driver& driver;
  std::string error;  // of the last call that failed
  std::string name;
  void* stream = nullptr;
  std::vector<Launchable> kernels;  // by the numbers of find_kernel
  Memory memory;
  Reads reads;

 private:
  Device(const Driver& driver, int index);
  bool start(std::string* error);

  int index_;
  void* context_ = nullptr;
  std::vector<void*> modules_;
  int processors_ = 1;
  std::unordered_map<std::string, void*> entries_;
};

inline uint64_t address(const void* data) { return reinterpret_cast<uint64_t>(data); }

}  // namespace firesteel::cuda
