// The random words of the device. Every block of a stream can be computed independently of the others.
#pragma once
#include "gpu.h"

namespace firesteel::cuda {

struct Words {
  uint32_t of[4];
};

// Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), with counter
// (block, stream, 0) and key `seed`. `unrolled` is the number of rounds that the code repeats, which makes kernels long
// if they draw words in many places.
template <int unrolled = 10>
DEVICE Words philox(uint64_t seed, uint32_t stream, uint64_t block) {
  uint32_t c0 = uint32_t(block), c1 = uint32_t(block >> 32), c2 = stream, c3 = 0;
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
#pragma unroll unrolled
  for (int round = 0; round < 10; round++) {
    const uint32_t high0 = multiply_high(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const uint32_t high1 = multiply_high(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

}  // namespace firesteel::cuda
