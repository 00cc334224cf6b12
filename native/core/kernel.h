// The world as a kernel sees it: tensors as plain structs, a context for threads, scratch memory and errors.
//
// Kernel sources are compiled once per instruction set, each inside its own namespace FIRESTEEL_ISA. So that the linker
// cannot merge a function built with AVX-512 into the baseline, nothing here is inline with external linkage: structs
// have no member functions, helpers are static, and no standard library template may be used in native/cpu
// (a check reads the symbols). What is declared but not defined here lives in native/core/kernel.cpp.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../generated/dtypes.h"

namespace firesteel {

constexpr int max_dims = 8;

// A view of device memory. `data` points at the first element. Sizes and strides count elements. Arguments that are not
// marked `strided`, `update` or `place` in the table of kernels are dense and row-major; their strides are filled in
// all the same.
struct View {
  void* data;
  DType dtype;
  int ndim;
  int64_t count;  // product of sizes
  int64_t sizes[max_dims];
  int64_t strides[max_dims];
};

struct ViewList {
  const View* items;
  int64_t size;
};

// At most max_dims integers, such as the strides of a window.
struct Integers {
  const int64_t* items;
  int size;
};

// A position in a random stream (Philox 4x32-10): key = seed, counter = (offset + block, stream).
struct Philox {
  uint64_t seed;
  uint32_t stream;
  uint64_t offset;
};

struct Context;  // per queue: threads, scratch memory, error slot

// Runs body(data, chunk) for chunk in [0, chunks), on all threads, claimed dynamically. What a chunk computes may
// depend on the shape only, never on the thread or on the number of threads: results are equal for every thread count.
void parallel_chunks(Context& context, int64_t chunks, void (*body)(void* data, int64_t chunk), void* data);

int thread_count(const Context& context);

// Inside a chunk: returns once `counter`, which other chunks that have begun raise (and release), is at least `value`.
void wait_until(const int64_t& counter, int64_t value);

// Memory of the device's allocator, 64-byte aligned, uninitialised, valid until the kernel returns, or gives it back.
// Call it outside of parallel sections.
void* scratch(Context& context, size_t bytes);

// A part of a kernel that is called again and again gives back what it took: all since scratch_mark().
size_t scratch_mark(const Context& context);
void release_scratch(Context& context, size_t mark);

enum class ErrorCode : int32_t { none = 0, shape = 1, index = 2, value = 3, memory = 4, internal = 5 };

// Records the first error of the queue; the text is printf-like and must name what was given and what was expected. May
// be called from any thread. The kernel goes on (skipping what is wrong) or returns.
void record_error(Context& context, ErrorCode code, const char* format, ...) __attribute__((format(printf, 3, 4)));

// Checks again what dispatch has checked in TypeScript: `if (!expect(context, a.sizes[0] == b.sizes[0], "rows differ"))
// return;` A call that does not come from dispatch must not reach memory outside its tensors.
static inline bool expect(Context& context, bool condition, const char* what) {
  if (!condition) record_error(context, ErrorCode::internal, "%s", what);
  return condition;
}

template <class F>
static inline void parallel(Context& context, int64_t chunks, const F& body) {
  if (chunks == 1) return (void)body(int64_t(0));
  parallel_chunks(
      context, chunks, [](void* data, int64_t chunk) { (*static_cast<const F*>(data))(chunk); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

template <class T>
static inline T* pointer(const View& view) {
  return static_cast<T*>(view.data);
}

static inline bool same_shape(const View& a, const View& b) {
  if (a.ndim != b.ndim) return false;
  for (int i = 0; i < a.ndim; i++)
    if (a.sizes[i] != b.sizes[i]) return false;
  return true;
}

}  // namespace firesteel
