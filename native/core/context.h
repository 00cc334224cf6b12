// The state behind the functions of kernel.h, one per queue: threads, scratch memory and the first error.
#pragma once
#include <stddef.h>

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "allocator.h"
#include "kernel.h"
#include "pool.h"

namespace firesteel {

// Thrown by scratch() if there is no memory. It passes through the kernel, which owns nothing, to the thread that runs
// kernels.
struct KernelAbandoned {};

struct RecordedError {
  ErrorCode code = ErrorCode::none;
  std::string op;
  int label = 0;
  std::string text;
};

// The slot of a recorded error. Its room is reserved beforehand, because memory may be what is missing.
struct ErrorSlot {
  ErrorCode code = ErrorCode::none;
  const char* op = "";
  int label = 0;
  char text[512] = "";
};

struct Context {
  // Errors are recorded in `errors_of`, if there is one.
  explicit Context(int threads, Context* errors_of = nullptr) : pool(threads), errors_of(errors_of) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  ThreadPool pool;
  Allocator allocator;
  std::atomic<bool> stop{false};  // kernels skip the chunks that they have not begun

  // The running kernel.
  const char* op = "";
  int label = 0;
  bool in_parallel = false;
  struct Block {
    void* data;
    size_t bytes;
  };
  std::vector<Block> scratch_blocks;
  // Releases all blocks but the first `keep`.
  void release_scratch(size_t keep = 0);

  Context* const errors_of;
  // The first error since the last take_error. Reading the flag is cheap, and `status` is a copy of it elsewhere.
  std::mutex error_mutex;
  ErrorSlot error;
  std::atomic<bool> failed{false};
  int32_t* status = nullptr;
  void record(ErrorCode code, const char* text) noexcept { record_of(op, label, code, text); }
  // Records an error for a thread that runs no entry. `op` and `label` are those of the entry at fault.
  void record_of(const char* op, int label, ErrorCode code, const char* text) noexcept;
  RecordedError take_error();
};

}  // namespace firesteel
