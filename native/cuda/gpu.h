// What kernels use beyond plain CUDA C++, in its form for the device;
// ../emulator/gpu.h has the same for the CPU. So one source is compiled by nvcc
// for the GPU and by a C++ compiler for the emulator.
#pragma once
#include <stdint.h>

#ifdef __CUDACC__

#define DEVICE __device__ __forceinline__
// An entry point; its one parameter lies in constant memory.
#define KERNEL(name, parameter) extern "C" __global__ void __launch_bounds__(256) name(parameter)
#define SHARED(type, name) __shared__ type name

// V is a vector of T, aligned to its size.
template <class V, class T>
DEVICE V load(const T* from) {
  return *reinterpret_cast<const V*>(from);
}
template <class V, class T>
DEVICE void store(T* to, const V& value) {
  *reinterpret_cast<V*>(to) = value;
}

DEVICE uint32_t multiply_high(uint32_t a, uint32_t b) { return __umulhi(a, b); }

#else
#include "../emulator/gpu.h"
#endif
