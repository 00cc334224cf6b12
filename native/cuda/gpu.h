// The constructs beyond plain C++ that kernels use, as the device has them. ../emulator/gpu.h defines the same for the
// CPU. So nvcc compiles a source for the GPU, and a C++ compiler compiles the same source for the emulator.
#pragma once
#include <stdint.h>

#ifdef __CUDACC__

#define DEVICE __device__ __forceinline__
// An entry point; its one parameter lies in constant memory.
#define KERNEL(name, parameter) extern "C" __global__ void __launch_bounds__(256) name(parameter)
// The same, with room for two blocks on a multiprocessor: at most 128 registers.
#define KERNEL_BY_TWO(name, parameter) extern "C" __global__ void __launch_bounds__(256, 2) name(parameter)
// The same, with all registers that a thread can have, for kernels that need more than they would have beside a second
// block.
#define KERNEL_ALONE(name, parameter) extern "C" __global__ void __launch_bounds__(256, 1) name(parameter)
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
DEVICE float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
DEVICE uint32_t bits_of(float x) { return __float_as_uint(x); }
DEVICE float float_of(uint32_t bits) { return __uint_as_float(bits); }

// 2^x with an error of at most 2 units in the last place; 0 if it is below the least normal number.
DEVICE float power_of_two(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

// Leaves the least of all values that threads bring at a place, whatever their order.
DEVICE void bring_least(uint64_t* place, uint64_t value) {
  atomicMin(reinterpret_cast<unsigned long long*>(place), static_cast<unsigned long long>(value));
}

// Copies 16 bytes into shared memory (zeros if not `valid`) while the thread goes on. The thread may use them once it
// has waited for the group in which they were committed. wait_copies<n> does not wait for the last n groups.
#if __CUDA_ARCH__ >= 800
constexpr bool has_matrix_products = true;

// Two floats rounded to bfloat16, the first in the lower half.
DEVICE uint32_t halves_of(float low, float high) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

DEVICE uint32_t shared_address(const void* data) { return static_cast<uint32_t>(__cvta_generic_to_shared(data)); }

DEVICE void copy16(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}
DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int left>
DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

// Loads four 8x8 matrices of 16-bit elements. Lane 8 m + i gives the address of row i of matrix m. From each matrix,
// lane l gets elements 2 (l % 4) and 2 (l % 4) + 1 of row l / 4, or of column l / 4 if `turned`.
template <bool turned>
DEVICE void load_matrices(uint32_t (&r)[4], const void* row) {
  if (turned) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
  }
}

// c += a b, for a warp: a is 16x16 and b 16x8 of bfloat16, c 16x8 of float32. Their elements are spread over the lanes
// as the PTX manual says for mma.m16n8k16.
DEVICE void add_product(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A float rounded to tf32, which keeps the 10 upper bits of its fraction. Ties are rounded away from 0.
DEVICE uint32_t tf32_of(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}
// The same for a 16x8 and b 8x8 of tf32, as the manual says for mma.m16n8k8.
DEVICE void add_product_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#else
// Turing has neither, so kernels built on them are not launched there.
constexpr bool has_matrix_products = false;
DEVICE uint32_t halves_of(float, float) { return 0; }
DEVICE void copy16(void*, const void*, bool) {}
DEVICE void commit_copies() {}
template <int left>
DEVICE void wait_copies() {}
template <bool turned>
DEVICE void load_matrices(uint32_t (&)[4], const void*) {}
DEVICE void add_product(float (&)[4], const uint32_t (&)[4], uint32_t, uint32_t) {}
DEVICE uint32_t tf32_of(float) { return 0; }
DEVICE void add_product_tf32(float (&)[4], const uint32_t (&)[4], uint32_t, uint32_t) {}
#endif

#else
#include "../emulator/gpu.h"
#endif
