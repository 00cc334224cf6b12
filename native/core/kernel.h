// The types that a kernel sees: tensors as plain structs, and a context for threads, scratch memory and errors.
//
// Kernel sources are compiled once per instruction set, each inside its own namespace FIRESTEEL_ISA. Nothing here is
// inline with external linkage, so that the linker cannot merge a function built with AVX-512 into the baseline:
// structs have no member functions, helpers are static, and native/cpu must not use standard library templates (a check
// reads the symbols). Functions that are only declared here are defined in native/core/kernel.cpp.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../generated/dtypes.h"

namespace firesteel {

constexpr int max_dims = 8;

// A view of device memory. `data` points at the first element. Sizes and strides count elements. An argument is dense
// and row-major unless the table of kernels marks it `strided`, `update` or `place`. Its strides are filled in all the
// same.
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

// Runs body(data, chunk) for chunk in [0, chunks), on all threads, claimed dynamically. The work of a chunk may depend
// only on the shape, never on the thread or on the number of threads, so that results are equal for every thread count.
void parallel_chunks(Context& context, int64_t chunks, void (*body)(void* data, int64_t chunk), void* data);

int thread_count(const Context& context);

// May be called inside a chunk. Returns once `counter` is at least `value`. Other chunks that have begun raise the
// counter, with release order.
void wait_until(const int64_t& counter, int64_t value);

// Uninitialised memory of the device's allocator, aligned to 64 bytes, valid until the kernel returns or releases it.
// It must not be called inside parallel sections.
void* scratch(Context& context, size_t bytes);

// Releases everything taken since scratch_mark(), so that a part of a kernel that runs repeatedly can reuse the memory.
size_t scratch_mark(const Context& context);
void release_scratch(Context& context, size_t mark);

enum class ErrorCode : int32_t { none = 0, shape = 1, index = 2, value = 3, memory = 4, internal = 5 };

// Records the first error of the queue; the text is printf-like and must name what was given and what was expected. Any
// thread may call it. The kernel then skips the fault and goes on, or returns.
void record_error(Context& context, ErrorCode code, const char* format, ...) __attribute__((format(printf, 3, 4)));

// Repeats a check that dispatch has made in TypeScript: `if (!expect(context, a.sizes[0] == b.sizes[0], "rows differ"))
// return;` A call from elsewhere must not reach memory outside its tensors either.
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
