// The emulated form of native/cuda/warpgroups.h.
#pragma once
#include "../cuda/tensor_map.h"
#include "gpu.h"

#define KERNEL_OF_WARPGROUPS(name, parameter) KERNEL(name, parameter)
#define DYNAMIC_SHARED(type, name) \
  type& name = *static_cast<type*>(emulator::dynamic_shared(sizeof(type), alignof(type)))

namespace emulator {

// The block's dynamic shared memory, which must have room for this many bytes.
void* dynamic_shared(size_t bytes, size_t alignment);
uint32_t shared_offset(const void* data);

void start_barrier(uint64_t* barrier, int count);
// Brings an arrival, and announces bytes.
void arrive(uint64_t* barrier, int bytes);
void wait_phase(uint64_t* barrier, int parity);
void begin_tile(void* to, const TensorMap& map, uint64_t* barrier, int x, int y);

// A warp's part of a product of a warpgroup. Its sums are NaN until it was waited for.
void begin_product(float* sums, int columns, uint64_t a, uint64_t b);
void commit_products();
void wait_products(int left);

}  // namespace emulator

EMULATOR_UNCHECKED inline uint32_t shared_address(const void* data) { return emulator::shared_offset(data); }

EMULATOR_UNCHECKED inline void start_barrier(uint64_t* barrier, int count) { emulator::start_barrier(barrier, count); }
EMULATOR_UNCHECKED inline void publish_barriers() {}
EMULATOR_UNCHECKED inline void expect_bytes(uint64_t* barrier, int bytes) { emulator::arrive(barrier, bytes); }
EMULATOR_UNCHECKED inline void arrive(uint64_t* barrier) { emulator::arrive(barrier, 0); }
EMULATOR_UNCHECKED inline void wait_phase(uint64_t* barrier, int parity) { emulator::wait_phase(barrier, parity); }
EMULATOR_UNCHECKED inline void copy_tile(void* to, const TensorMap* map, uint64_t* barrier, int x, int y) {
  emulator::begin_tile(to, *map, barrier, x, y);
}

EMULATOR_UNCHECKED inline void begin_products() {}
EMULATOR_UNCHECKED inline void commit_products() { emulator::commit_products(); }
template <int left>
EMULATOR_UNCHECKED inline void wait_products() {
  emulator::wait_products(left);
}
template <int count>
EMULATOR_UNCHECKED inline void take_registers() {}
template <int count>
EMULATOR_UNCHECKED inline void give_registers() {}

template <size_t count>
EMULATOR_UNCHECKED inline void add_products(float (&c)[count], uint64_t a, uint64_t b) {
  emulator::begin_product(c, int(2 * count), a, b);
}
