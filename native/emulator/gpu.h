// The emulated form of native/cuda/gpu.h: what a .cu file needs when a C++
// compiler for the CPU reads it.
#pragma once
#include <math.h>
#include <string.h>

#include "check.h"
#include "emulator.h"
#include "kernels.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (emulator::self->id)
#define blockIdx (emulator::self->block->id)
#define blockDim (emulator::self->block->size)
#define gridDim (emulator::self->block->grid)

#define DEVICE inline
#define KERNEL(name, parameter)                                         \
  extern "C" void name(parameter);                                      \
  static const emulator::Registration name##_registration(#name, name); \
  extern "C" void name(parameter)
#define SHARED(type, name)          \
  static const char name##_key = 0; \
  type& name = *static_cast<type*>(emulator::shared_variable(&name##_key, sizeof(type), alignof(type)))

template <class V, class T>
EMULATOR_UNCHECKED inline V load(const T* from) {
  if (reinterpret_cast<uintptr_t>(from) % sizeof(V)) emulator::fail("a misaligned load of %zu bytes", sizeof(V));
  emulator::check_access(from, sizeof(V), false);
  V value;
  memcpy(&value, from, sizeof value);
  return value;
}

template <class V, class T>
EMULATOR_UNCHECKED inline void store(T* to, const V& value) {
  if (reinterpret_cast<uintptr_t>(to) % sizeof(V)) emulator::fail("a misaligned store of %zu bytes", sizeof(V));
  emulator::check_access(to, sizeof(V), true);
  memcpy(static_cast<void*>(to), &value, sizeof value);
}

EMULATOR_UNCHECKED inline uint32_t multiply_high(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(uint64_t(a) * b >> 32);
}

EMULATOR_UNCHECKED inline void __syncthreads() { emulator::block_barrier(); }
EMULATOR_UNCHECKED inline void __syncwarp(unsigned mask = ~0u) {
  emulator::meet("__syncwarp", mask, nullptr, [](void**, unsigned lanes) {
    // Only a barrier of the whole warp orders its memory accesses for the
    // checker.
    emulator::Warp& warp = *emulator::self->warp;
    if (lanes == warp.live) warp.epoch++;
  });
}

// What one lane brings to a shuffle, and takes from it.
template <class T>
struct Shuffle {
  T value, result;
  unsigned from;
};

template <class T>
EMULATOR_UNCHECKED inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  Shuffle<T> mine = {value, value, emulator::self->lane ^ static_cast<unsigned>(lane_mask)};
  emulator::meet("__shfl_xor_sync", mask, &mine, [](void** slots, unsigned lanes) EMULATOR_UNCHECKED {
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
      Shuffle<T>& to = *static_cast<Shuffle<T>*>(slots[__builtin_ctz(rest)]);
      if (!(lanes >> to.from & 1)) emulator::fail("a shuffle reads lane %u, which takes no part", to.from);
      to.result = static_cast<Shuffle<T>*>(slots[to.from])->value;
    }
  });
  return mine.result;
}
