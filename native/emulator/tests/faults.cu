// Kernels that are wrong, each in one way, and some that are right. The emulator must report each wrong one, and no
// other. They are compiled with -fsanitize=thread, and `faults <name>` runs one of them (tests/cuda/device.test.ts).
#include <stdio.h>
#include <string.h>

#include "../../cuda/gpu.h"

namespace {

constexpr int threads = 64;

struct Row {
  float of[threads];
};
struct alignas(16) Vector {
  float of[4];
};

// out[t] = x[t ^ 1], through shared memory.
void swap_neighbours(float* out, const float* x, bool barrier) {
  SHARED(Row, row);
  row.of[threadIdx.x] = x[threadIdx.x];
  if (barrier) __syncthreads();
  out[threadIdx.x] = row.of[threadIdx.x ^ 1];
}

struct Fault {
  const char* name;
  int blocks;
  void (*kernel)(float* out, const float* x);
};

const Fault faults[] = {
    {"none", 1, [](float* out, const float* x) { swap_neighbours(out, x, true); }},
    {"race", 1, [](float* out, const float* x) { swap_neighbours(out, x, false); }},
    // Within a warp, the warp's own barrier is enough.
    {"none-warp", 1,
     [](float* out, const float* x) {
       SHARED(Row, row);
       row.of[threadIdx.x] = x[threadIdx.x];
       __syncwarp();
       out[threadIdx.x] = row.of[threadIdx.x ^ 1];
     }},
    {"race-warp", 1,
     [](float* out, const float* x) {
       SHARED(Row, row);
       row.of[threadIdx.x] = x[threadIdx.x];
       __syncwarp();
       out[threadIdx.x] = row.of[threadIdx.x ^ 32];
     }},
    {"beyond", 1, [](float* out, const float* x) { out[threadIdx.x] = x[threadIdx.x + 1]; }},
    {"blocks", 2, [](float* out, const float* x) { out[threadIdx.x] = x[threadIdx.x]; }},
    {"misaligned", 1, [](float* out, const float* x) { out[threadIdx.x] = load<Vector>(x + 1).of[threadIdx.x % 4]; }},
    {"deadlock", 1,
     [](float* out, const float* x) {
       if (threadIdx.x == 0) __syncwarp();
       if (threadIdx.x != 0) __syncthreads();
       out[threadIdx.x] = x[threadIdx.x];
     }},
    {"shuffle", 1,
     [](float* out, const float* x) {
       if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_xor_sync(0x55555555u, x[threadIdx.x], 1);
     }},
};

}  // namespace

int main(int, char** arguments) {
  for (const Fault& fault : faults) {
    if (strcmp(fault.name, arguments[1]) != 0) continue;
    emulator::checking = true;
    float* out = static_cast<float*>(emulator::device_allocate(threads * sizeof(float)));
    float* x = static_cast<float*>(emulator::device_allocate(threads * sizeof(float)));
    for (int i = 0; i < threads; i++) x[i] = static_cast<float>(i);
    emulator::run(dim3(static_cast<unsigned>(fault.blocks)), dim3(threads), 0, [&] { fault.kernel(out, x); });
    if (emulator::faults) return 3;
    for (int i = 0; i < threads; i++)
      if (out[i] != x[i ^ 1]) return 1;
    return 0;
  }
  return 2;
}
