// One GPU for one queue: its stream, its memory, and the kernels of the embedded binary.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "driver.h"
#include "graphs.h"
#include "late_errors.h"
#include "library.h"
#include "memory.h"
#include "reads.h"

namespace firesteel::cuda {

struct Launchable;

// Runs a kernel of the table: checks how the shapes relate, chooses an entry and computes the grid. Returns false after
// Device::fail.
using Launcher = bool (*)(Device& device, const Launchable& kernel, const KernelCall& call);

struct Launchable {
  const char* kernel;
  Launcher launch;
  const char* entry;  // of the binary, without which there is no kernel; null if none is needed
  int numbers = 0;    // how many numbers, integers and flags its calls have
  int positions = 0;  // how many positions in random streams
  // Whether its numbers differ from call to call of a program, as a step's do. A graph renews them at each replay.
  bool varies = false;
  int dropout = -1;  // the number without which its positions are not read, or -1

  bool varies_in(const KernelCall& call) const { return varies && (dropout < 0 || call.numbers[dropout] > 0); }
};

// Kernels whose launchers are written by hand, by family. A null name ends each list.
extern const Launchable elementwise_kernels[];
extern const Launchable shape_kernels[];
extern const Launchable reduce_kernels[];
extern const Launchable indexing_kernels[];
extern const Launchable matmul_kernels[];
extern const Launchable conv_kernels[];
extern const Launchable pool_kernels[];
extern const Launchable norm_kernels[];
extern const Launchable softmax_kernels[];
extern const Launchable loss_kernels[];
extern const Launchable head_kernels[];
extern const Launchable ctc_kernels[];
extern const Launchable recurrent_kernels[];
extern const Launchable attention_kernels[];
extern const Launchable sort_kernels[];
extern const Launchable interpolate_kernels[];
extern const Launchable gated_kernels[];
extern const Launchable random_kernels[];
extern const Launchable optimizer_kernels[];

// Launches a map over single elements: the result, its operands, and up to two options. Its entries are named
// <kernel>_<dtype>.
bool launch_map(Device& device, const Launchable& kernel, const KernelCall& call);
// Whether launch_map takes calls of this row.
bool is_map(const KernelInfo& info);

inline bool is_blocks(const View& view) { return view.dtype >= first_block_dtype; }
// The bytes of `elements` elements of a dtype. Elements of a block dtype are whole blocks.
inline int64_t bytes_of(DType dtype, int64_t elements) {
  return elements / dtype_block[static_cast<int>(dtype)] * dtype_bytes[static_cast<int>(dtype)];
}

// The blocks of a launch, the threads of each, and the dynamic shared memory of each.
struct Grid {
  unsigned x, y = 1, threads = 256, shared_bytes = 0;
};

struct Device {
  // Null on failure, with the reason in `error`.
  static std::unique_ptr<Device> open(const Driver& driver, int index, std::string* error);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Makes the device's context this thread's current one, on which the driver's functions act.
  void make_current();
  // Notes a failure of the current call. Always returns false.
  bool fail(std::string text, ErrorCode code = ErrorCode::internal);
  // Returns true if the status is success; otherwise fails.
  bool check(const char* what, Status status);

  // The number by which the library's `launch` names a row of the table of kernels, or -1 if this device lacks the
  // kernel.
  int find_kernel(const KernelInfo& info);

  // An entry of the binary, or null if it has none of that name.
  void* entry(const std::string& name);
  // Launches blocks of 256 threads in one dimension: as many as `threads` threads' work needs, up to what keeps the GPU
  // busy.
  bool launch(const std::string& entry, uint64_t threads, const void* parameter);
  // The same with the given grid.
  bool launch(const std::string& entry, Grid grid, const void* parameter);
  bool copy(void* to, const void* from, size_t bytes);
  // Fills the memory with zeros.
  bool clear(void* to, size_t bytes);

  const Driver& driver;
  std::string error;  // of the last call that failed
  ErrorCode code = ErrorCode::internal;
  std::string name;
  int generation = 0;  // 10 times the compute capability: 75 is Turing
  bool allows_tf32 = false;
  void* stream = nullptr;
  std::vector<Launchable> kernels;  // by the numbers of find_kernel
  Memory memory;
  Reads reads;
  LateErrors late;
  Graphs graphs;
  uint64_t launches = 0;  // of kernels so far; a graph counts as one

 private:
  Device(const Driver& driver, int index);
  bool start(std::string* error);

  int index_;
  void* context_ = nullptr;
  std::vector<void*> modules_;
  int processors_ = 1;
  std::unordered_map<std::string, void*> entries_;
};

// Memory for one call. It may be released while kernels still use it, because its next user comes after them in the
// stream.
class Scratch {
 public:
  explicit Scratch(Device& device) : device_(device) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (data_ && !device_.graphs.renewing()) device_.memory.release(data_, bytes_);
  }
  // Must be called once only. Null after Device::fail.
  template <class T>
  T* take(int64_t count) {
    bytes_ = static_cast<size_t>(count) * sizeof(T);
    data_ = device_.graphs.renewing() ? device_.graphs.same_room() : device_.memory.allocate(bytes_);
    device_.graphs.note_room(data_);
    if (!data_) device_.fail("no memory for " + std::to_string(bytes_) + " bytes of scratch space", ErrorCode::memory);
    return static_cast<T*>(data_);
  }

 private:
  Device& device_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// The number of threads that share a row of `size` neighbouring elements (team.h). The entry's name ends with it.
inline int team_for(int64_t size) { return size <= 1024 ? 32 : 256; }
inline const char* team_suffix(int team) { return team == 1 ? "_1" : team == 32 ? "_32" : "_256"; }

inline uint64_t address(const void* data) { return reinterpret_cast<uint64_t>(data); }

// The data of a float32 argument, or null if an optional one is absent.
inline float* floats(const View& view) { return view.ndim < 0 ? nullptr : static_cast<float*>(view.data); }

}  // namespace firesteel::cuda
