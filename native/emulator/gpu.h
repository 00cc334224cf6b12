// The emulated form of native/cuda/gpu.h: what a C++ compiler for the CPU needs to compile a .cu file.
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
#define KERNEL_BY_TWO(name, parameter) KERNEL(name, parameter)
#define KERNEL_ALONE(name, parameter) KERNEL(name, parameter)
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

// This rounds twice where a GPU rounds once, because not every CPU has the operation.
EMULATOR_UNCHECKED inline float multiply_add(float a, float b, float c) { return a * b + c; }
EMULATOR_UNCHECKED inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
EMULATOR_UNCHECKED inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

EMULATOR_UNCHECKED inline float power_of_two(float x) { return exp2f(x); }

EMULATOR_UNCHECKED inline void bring_least(uint64_t* place, uint64_t value) {
  if (value < *place) *place = value;
}

EMULATOR_UNCHECKED inline void __syncthreads() { emulator::block_barrier(); }
EMULATOR_UNCHECKED inline void __syncwarp(unsigned mask = ~0u) {
  emulator::meet("__syncwarp", mask, nullptr, [](void**, unsigned lanes) {
    // The checker takes only a barrier of the whole warp to order its memory accesses.
    emulator::Warp& warp = *emulator::self->warp;
    if (lanes == warp.live) warp.epoch++;
  });
}

// The value that one lane brings to a shuffle, and the one that it takes from it.
template <class T>
struct Shuffle {
  T value, result;
  unsigned from;
};

template <class T>
EMULATOR_UNCHECKED inline T shuffle(const char* operation, unsigned mask, T value, unsigned from) {
  Shuffle<T> mine = {value, value, from};
  emulator::meet(operation, mask, &mine, [](void** slots, unsigned lanes) EMULATOR_UNCHECKED {
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
      Shuffle<T>& to = *static_cast<Shuffle<T>*>(slots[__builtin_ctz(rest)]);
      if (!(lanes >> to.from & 1)) emulator::fail("a shuffle reads lane %u, which takes no part", to.from);
      to.result = static_cast<Shuffle<T>*>(slots[to.from])->value;
    }
  });
  return mine.result;
}
template <class T>
EMULATOR_UNCHECKED inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  return shuffle("__shfl_xor_sync", mask, value, emulator::self->lane ^ static_cast<unsigned>(lane_mask));
}
template <class T>
EMULATOR_UNCHECKED inline T __shfl_sync(unsigned mask, T value, int lane) {
  return shuffle("__shfl_sync", mask, value, static_cast<unsigned>(lane) % 32);
}

struct Ballot {
  bool vote;
  unsigned result;
};

EMULATOR_UNCHECKED inline unsigned __ballot_sync(unsigned mask, bool vote) {
  Ballot mine = {vote, 0};
  emulator::meet("__ballot_sync", mask, &mine, [](void** slots, unsigned lanes) EMULATOR_UNCHECKED {
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; lane++)
      if (lanes >> lane & 1 && static_cast<Ballot*>(slots[lane])->vote) votes |= 1u << lane;
    for (unsigned lane = 0; lane < 32; lane++)
      if (lanes >> lane & 1) static_cast<Ballot*>(slots[lane])->result = votes;
  });
  return mine.result;
}
// Like __syncthreads, and tells whether the predicate is true for any thread of the block.
EMULATOR_UNCHECKED inline int __syncthreads_or(int predicate) { return emulator::block_vote(predicate != 0); }
EMULATOR_UNCHECKED inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

constexpr bool has_matrix_products = true;

EMULATOR_UNCHECKED inline uint32_t half_of(float x) {
  const uint32_t bits = bits_of(x);
  return x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
EMULATOR_UNCHECKED inline uint32_t halves_of(float low, float high) { return half_of(high) << 16 | half_of(low); }

EMULATOR_UNCHECKED inline void copy16(void* to, const void* from, bool valid) {
  if (reinterpret_cast<uintptr_t>(to) % 16) emulator::fail("a copy to an address that is not a multiple of 16 bytes");
  if (valid && reinterpret_cast<uintptr_t>(from) % 16)
    emulator::fail("a copy from an address that is not a multiple of 16 bytes");
  if (valid) emulator::check_access(from, 16, false);
  emulator::check_access(to, 16, true);
  emulator::begin_copy(to, valid ? from : nullptr);
}
EMULATOR_UNCHECKED inline void commit_copies() { emulator::commit_copies(); }
template <int left>
EMULATOR_UNCHECKED inline void wait_copies() {
  emulator::wait_copies(left);
}

struct MatrixRow {
  const uint16_t* row;
  uint32_t* r;
};

template <bool turned>
EMULATOR_UNCHECKED inline void load_matrices(uint32_t (&r)[4], const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16) emulator::fail("a row of a matrix is not at a multiple of 16 bytes");
  emulator::check_access(row, 16, false);
  MatrixRow mine = {static_cast<const uint16_t*>(row), r};
  emulator::meet(turned ? "ldmatrix.trans" : "ldmatrix", ~0u, &mine,
                 [](void** slots, unsigned lanes) EMULATOR_UNCHECKED {
                   if (lanes != ~0u) emulator::fail("ldmatrix by a part of a warp");
                   for (unsigned lane = 0; lane < 32; lane++)
                     for (unsigned m = 0; m < 4; m++) {
                       uint32_t both = 0;
                       for (unsigned half = 0; half < 2; half++) {
                         const unsigned across = 2 * (lane % 4) + half, along = lane / 4;
                         const MatrixRow& source = *static_cast<MatrixRow*>(slots[8 * m + (turned ? across : along)]);
                         both |= uint32_t(source.row[turned ? along : across]) << 16 * half;
                       }
                       static_cast<MatrixRow*>(slots[lane])->r[m] = both;
                     }
                 });
}

struct ProductOperands {
  float* c;
  const uint32_t* a;
  uint32_t b[2];
};

// Lane 4 g + t holds two 16-bit elements in each register. In a[r] they are in row g + 8 (r % 2), columns 2 t + 8 (r /
// 2) and the next; in b[r] they are in rows 2 t + 8 r and the next, column g. Element i of c is in row g + 8 (i / 2),
// column 2 t + i % 2 (PTX ISA, "Matrix fragments for mma.m16n8k16"). With tf32, the columns of a are t + 4 (r / 2), and
// the rows of b are t + 4 r (mma.m16n8k8).
template <unsigned depth>
EMULATOR_UNCHECKED inline void multiply_fragments(void** slots, unsigned lanes) {
  if (lanes != ~0u) emulator::fail("mma by a part of a warp");
  constexpr unsigned each = depth / 8;  // elements of a register
  float left[16][depth], right[depth][8];
  for (unsigned lane = 0; lane < 32; lane++) {
    const ProductOperands& from = *static_cast<ProductOperands*>(slots[lane]);
    const unsigned g = lane / 4, t = lane % 4;
    for (unsigned e = 0; e < each; e++) {
      // Tensor cores take the 19 upper bits of tf32.
      const auto element = [e](uint32_t bits) { return float_of(each == 2 ? bits >> 16 * e << 16 : bits & ~0x1fffu); };
      for (unsigned r = 0; r < 4; r++) left[g + 8 * (r % 2)][each * t + depth / 2 * (r / 2) + e] = element(from.a[r]);
      for (unsigned r = 0; r < 2; r++) right[each * t + depth / 2 * r + e][g] = element(from.b[r]);
    }
  }
  for (unsigned lane = 0; lane < 32; lane++) {
    const ProductOperands& to = *static_cast<ProductOperands*>(slots[lane]);
    for (unsigned i = 0; i < 4; i++) {
      const unsigned row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float sum = 0;
      for (unsigned k = 0; k < depth; k++) sum += left[row][k] * right[k][column];
      to.c[i] += sum;
    }
  }
}
EMULATOR_UNCHECKED inline void add_product(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  ProductOperands mine = {c, a, {b0, b1}};
  emulator::meet("mma", ~0u, &mine, multiply_fragments<16>);
}
EMULATOR_UNCHECKED inline void add_product_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  ProductOperands mine = {c, a, {b0, b1}};
  emulator::meet("mma of tf32", ~0u, &mine, multiply_fragments<8>);
}
// Numbers that are not finite stay unchanged.
EMULATOR_UNCHECKED inline uint32_t tf32_of(float x) {
  const uint32_t bits = bits_of(x);
  return ((bits & 0x7f800000) == 0x7f800000 ? bits : bits + 0x1000) & ~0x1fffu;
}
