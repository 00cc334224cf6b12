// The common part of the native tests of single kernels: tensors with a guard behind their memory, a check that counts,
// and a function that runs a kernel with 1, 2 and 3 threads.
#pragma once
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "../core/context.h"
#include "../generated/kernels.h"
#include "sanitizers.h"

namespace firesteel::test {

inline int passed = 0, failed = 0;

inline void check(bool condition, const std::string& what) {
  condition ? passed++ : failed++;
  if (!condition && failed <= 20) fprintf(stderr, "failed: %s\n", what.c_str());
}

inline int finish(const char* name) {
  printf("%s: %d passed, %d failed\n", name, passed, failed);
  return failed != 0;
}

// Sizes one below each block of a kernel, at it, one above, and several blocks with a rest.
inline std::vector<int64_t> about(std::initializer_list<int64_t> blocks) {
  std::vector<int64_t> sizes;
  for (int64_t block : blocks)
    for (int64_t size : {block - 1, block, block + 1, 2 * block + 3}) sizes.push_back(size);
  return sizes;
}

// Uniform in [-1, 1), the same on every machine.
struct Numbers {
  uint32_t state;
  float next() {
    state = state * 1664525u + 1013904223u;
    return float(int32_t(state >> 8) - (1 << 23)) / float(1 << 23);
  }
};

// A dense tensor of 4-byte elements. The memory behind them must not change.
template <class T>
struct Tensor {
  static constexpr uint32_t guard = 0x4B1DB10Bu;
  static_assert(sizeof(T) == 4);

  std::vector<T> data;
  View view{};

  explicit Tensor(std::initializer_list<int64_t> sizes, DType dtype = DType::float32) {
    view.dtype = dtype;
    view.ndim = int(sizes.size());
    view.count = 1;
    int d = 0;
    for (int64_t size : sizes) view.sizes[d++] = size;
    for (d = view.ndim - 1; d >= 0; d--) {
      view.strides[d] = view.count;
      view.count *= view.sizes[d];
    }
    data.resize(size_t(view.count) + guards(16));
    for (T& x : data) memcpy(&x, &guard, sizeof x);
    view.data = data.data();
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  size_t size() const { return size_t(view.count); }
  T& operator[](size_t i) { return data[i]; }
  const T& operator[](size_t i) const { return data[i]; }

  bool guarded() const {
    for (size_t i = size(); i < data.size(); i++)
      if (memcmp(&data[i], &guard, sizeof guard)) return false;
    return true;
  }
};

using Floats = Tensor<float>;

inline void randomise(Floats& tensor, uint32_t seed, float scale = 1, float shift = 0) {
  Numbers numbers{seed};
  for (size_t i = 0; i < tensor.size(); i++) tensor[i] = numbers.next() * scale + shift;
}

// A context of 1, 2 or 3 threads. It is kept so that threads start only once.
inline Context& context_of(int threads) {
  static Context contexts[] = {Context(1), Context(2), Context(3)};
  return contexts[threads - 1];
}

// Runs kernel(context) from the present contents of the outputs, with 1, 2 and 3 threads. The results must have equal
// bits.
template <class T, class F>
void run(const std::string& what, const std::vector<Tensor<T>*>& outputs, const F& kernel) {
  std::vector<std::vector<T>> before, first;
  for (Tensor<T>* output : outputs) before.push_back(output->data);
  for (int threads = least_threads; threads <= 3; threads++) {
    Context& context = context_of(threads);
    for (size_t i = 0; i < outputs.size(); i++) outputs[i]->data.assign(before[i].begin(), before[i].end());
    kernel(context);
    context.release_scratch();
    check(!context.failed.load(), what + ": recorded an error: " + context.take_error().text);
    for (size_t i = 0; i < outputs.size(); i++) {
      check(outputs[i]->guarded(), what + ": wrote behind an output");
      if (first.size() <= i)
        first.push_back(outputs[i]->data);
      else
        check(first[i].empty() || !memcmp(first[i].data(), outputs[i]->data.data(), 4 * first[i].size()),
              what + ": bits depend on threads");
    }
  }
}

// The error that a call of kernel(context) records.
template <class F>
RecordedError error_of(const F& kernel) {
  Context context(2);
  kernel(context);
  context.release_scratch();
  return context.take_error();
}

// |got - want| <= allowed, or both NaN, or equal infinities.
inline bool near(double got, double want, double allowed) {
  return got == want || (got != got && want != want) || fabs(got - want) <= allowed;
}

// memcmp needs a valid pointer even for no bytes, and an empty tensor has none.
inline bool same_bits(const void* a, const void* b, size_t bytes) { return bytes == 0 || !memcmp(a, b, bytes); }

// Sizes at which code that works in blocks of n changes its way: one below, at, one above, and some blocks with a rest.
inline std::vector<int64_t> around(int64_t n) { return {n - 1, n, n + 1, 2 * n + n / 2 + 1}; }

constexpr double epsilon = 0x1p-24;  // of a rounding to float32

}  // namespace firesteel::test
