#include "kernel.h"

#include <stdarg.h>
#include <stdio.h>

#include <new>
#include <thread>

#include "context.h"
#include "machine.h"

namespace firesteel {

void parallel_chunks(Context& context, int64_t chunks, void (*body)(void* data, int64_t chunk), void* data) {
  if (context.in_parallel) {  // a chunk of the same kernel calls, and has the threads already
    for (int64_t chunk = 0; chunk < chunks; chunk++) body(data, chunk);
    return;
  }
  context.in_parallel = true;
  context.pool.run(chunks, body, data, context.stop);
  context.in_parallel = false;
}

int thread_count(const Context& context) { return context.pool.threads(); }

void wait_until(const int64_t& counter, int64_t value) {
  // The other thread is usually still working. After some spins it may lack a core, and can have this one.
  constexpr int spins = 400;
  for (int i = 0; __atomic_load_n(&counter, __ATOMIC_ACQUIRE) < value; i++)
    i < spins ? spin_pause() : std::this_thread::yield();
}

void* scratch(Context& context, size_t bytes) {
  void* data = context.allocator.allocate(bytes);
  if (!data) {
    record_error(context, ErrorCode::memory, "no memory for %zu bytes of scratch space", bytes);
    throw KernelAbandoned();
  }
  try {
    context.scratch_blocks.push_back({data, bytes});
  } catch (const std::bad_alloc&) {
    context.allocator.release(data, bytes);
    throw;
  }
  return data;
}

size_t scratch_mark(const Context& context) { return context.scratch_blocks.size(); }

void release_scratch(Context& context, size_t mark) { context.release_scratch(mark); }

void record_error(Context& context, ErrorCode code, const char* format, ...) {
  if (context.failed.load(std::memory_order_relaxed)) return;
  char text[512];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  context.record(code, text);
}

void Context::release_scratch(size_t keep) {
  while (scratch_blocks.size() > keep) {
    allocator.release(scratch_blocks.back().data, scratch_blocks.back().bytes);
    scratch_blocks.pop_back();
  }
}

void Context::record_of(const char* op, int label, ErrorCode code, const char* text) noexcept {
  if (errors_of) return errors_of->record_of(op, label, code, text);
  std::lock_guard<std::mutex> lock(error_mutex);
  if (failed.load()) return;
  error.code = code;
  error.op = op;
  error.label = label;
  snprintf(error.text, sizeof error.text, "%s", text);
  failed.store(true);
  if (status) __atomic_store_n(status, static_cast<int32_t>(code), __ATOMIC_RELEASE);
}

RecordedError Context::take_error() {
  std::lock_guard<std::mutex> lock(error_mutex);
  RecordedError taken = {error.code, error.op, error.label, error.text};
  failed.store(false);
  if (status) __atomic_store_n(status, 0, __ATOMIC_RELEASE);
  error = {};
  return taken;
}

}  // namespace firesteel
