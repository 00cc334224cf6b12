// The executor of a queue's entries: it holds the memory of storages, and runs kernels there. A queue calls it from one
// thread at a time, except for the counts.
#pragma once
#include <stddef.h>

#include "call.h"
#include "context.h"
#include "memory.h"

namespace firesteel {

class Executor {
 public:
  virtual ~Executor() = default;

  // Memory of the device, or null if there is none.
  virtual void* allocate(size_t bytes) = 0;
  // The reason why allocate() returned null, or null if memory is exhausted.
  virtual const char* allocation_failure() { return nullptr; }
  virtual void release(void* data, size_t bytes) noexcept = 0;
  // Returns unused memory to the system.
  virtual void flush() = 0;
  virtual size_t live_bytes() const = 0;
  virtual size_t reserved_bytes() const = 0;
  // The bytes that may still be taken beside the reserved ones.
  virtual size_t available_bytes() const = 0;
  // The bytes of a device that has memory of its own, which other processes take from too.
  virtual size_t total_bytes() const { return 0; }

  // Runs a kernel, or starts it. Failures are recorded in the context.
  virtual void run(Context& context, const Call& call) = 0;
  // Copies into the device's memory; the source may change afterwards.
  virtual void write(Context& context, void* to, const void* from, size_t bytes) = 0;
  // Copies out of the device's memory, after waiting for all running work. Returns false after a failure.
  virtual bool read(Context& context, void* to, const void* from, size_t bytes) = 0;

  // Begins to copy out of the device's memory, without waiting. Some thread then calls `done(owner, error)` once, where
  // the error is null after a success. Returns false, having done nothing, if it would have to wait.
  using ReadDone = void (*)(void* owner, const char* error);
  virtual bool begin_read(void* to, const void* from, size_t bytes, ReadDone done, void* owner) { return false; }
  // Waits until all reads that have begun are done.
  virtual void finish_reads() {}

  // Whether products of float32 may round their factors to tf32. Nothing may be queued. Only GPUs have tf32.
  virtual void allow_tf32(bool) {}

  // Whether run() only starts kernels, which end elsewhere.
  virtual bool asynchronous() const { return false; }
  // Waits until all started work has ended.
  virtual void finish(Context&) {}
};

// Kernels on this machine's CPU, in the memory that the context's allocator hands out.
class CpuExecutor final : public Executor {
 public:
  CpuExecutor(const KernelTable& table, Allocator& allocator) : table_(table), allocator_(allocator) {}
  void* allocate(size_t bytes) override { return allocator_.allocate(bytes); }
  void release(void* data, size_t bytes) noexcept override { allocator_.release(data, bytes); }
  void flush() override { allocator_.flush(); }
  size_t live_bytes() const override { return allocator_.live_bytes(); }
  size_t reserved_bytes() const override { return allocator_.reserved_bytes(); }
  size_t available_bytes() const override { return Commitments::of_process().left(1); }
  void run(Context& context, const Call& call) override { call.kernel->run(table_, context, call); }
  void write(Context&, void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
  bool read(Context&, void* to, const void* from, size_t bytes) override { return copy(to, from, bytes), true; }

 private:
  static void copy(void* to, const void* from, size_t bytes) {
    if (bytes > 0) __builtin_memcpy(to, from, bytes);
  }
  const KernelTable& table_;
  Allocator& allocator_;
};

}  // namespace firesteel
