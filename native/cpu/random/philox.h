// Philox 4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1,
// 2, 3" (SC 2011). Ten rounds of two 32x32 -> 64 bit products turn a 128-bit counter and a 64-bit key into four words.
//
// Firesteel's counter is (block low, block high, stream, 0) and its key (seed low, seed high). Each block is computed
// independently, so random numbers depend only on their position, never on the thread that computes them.
// lib/core/philox.ts is the same function in TypeScript.
#pragma once
#include <stdint.h>
#include <string.h>

#include "../simd/vector.h"

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

// A register of 64-bit lanes, each with one word of one block in its lower half.
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
constexpr int philox_lanes = 8;
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
constexpr int philox_lanes = 4;
#else
constexpr int philox_lanes = 2;
#endif
typedef uint64_t PhiloxLanes __attribute__((vector_size(8 * philox_lanes)));

// The 64-bit products of the lower halves. The upper halves have no effect.
static inline PhiloxLanes multiply_words(PhiloxLanes words, uint32_t factor) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  // This call has a mask, because g++ 12 warns of an uninitialised variable in the plain form.
  return PhiloxLanes(_mm512_maskz_mul_epu32(0xFF, __m512i(words), _mm512_set1_epi64(factor)));
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return PhiloxLanes(_mm256_mul_epu32(__m256i(words), _mm256_set1_epi64x(factor)));
#elif defined(__SSE2__)
  return PhiloxLanes(_mm_mul_epu32(__m128i(words), _mm_set1_epi64x(factor)));
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
  return PhiloxLanes(vmull_u32(vmovn_u64(uint64x2_t(words)), vdup_n_u32(factor)));
#else
  return (words & 0xFFFFFFFFu) * factor;
#endif
}

// Writes low[0], high[0], low[1], high[1], ...
static inline void store_interleaved(uint32_t* out, PhiloxLanes low, PhiloxLanes high) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  const PhiloxLanes first = __builtin_shufflevector(low, high, 0, 8, 1, 9, 2, 10, 3, 11);
  const PhiloxLanes second = __builtin_shufflevector(low, high, 4, 12, 5, 13, 6, 14, 7, 15);
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  const PhiloxLanes first = __builtin_shufflevector(low, high, 0, 4, 1, 5);
  const PhiloxLanes second = __builtin_shufflevector(low, high, 2, 6, 3, 7);
#else
  const PhiloxLanes first = __builtin_shufflevector(low, high, 0, 2);
  const PhiloxLanes second = __builtin_shufflevector(low, high, 1, 3);
#endif
  memcpy(out, &first, sizeof first);
  memcpy(out + 2 * philox_lanes, &second, sizeof second);
}

// The number of registers computed side by side to hide the latency of the multiplications; four would not fit 16
// registers.
constexpr int philox_registers = 3;
constexpr int philox_group_blocks = philox_registers * philox_lanes;

// The words of philox_group_blocks consecutive blocks, in order: philox4 of `block`, of `block + 1`, ...
static inline void philox_group(uint32_t* out, uint64_t seed, uint32_t stream, uint64_t block) {
  PhiloxLanes c0[philox_registers], c1[philox_registers], c2[philox_registers], c3[philox_registers];
  PhiloxLanes index = {};
  for (int lane = 0; lane < philox_lanes; lane++) index[lane] = uint64_t(lane);
  for (int r = 0; r < philox_registers; r++) {
    c0[r] = index + (block + uint64_t(r * philox_lanes));
    c1[r] = c0[r] >> 32;
    c2[r] = PhiloxLanes{} + stream;
    c3[r] = PhiloxLanes{};
  }
  uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
  for (int round = 0; round < philox_rounds; round++) {
    for (int r = 0; r < philox_registers; r++) {
      const PhiloxLanes product0 = multiply_words(c0[r], philox_multiplier0);
      const PhiloxLanes product1 = multiply_words(c2[r], philox_multiplier1);
      c0[r] = (product1 >> 32) ^ c1[r] ^ key0;
      c1[r] = product1;
      c2[r] = (product0 >> 32) ^ c3[r] ^ key1;
      c3[r] = product0;
    }
    key0 += philox_weyl0;
    key1 += philox_weyl1;
  }
  for (int r = 0; r < philox_registers; r++)
    store_interleaved(out + 4 * philox_lanes * r, (c0[r] & 0xFFFFFFFFu) | (c1[r] << 32),
                      (c2[r] & 0xFFFFFFFFu) | (c3[r] << 32));
}

// Words [0, count) of the sequence that starts at `block`. The last block is cut if it is not needed whole.
static inline void philox_words(uint32_t* out, int64_t count, uint64_t seed, uint32_t stream, uint64_t block) {
  constexpr int64_t group = 4 * philox_group_blocks;
  int64_t done = 0;
  for (; done + group <= count; done += group, block += uint64_t(philox_group_blocks))
    philox_group(out + done, seed, stream, block);
  for (; done < count; done += 4, block++) {
    uint32_t words[4];
    philox4(words, seed, stream, block);
    for (int64_t i = 0; i < 4 && done + i < count; i++) out[done + i] = words[i];
  }
}

// The threshold for dropping with probability p, in [0, 2^32]: an element is dropped if its word is below it.
static inline uint64_t drop_threshold(double p) { return uint64_t(p * 4294967296.0 + 0.5); }

}  // namespace firesteel::FIRESTEEL_ISA::random
