// Philox 4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
// 3" (SC 2011): ten rounds of two 32x32 -> 64 bit products turn a 128-bit counter and a 64-bit key into four words.
//
// Firesteel's counter is (block low, block high, stream, 0) and its key (seed low, seed high). Any block is computed alone,
// so random numbers are a function of their position and never of who computes them. lib/core/philox.ts is the same
// function in TypeScript.
#pragma once
#include <stdint.h>

namespace firesteel::FIRESTEEL_ISA::random {

constexpr uint32_t philox_multiplier0 = 0xD2511F53u, philox_multiplier1 = 0xCD9E8D57u;
constexpr uint32_t philox_weyl0 = 0x9E3779B9u, philox_weyl1 = 0xBB67AE85u;  // golden ratio, sqrt(3) - 1
constexpr int philox_rounds = 10;

// The function of the paper: replaces the counter by the four random words of `seed`.
static inline void philox4x32(uint32_t counter[4], uint64_t seed) {
  uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
  for (int round = 0; round < philox_rounds; round++) {
    const uint64_t product0 = uint64_t(philox_multiplier0) * counter[0];
    const uint64_t product1 = uint64_t(philox_multiplier1) * counter[2];
    counter[0] = uint32_t(product1 >> 32) ^ counter[1] ^ key0;
    counter[1] = uint32_t(product1);
    counter[2] = uint32_t(product0 >> 32) ^ counter[3] ^ key1;
    counter[3] = uint32_t(product0);
    key0 += philox_weyl0;
    key1 += philox_weyl1;
  }
}

// The four words of one block of a stream.
static inline void philox4(uint32_t out[4], uint64_t seed, uint32_t stream, uint64_t block) {
  out[0] = uint32_t(block);
  out[1] = uint32_t(block >> 32);
  out[2] = stream;
  out[3] = 0;
  philox4x32(out, seed);
}

// Blocks that philox_group computes side by side; loops over them become vectors.
constexpr int philox_lanes = 16;

// The 4 * philox_lanes words of consecutive blocks, in order: philox4 of `block`, of `block + 1`, ...
static inline void philox_group(uint32_t* __restrict__ out, uint64_t seed, uint32_t stream, uint64_t block) {
  uint32_t c0[philox_lanes], c1[philox_lanes], c2[philox_lanes], c3[philox_lanes];
  for (int lane = 0; lane < philox_lanes; lane++) {
    c0[lane] = uint32_t(block + uint64_t(lane));
    c1[lane] = uint32_t((block + uint64_t(lane)) >> 32);
    c2[lane] = stream;
    c3[lane] = 0;
  }
  uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
  for (int round = 0; round < philox_rounds; round++) {
    for (int lane = 0; lane < philox_lanes; lane++) {
      const uint64_t product0 = uint64_t(philox_multiplier0) * c0[lane];
      const uint64_t product1 = uint64_t(philox_multiplier1) * c2[lane];
      c0[lane] = uint32_t(product1 >> 32) ^ c1[lane] ^ key0;
      c1[lane] = uint32_t(product1);
      c2[lane] = uint32_t(product0 >> 32) ^ c3[lane] ^ key1;
      c3[lane] = uint32_t(product0);
    }
    key0 += philox_weyl0;
    key1 += philox_weyl1;
  }
  for (int lane = 0; lane < philox_lanes; lane++) {
    out[4 * lane] = c0[lane];
    out[4 * lane + 1] = c1[lane];
    out[4 * lane + 2] = c2[lane];
    out[4 * lane + 3] = c3[lane];
  }
}

// Words [0, count) of the sequence that starts at `block`; a last block that is not needed whole is cut.
static inline void philox_words(uint32_t* out, int64_t count, uint64_t seed, uint32_t stream, uint64_t block) {
  constexpr int64_t group = 4 * philox_lanes;
  int64_t done = 0;
  for (; done + group <= count; done += group, block += uint64_t(philox_lanes)) philox_group(out + done, seed, stream, block);
  for (; done < count; done += 4, block++) {
    uint32_t words[4];
    philox4(words, seed, stream, block);
    for (int64_t i = 0; i < 4 && done + i < count; i++) out[done + i] = words[i];
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::random
